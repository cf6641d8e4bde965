"""Each reader reads its twin right: places, views, official names, distractors, positions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dataset_twins as twins
import mobilegeo
from mobilegeo.errors import DatasetError, UsageError
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.learn.datasets.catalogue import DATASETS, find_dataset, read_benchmark
from mobilegeo.learn.datasets.records import Benchmark, PixelBox, PlanePoint
from mobilegeo.learn.datasets.sues200 import PLACES, TEST_PLACES
from mobilegeo.learn.datasets.uav_visloc import TILE_M
from mobilegeo.learn.datasets.university1652 import spiral_height_m

FOUR = {"query_drone", "query_satellite", "gallery_drone", "gallery_satellite"}


def relevant(benchmark: Benchmark, task: str) -> list[list[int]]:
    return [rows.tolist() for rows in benchmark.retrieval(task).relevant()]


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_yields_the_same_records(name, tmp_path) -> None:
    root = twins.WRITERS[name](tmp_path / name)
    benchmark = read_benchmark(name, root)
    assert (benchmark.name, benchmark.root) == (name, root)
    assert set(benchmark.subsets) >= FOUR
    assert set(benchmark.retrievals) == {"D2S", "S2D"}
    assert benchmark.train
    for place in benchmark.train:
        assert place.of_kind("drone")
        assert place.of_kind("satellite")
        assert {view.place for view in place.views} == {place.id}
    for subset in benchmark.subsets.values():
        assert {view.kind for view in subset.views} == {subset.kind}
        assert list(subset.places) == sorted(subset.places, key=lambda place: place.id)
    for task in benchmark.retrievals.values():
        rows = task.relevant()
        assert len(rows) == len(task.query.views)
        assert all(len(found) and found.dtype == np.int64 for found in rows)
        assert task.targets.place_ids | task.distractors.place_ids == task.gallery.place_ids
        assert not task.targets.place_ids & task.distractors.place_ids
    every = [view for place in benchmark.train for view in place.views]
    every += [view for subset in benchmark.subsets.values() for view in subset.views]
    assert all(view.path.is_file() for view in every)


def test_the_catalogue_names_each_dataset_as_it_names_itself() -> None:
    assert {name: dataset.name for name, dataset in DATASETS.items()} == {n: n for n in DATASETS}
    with pytest.raises(UsageError, match=r"'cvusa': is not known; use one of: university1652"):
        find_dataset("cvusa")


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys; import mobilegeo.learn.datasets.check, mobilegeo.learn.datasets.pixels;"
        "print(sorted({'torch', 'timm', 'rasterio'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(mobilegeo.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "[]\n", run.stderr


def test_university1652(tmp_path) -> None:
    benchmark = read_benchmark("university1652", twins.write_university1652(tmp_path / "U"))
    assert [place.id for place in benchmark.train] == list(twins.UNIVERSITY_TRAIN)
    first = benchmark.train[0]
    assert [view.path.name for view in first.of_kind("drone")] == [
        "image-01.jpeg", "image-27.jpeg", "image-54.jpeg",
    ]  # fmt: skip
    assert [view.path.name for view in first.of_kind("satellite")] == ["0839.jpg"]
    assert len(first.of_kind("street")) == len(first.of_kind("google")) == 1
    assert not benchmark.train[1].of_kind("google")
    task = benchmark.retrieval("D2S")
    assert (task.query.name, task.gallery.name) == ("query_drone", "gallery_satellite")
    assert [place.id for place in task.distractors.places] == [twins.UNIVERSITY_DISTRACTOR]
    assert relevant(benchmark, "D2S") == [[0], [0], [0], [1], [1], [1]]
    assert relevant(benchmark, "S2D") == [[0, 1, 2], [3, 4, 5]]
    assert {"query_street", "gallery_street"} <= set(benchmark.subsets)


def test_university1652_heights_follow_the_spiral(tmp_path) -> None:
    benchmark = read_benchmark("university1652", twins.write_university1652(tmp_path / "U"))
    views = benchmark.train[0].of_kind("drone")
    assert [view.height_m for view in views] == [256.0, spiral_height_m(27), 121.5]
    steps = np.diff([spiral_height_m(number) or 0 for number in range(1, 55)])
    np.testing.assert_allclose(steps, (121.5 - 256.0) / 53)
    assert spiral_height_m(0) is spiral_height_m(55) is None


def test_university1652_without_street_views(tmp_path) -> None:
    root = twins.write_university1652(tmp_path / "U")
    for folder in ("train/street", "train/google", "test/query_street", "test/gallery_street"):
        remove(root / folder)
    benchmark = read_benchmark("university1652", root)
    assert set(benchmark.subsets) == FOUR
    assert {view.kind for place in benchmark.train for view in place.views} == {
        "drone", "satellite",
    }  # fmt: skip


@pytest.mark.parametrize("height", ["150", "200", "250", "300"])
def test_sues200_by_height(height, tmp_path) -> None:
    benchmark = read_benchmark("sues200", twins.write_sues200_split(tmp_path), height)
    assert benchmark.variant == height
    assert [place.id for place in benchmark.train] == list(twins.SUES_TRAIN)
    task = benchmark.retrieval("D2S")
    assert {view.height_m for view in task.query.views} == {float(height)}
    assert {view.height_m for view in task.gallery.views} == {None}
    assert all(f"/{height}/" in view.path.as_posix() for view in task.gallery.views)
    assert [place.id for place in task.distractors.places] == list(twins.SUES_TRAIN)
    assert relevant(benchmark, "S2D") == [[6, 7], [8, 9]]


def test_sues200_raw_download_is_split_as_officially(tmp_path) -> None:
    root = twins.write_sues200_raw(tmp_path, heights=(150, 300), views=2)
    benchmark = read_benchmark("sues200", root, "300")
    task = benchmark.retrieval("D2S")
    assert len(benchmark.train) == 120
    assert (len(task.query.places), len(task.gallery.places)) == (80, 200)
    assert task.query.views[0].path == root / "drone_view_512/0008/300/0.jpg"
    assert task.gallery.views[0].path == root / "satellite-view/0001/0.png"
    assert {place.id for place in benchmark.train} == PLACES - TEST_PLACES
    assert task.distractors.place_ids == PLACES - TEST_PLACES


def test_sues200_official_split_has_80_of_200_places() -> None:
    assert len(PLACES) == 200
    assert len(TEST_PLACES) == 80
    assert TEST_PLACES < PLACES
    # Ends of the authors' list of training places, and their neighbours left out by it.
    assert {"0001", "0007", "0009", "0196", "0200"} <= PLACES - TEST_PLACES
    assert {"0008", "0012", "0194", "0195"} <= TEST_PLACES


def test_denseuav_has_positions_and_heights(tmp_path) -> None:
    benchmark = read_benchmark("denseuav", twins.write_denseuav(tmp_path))
    task = benchmark.retrieval("D2S")
    assert [view.path.name for view in task.query.places[0].views] == [
        "H100.JPG", "H80.JPG", "H90.JPG",
    ]  # fmt: skip
    assert [view.height_m for view in task.query.places[0].views] == [100.0, 80.0, 90.0]
    assert len(task.gallery.places[0].views) == 6
    assert task.query.views[0].lat_lon == LatLon(30.32 + 0.0003, 120.38 + 0.0006)
    assert all(isinstance(view.position, LatLon) for view in task.gallery.views)
    assert task.distractors.place_ids == set(twins.DENSE_TRAIN)


def test_denseuav_without_the_other_direction_and_without_positions(tmp_path) -> None:
    root = twins.write_denseuav(tmp_path)
    remove(root / "test/gallery_drone")
    (root / "Dense_GPS_ALL.txt").unlink()
    benchmark = read_benchmark("denseuav", root)
    assert set(benchmark.retrievals) == {"D2S"}
    with pytest.raises(UsageError, match=r"'S2D': denseuav has none such; use one of: D2S"):
        benchmark.retrieval("S2D")
    with pytest.raises(UsageError, match=r"H100\.JPG: has no latitude and longitude"):
        _ = benchmark.subsets["query_drone"].views[0].lat_lon


@pytest.mark.parametrize("split", twins.GTA_SPLITS)
def test_gta_uav(split, tmp_path) -> None:
    benchmark = read_benchmark("gta_uav", twins.write_gta_uav(tmp_path), split)
    assert benchmark.variant == split
    assert len(benchmark.pairs) == 5
    assert [pair.positive for pair in benchmark.pairs] == [True, False, True, True, False]
    assert [pair.overlap for pair in benchmark.pairs] == [0.47, 0.28, 0.44, 0.41, 0.2]
    trained = {place.id: place for place in benchmark.train}
    assert set(trained) == {"4_0_6_13.png", "5_0_12_26.png"}
    assert len(trained["4_0_6_13.png"].of_kind("drone")) == 2
    task = benchmark.retrieval("D2S")
    assert len(task.query.views) == 2  # the third has a semi-positive tile only
    assert [view.path.stem for view in task.gallery.views] == [
        "4_0_0_0", "4_0_6_13", "5_0_12_26", "5_0_12_27", "5_0_13_26", "5_0_13_27",
    ]  # fmt: skip
    assert relevant(benchmark, "D2S") == [[1, 3], [2]]
    assert [view.path.stem for view in benchmark.subsets["query_satellite"].views] == [
        "4_0_6_13", "5_0_12_26", "5_0_12_27",
    ]  # fmt: skip
    assert relevant(benchmark, "S2D") == [[0], [1], [0]]
    assert task.query.views[0].position == PlanePoint(4472.2036708036, 9460.91532053518)
    assert task.query.views[0].height_m == 494.70794677734375


def test_gta_uav_tiles_that_share_a_photo_are_no_negatives(tmp_path) -> None:
    root = twins.write_gta_uav(tmp_path)
    path = root / "same-area-drone2sate-train.json"
    entries = json.loads(path.read_text())
    entries.append(twins.gta_entry(entries[0]["drone_img_name"] + ".png", {"5_0_12_27": 0.5}))
    twins.image(root / "drone/images" / entries[-1]["drone_img_name"])
    path.write_text(json.dumps(entries))
    places = {place.id: place for place in read_benchmark("gta_uav", root, "same-area").train}
    assert places["4_0_6_13.png"].overlaps == {"5_0_12_27.png"}
    assert places["5_0_12_27.png"].overlaps == {"4_0_6_13.png"}
    assert not places["5_0_12_26.png"].overlaps


def test_uav_visloc_cuts_maps_and_matches_by_position(tmp_path) -> None:
    benchmark = read_benchmark("uav_visloc", twins.write_uav_visloc(tmp_path))
    task = benchmark.retrieval("D2S")
    assert [view.path.name for view in task.query.views] == ["02_0001.JPG"]
    (query,) = task.query.views
    assert len(task.gallery.views) == 81  # 1.5 km in squares of 300 m, half of it apart
    near = [
        distance_m(query.lat_lon, tile.lat_lon) < TILE_M / 4 * 2**0.5 for tile in task.gallery.views
    ]
    assert np.flatnonzero(near).tolist() == relevant(benchmark, "D2S")[0]
    assert query.height_m == 466.4
    assert query.heading_deg == 269.75  # -90.25
    assert task.gallery.views[40].crop == PixelBox(60, 60, 30, 30)
    assert {view.path.name for view in task.gallery.views} == {"satellite02.tif"}


def test_uav_visloc_trains_on_its_own_regions(tmp_path) -> None:
    benchmark = read_benchmark("uav_visloc", twins.write_uav_visloc(tmp_path))
    photos = [view for place in benchmark.train for view in place.of_kind("drone")]
    assert sorted(view.path.name for view in photos) == [
        "01_0001.JPG", "01_0002.JPG", "03_0001.JPG", "03_0002.JPG",
    ]  # fmt: skip
    headings = {view.path.name[:2]: view.heading_deg for view in photos}
    assert headings == {"01": 269.75, "03": None}
    corner = [pair for pair in benchmark.pairs if pair.drone.path.name == "01_0002.JPG"]
    assert not any(pair.positive for pair in corner)
    middle = [pair for pair in benchmark.pairs if pair.drone.path.name == "01_0001.JPG"]
    assert max(pair.overlap for pair in middle) > 0.95


def test_folder_reads_positions_and_distractors(tmp_path) -> None:
    benchmark = read_benchmark("folder", twins.write_folder(tmp_path))
    assert [place.id for place in benchmark.train] == ["barn", "mill"]
    task = benchmark.retrieval("D2S")
    assert [place.id for place in task.distractors.places] == ["pond"]
    church = task.query.places[0].views[0]
    assert church.lat_lon == LatLon(47.3769, 8.5417)
    assert (church.height_m, church.heading_deg) == (120.0, 270.0)
    tile = task.gallery.places[0].views[0]
    assert (tile.height_m, tile.heading_deg) == (None, None)
    assert task.query.places[1].views[0].position is None


def test_unknown_variants_are_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"variant '175': sues200 .*150, 200, 250, 300"):
        read_benchmark("sues200", tmp_path, "175")
    with pytest.raises(UsageError, match=r"variant '150': denseuav has none such; leave it out"):
        read_benchmark("denseuav", tmp_path, "150")


def test_reading_a_broken_dataset_names_the_first_error_and_the_command(tmp_path) -> None:
    root = twins.write_university1652(tmp_path / "U")
    remove(root / "test")
    command = rf"mobilegeo learn check-data university1652 {root} tells all"
    with pytest.raises(DatasetError, match=rf"U/test: is missing; unpack this part .*{command}"):
        read_benchmark("university1652", root)


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
