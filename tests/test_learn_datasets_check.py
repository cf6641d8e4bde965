"""`check-data` names each way in which people break a dataset, with a cure."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import dataset_twins as twins
from mobilegeo.cli.check_data import check_data
from mobilegeo.errors import DatasetError, UsageError
from mobilegeo.learn.datasets.catalogue import DATASETS, read_benchmark
from mobilegeo.learn.datasets.check import SAMPLE, check_dataset
from mobilegeo.learn.datasets.findings import Report

Break = Callable[[Path], Any]


def told(report: Report, level: str) -> str:
    return "\n".join(str(finding) for finding in report.findings if finding.level == level)


@pytest.mark.parametrize("name", DATASETS)
def test_a_whole_twin_is_usable(name, tmp_path) -> None:
    report = check_dataset(name, twins.WRITERS[name](tmp_path / name), all_images=True)
    assert report.usable, told(report, "error")
    assert report.images_opened == report.images_total > 0


def test_an_official_layout_with_official_counts_has_no_finding(tmp_path) -> None:
    report = check_dataset("sues200", twins.write_sues200_raw(tmp_path), variant="150")
    assert report.findings == ()
    assert report.images_opened == SAMPLE
    assert report.images_total == 200 * 50 + 200
    assert all(count.places == count.official_places for count in report.counts)
    assert all(count.images == count.official_images for count in report.counts)


def test_counts_are_compared_with_the_official_ones(tmp_path) -> None:
    report = check_dataset("university1652", twins.write_university1652(tmp_path))
    counts = {count.subset: count for count in report.counts}
    drone = counts["query_drone"]
    assert (drone.places, drone.images) == (2, 6)
    assert (drone.official_places, drone.official_images) == (701, 37_855)
    assert counts["gallery_satellite"].official_images == 951
    assert "has 3 places, the official one 951; unpack it again" in told(report, "warning")


def delete(*folders: str) -> Break:
    return lambda root: [shutil.rmtree(root / folder) for folder in folders]


def move(source: str, target: str) -> Break:
    def run(root: Path) -> None:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / source).rename(root / target)

    return run


def write(path: str, content: bytes | str) -> Break:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda root: (root / path).write_bytes(data)


def replace(path: str, old: str, new: str) -> Break:
    return lambda root: (root / path).write_text((root / path).read_text().replace(old, new))


def copy(source: str, target: str) -> Break:
    return lambda root: shutil.copytree(root / source, root / target)


FATAL = [
    ("university1652", delete("test"), r"test: is missing; unpack this part"),
    ("university1652", delete("train"), r"train: is missing; unpack this part"),
    ("university1652", delete("test/query_satellite"), r"test/query_satellite: is missing"),
    (
        "university1652",
        move("test/gallery_satellite/0002", "elsewhere/0002"),
        r"gallery_satellite: lacks places that query_drone asks for \(0002\); unpack it again",
    ),
    (
        "university1652",
        delete("train/satellite/0842"),
        r"train/satellite: lacks places that have drone views only \(0842\); add their satellite",
    ),
    (
        "university1652",
        delete("train/drone/0839", "train/drone/0842"),
        r"train/drone: lacks places that have satellite views only \(0839, 0842\)",
    ),
    (
        "university1652",
        lambda root: [path.unlink() for path in (root / "train/drone/0844").iterdir()],
        r"train/drone: has empty place folders \(0844\); unpack them again",
    ),
    (
        "university1652",
        lambda root: [
            shutil.rmtree(root / "test/query_drone"),
            (root / "test/query_drone").mkdir(),
        ],
        r"test/query_drone: holds no images",
    ),
    (
        "university1652",
        move("train/drone/0839/image-01.jpeg", "train/drone/image-01.jpeg"),
        r"train/drone: holds images outside of place folders \(image-01\.jpeg\)",
    ),
    (
        "university1652",
        lambda root: [
            move("train/drone/0839", "0")(root),
            move("0", "train/drone/0839/0839")(root),
        ],
        r"train/drone/0839: holds folders instead of images \(1 such places\); move the images up",
    ),
    (
        "university1652",
        copy("train/drone/0839", "test/query_drone/0839"),
        r"test/query_drone: asks for training places \(0839\); keep training and test places",
    ),
    ("sues200", delete("Training/250"), r"Training/250: is missing"),
    ("sues200", delete("Testing/200/query_drone"), r"Testing/200/query_drone: is missing"),
    ("denseuav", delete("test/gallery_satellite"), r"test/gallery_satellite: is missing"),
    (
        "denseuav",
        write("Dense_GPS_ALL.txt", "train/satellite/000000/H80.tif 120.38 30.32 94.6\n"),
        r"Dense_GPS_ALL\.txt, line 1: has no E and N in '120\.38' '30\.32'; write lines as",
    ),
    ("gta_uav", delete("satellite"), r"satellite: is missing; unpack this part too"),
    (
        "gta_uav",
        lambda root: (root / "cross-area-drone2sate-test.json").unlink(),
        r"cross-area-drone2sate-test\.json: is missing; get it from the official page",
    ),
    (
        "gta_uav",
        lambda root: (root / "satellite/4_0_6_13.png").unlink(),
        r"drone2sate-train\.json: names images that are not in satellite \(4_0_6_13\.png\)",
    ),
    (
        "gta_uav",
        lambda root: (root / "drone/images/600_0001_0000000006.png").unlink(),
        r"test\.json: names images that are not in drone/images \(600_0001_0000000006\.png\)",
    ),
    (
        "gta_uav",
        lambda root: shutil.copy(
            root / "same-area-drone2sate-train.json", root / "same-area-drone2sate-test.json"
        ),
        r"same-area-drone2sate-test\.json: asks for training photos \(100_0001_0000000001\.png",
    ),
    (
        "gta_uav",
        write("same-area-drone2sate-test.json", "[]"),
        r"same-area-drone2sate-test\.json: has no photo with a positive tile",
    ),
    (
        "gta_uav",
        write("same-area-drone2sate-test.json", "<html>"),
        r"same-area-drone2sate-test\.json: is not JSON",
    ),
    (
        "uav_visloc",
        lambda root: (root / "satellite_ coordinates_range.csv").unlink(),
        r"satellite_coordinates_range\.csv: is missing; unpack it too",
    ),
    ("uav_visloc", delete("02"), r"has no usable test region \(02, 04, 11\); get the overall"),
    ("uav_visloc", delete("01", "03"), r"has no usable training region \(01, 03, 05, 08\)"),
    (
        "uav_visloc",
        lambda root: (root / "01/satellite01.tif").unlink(),
        r"01/satellite01\.tif: is missing; unpack the map",
    ),
    (
        "uav_visloc",
        write("01/satellite01.tif", "no map"),
        r"01/satellite01\.tif: is no readable TIFF",
    ),
    ("uav_visloc", delete("03/drone"), r"03/drone: is missing; unpack this region's photos"),
    (
        "uav_visloc",
        lambda root: (root / "03/drone/03_0001.JPG").unlink(),
        r"03/drone: lacks photos of its table \(03_0001\.JPG\)",
    ),
    (
        "uav_visloc",
        replace("satellite_ coordinates_range.csv", "satellite03.tif", "satellite04.tif"),
        r"coordinates_range\.csv: has no row for the map of region 03",
    ),
    (
        "folder",
        lambda root: [move("test/drone/church", "c")(root), move("test/drone/farm", "f")(root)],
        r"test: has no place with both drone and satellite views, so nothing can be asked for",
    ),
    (
        "folder",
        replace("positions.csv", "test/drone/church/a.jpg", "church/a.jpg"),
        r"positions\.csv: names church/a\.jpg, which is not there; give paths relative",
    ),
    (
        "folder",
        replace("positions.csv", "47.3769", "north"),
        r"positions\.csv, line 2: lat is 'north', no number",
    ),
]


@pytest.mark.parametrize(("name", "breaks", "message"), FATAL)
def test_what_makes_a_dataset_unusable_is_named(name, breaks, message, tmp_path) -> None:
    root = twins.WRITERS[name](tmp_path / "data")
    breaks(root)
    report = check_dataset(name, root)
    assert not report.usable
    assert re.search(message, told(report, "error")), told(report, "error")
    with pytest.raises(DatasetError, match=rf"check-data {name} .* tells all"):
        read_every_variant(name, root)


def read_every_variant(name: str, root: Path) -> None:
    for variant in DATASETS[name].variants or (None,):
        read_benchmark(name, root, variant)


HARMLESS = [
    (
        "university1652",
        delete("train/street"),
        r"train/street: is missing, so street views are not read; unpack it if needed",
    ),
    (
        "university1652",
        write("train/drone/0839/notes.docx", "x"),
        r"train/drone: holds files that are no images \(0839/notes\.docx\); remove them",
    ),
    (
        "denseuav",
        delete("test/gallery_drone"),
        r"gallery_drone: is missing, so satellite to drone cannot be evaluated",
    ),
    (
        "denseuav",
        lambda root: (root / "Dense_GPS_ALL.txt").unlink(),
        r"Dense_GPS_ALL\.txt: is missing; get it .* SDM and MA need it, recall does not",
    ),
    (
        "denseuav",
        lambda root: shutil.copy(root / "Dense_GPS_train.txt", root / "Dense_GPS_ALL.txt"),
        r"Dense_GPS_ALL\.txt: has no position of points 002256, 002257",
    ),
    ("gta_uav", write("satellite/index.html", ""), r"that are no PNG images \(index\.html\)"),
    (
        "uav_visloc",
        lambda root: twins.image(root / "03/drone/03_0099.JPG"),
        r"03/03\.csv: has no row for photos \(03_0099\.JPG\), so they are left out",
    ),
    ("uav_visloc", delete("03"), r"03: is missing, so this region is left out"),
]


@pytest.mark.parametrize(("name", "breaks", "message"), HARMLESS)
def test_what_only_takes_something_away_is_a_warning(name, breaks, message, tmp_path) -> None:
    root = twins.WRITERS[name](tmp_path / "data")
    breaks(root)
    report = check_dataset(name, root)
    assert report.usable, told(report, "error")
    assert re.search(message, told(report, "warning")), told(report, "warning")
    read_benchmark(name, root)


def test_hidden_files_and_readmes_are_no_finding(tmp_path) -> None:
    root = twins.write_folder(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "readme.txt"):
        (root / "train/drone/barn" / name).write_text("x")
    assert check_dataset("folder", root).findings == ()


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "sues200"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_dataset_nested_in_a_folder_is_found(name, depth, tmp_path) -> None:
    levels = ["Release"] * depth
    root = twins.WRITERS[name](tmp_path.joinpath("here", *levels))
    (finding,) = check_dataset(name, tmp_path / "here").findings
    assert finding.level == "error"
    assert finding.problem.endswith(f"which lies in {root}")
    assert finding.cure == f"give that folder: {root}"


@pytest.mark.parametrize(
    ("name", "inner"),
    [("university1652", "test"), ("sues200", "Testing/150"), ("gta_uav", "drone")],
)
def test_a_folder_inside_of_the_dataset_is_no_dataset(name, inner, tmp_path) -> None:
    root = twins.WRITERS[name](tmp_path / "data")
    (finding,) = check_dataset(name, root / inner).findings
    assert finding.cure == f"give that folder: {root}"


@pytest.mark.parametrize("name", DATASETS)
def test_nothing_there_says_what_to_get_from_where_and_the_layout(name, tmp_path) -> None:
    dataset = DATASETS[name]
    for folder, problem in ((tmp_path, "is not "), (tmp_path / "no", "is no folder")):
        (finding,) = check_dataset(name, folder).findings
        assert problem in finding.problem
        for part in (dataset.source, dataset.download, dataset.layout):
            assert part in finding.cure


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.jpg: is empty \(0 bytes\); unpack it again or remove it"),
        (b"not an image at all", r"a\.jpg: is no image of a supported kind"),
        (None, r"a\.jpg: is damaged or cut off"),
    ],
)
def test_unreadable_images_are_named(content, message, tmp_path) -> None:
    root = twins.write_folder(tmp_path)
    path = root / "train/drone/mill/a.jpg"
    path.write_bytes(path.read_bytes()[:-60] if content is None else content)
    report = check_dataset("folder", root, all_images=True)
    assert not report.usable
    assert re.search(message, told(report, "error")), told(report, "error")


def test_the_sample_is_spread_and_all_means_all(tmp_path) -> None:
    root = twins.write_sues200_raw(tmp_path, views=2)
    last = root / "satellite-view/0200/0.png"
    last.unlink()
    last.write_bytes(b"")
    steps: list[tuple[str, int, int]] = []
    sampled = check_dataset(
        "sues200", root, variant="150", progress=lambda *step: steps.append(step)
    )
    assert (sampled.images_opened, sampled.images_total) == (SAMPLE, 600)
    assert steps[-1] == ("images", SAMPLE, SAMPLE)
    assert sampled.usable
    every = check_dataset("sues200", root, variant="150", all_images=True)
    assert every.images_opened == 600
    assert "0200/0.png: is empty" in told(every, "error")


def test_a_part_of_the_raw_download_of_sues200_is_missed(tmp_path) -> None:
    root = twins.write_sues200_raw(tmp_path, views=1)
    shutil.rmtree(root / "drone_view_512/0008")
    shutil.rmtree(root / "satellite-view/0001")
    report = check_dataset("sues200", root, variant="150")
    assert "drone_view_512: lacks places (0008); unpack them again" in told(report, "error")
    assert "satellite-view: lacks places (0001)" in told(report, "error")
    shutil.rmtree(root / "satellite-view")
    report = check_dataset("sues200", root, variant="150")
    assert "satellite-view: is missing; unpack this part" in told(report, "error")


def test_all_variants_are_checked_unless_one_is_named(tmp_path) -> None:
    root = twins.write_sues200_split(tmp_path)
    shutil.rmtree(root / "Testing/300")
    assert not check_dataset("sues200", root).usable
    assert check_dataset("sues200", root, variant="150").usable
    with pytest.raises(UsageError, match="variant '175'"):
        check_dataset("sues200", root, variant="175")


def run(*arguments: str | Path) -> Any:
    app = typer.Typer()
    app.command()(check_data)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command_prints_counts_and_ends_well(tmp_path) -> None:
    result = run("folder", twins.write_folder(tmp_path))
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["gallery_satellite", "3", "3"] in lines
    assert result.stdout.endswith("opened 9 of 9 images\nfolder: usable\n")


def test_command_prints_official_numbers_where_they_differ(tmp_path) -> None:
    result = run("university1652", twins.write_university1652(tmp_path))
    assert result.exit_code == 0
    assert "gallery_drone      3 of 951  9 of 51,355" in result.stdout
    assert "warning: " in result.stdout


def test_command_lists_the_datasets_for_an_unknown_name(tmp_path) -> None:
    result = run("?", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert all(name in str(result.exception) for name in DATASETS)


def test_command_tells_errors_first(tmp_path) -> None:
    root = twins.write_university1652(tmp_path)
    shutil.rmtree(root / "test")
    result = run("university1652", root)
    assert result.exit_code == 3
    assert result.stdout.startswith(f"error: {root / 'test'}: is missing; unpack")
    assert result.stdout.endswith("university1652: not usable as it is\n")


def test_command_fails_with_3_and_prints_json(tmp_path) -> None:
    root = twins.write_folder(tmp_path)
    shutil.rmtree(root / "test")
    result = run("folder", root, "--json")
    assert result.exit_code == 3
    record = json.loads(result.stdout)
    assert not record["usable"]
    assert record["findings"][0] == {
        "level": "error",
        "where": str(root / "test"),
        "problem": "is missing",
        "cure": "unpack this part of the dataset too",
    }
    assert record["counts"][0]["subset"] == "train_drone"
