"""The command line does what its help and the contract say."""

from __future__ import annotations

import csv
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import typer
from PIL import Image

from cli_kit import Outcome, World, call, run, small_world
from mobilegeo.cli import app
from mobilegeo.encoder import SHIPPED, load_encoder
from mobilegeo.encoder.registry import card as model_card
from mobilegeo.errors import EncoderError
from mobilegeo.geo import LatLon, destination, distance_m, wrap_deg
from mobilegeo.maps.pack import MapPack

RECORD = {
    *("photo", "status", "lat", "lon", "sigma_m", "confidence", "heading_deg", "method", "reason"),
    *("candidates", "timing_ms"),
}
EXTRA = {"camera_lat", "camera_lon", "details"}
STAGES = {"read", "normalise", "encode", "search", "align", "verify", "total"}
NEAR_M = 25.0


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return small_world(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def located(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """All photos at once, in a process of its own, with everything written."""
    folder = tmp_path_factory.mktemp("located")
    outcome = run(
        "locate", world.folder / "photos", "--map", world.pack, "--json",
        "--out", folder / "fixes.jsonl", "--report", folder / "report",
    )  # fmt: skip
    return outcome, folder


def fix_of(outcome: Outcome) -> dict:
    """The only record, which is a fix."""
    (record,) = outcome.records
    assert (outcome.code, outcome.err, record["status"]) == (0, "", "fix"), outcome
    return record


def no_fix_of(outcome: Outcome) -> dict:
    """The only record, which is no fix, and that is no failure."""
    (record,) = outcome.records
    assert (outcome.code, outcome.err, record["status"]) == (0, "", "no_fix"), outcome
    assert record["reason"]
    assert (record["lat"], record["lon"], record["sigma_m"]) == (None, None, None)
    return record


def error_m(record: dict, world: World) -> float:
    return distance_m(LatLon(record["lat"], record["lon"]), world.place(Path(record["photo"])))


def write_rows(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def leaves(command, path=()):
    """Every command with its name, groups left out."""
    if not hasattr(command, "commands"):
        yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*path, name))


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(leaves(typer.main.get_command(app))), ids=" ".join)
def test_help_has_an_example(path: tuple[str, ...]) -> None:
    outcome = call(*path, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Example: mobilegeo {' '.join(path)}" in " ".join(outcome.out.split())


def test_help_shows_option_names_and_the_extra_in_full() -> None:
    assert "--retrieval-only" in call("locate", "--help").out
    assert "pip install 'mobilegeo[learn]'" in call("learn", "--help").out


def test_no_arguments_show_the_help() -> None:
    outcome = call()
    assert outcome.code == 0
    assert "mobilegeo demo" in outcome.out
    assert "--debug" in outcome.out


# --- map ----------------------------------------------------------------------------------------


def test_map_build_is_silent_but_for_its_result(world: World) -> None:
    assert (world.build.code, world.build.err) == (0, "")
    (facts,) = world.build.records
    assert facts["hashes_verified"] is True
    assert facts["footprints_m"] == [60.0, 120.0, 240.0]
    assert not list(world.folder.glob("*.partial"))


def test_map_info_json(world: World) -> None:
    outcome = call("map", "info", world.pack, "--json")
    (facts,) = outcome.records
    assert outcome.code == 0
    pack = MapPack.open(world.pack)
    box = pack.bounds
    names = ("south", "west", "north", "east")
    assert facts["bounds"] == {name: getattr(box, name) for name in names}
    assert facts["footprints_m"] == list(pack.footprints_m)
    assert facts["tiles"] == len(pack.tiles) == sum(facts["tiles_per_footprint"].values())
    assert facts["encoder"] == {"id": pack.encoder_id, "sha256": load_encoder().sha256}
    files = [path for path in world.pack.rglob("*") if path.is_file()]
    assert facts["bytes"] == sum(path.stat().st_size for path in files)
    assert facts["hashes_verified"] is True


def test_map_info_for_people(world: World) -> None:
    lines = call("map", "info", world.pack).out.splitlines()
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert shown["pack"] == str(world.pack)
    assert shown["hashes"] == "verified"
    assert {"from", "bounds", "area", "tiles", "encoder", "size"} <= set(shown)


def test_map_build_takes_options_and_replaces_a_pack_with_overwrite_only(
    world: World, tmp_path: Path
) -> None:
    out = tmp_path / "p.pack"
    command = ("map", "build", world.map_tif, "-o", out, "--json", "--stride", "0.5")
    (facts,) = call(*command, "--footprint-m", "150,240").records
    assert facts["footprints_m"] == [150.0, 240.0]
    assert set(facts["tiles_per_footprint"]) == {"150", "240"}
    again = call(*command)
    assert again.code == 3
    assert again.err.startswith(f"mobilegeo: {out}: exists already; ")
    assert "--overwrite" in again.err
    (facts,) = call(*command, "--overwrite", "--footprint-m", "200").records
    assert facts["footprints_m"] == [200.0]
    assert list(tmp_path.iterdir()) == [out]


# --- locate -------------------------------------------------------------------------------------


def test_locate_a_folder_prints_one_record_a_photo(
    world: World, located: tuple[Outcome, Path]
) -> None:
    outcome, folder = located
    assert outcome.code == 0
    # No progress bar where stderr is no terminal.
    assert outcome.err == f"report: {folder / 'report' / 'report.html'}\n"
    assert [record["photo"] for record in outcome.records] == [str(p) for p in world.photos]


def test_record_has_the_contract_s_fields(located: tuple[Outcome, Path]) -> None:
    for record in located[0].records:
        assert set(record) == RECORD | EXTRA
        assert record["status"] == "fix"
        assert record["method"] == "aligned"
        assert 0 < record["sigma_m"] < 100
        assert 0 <= record["confidence"] <= 1
        assert 0 <= record["heading_deg"] < 360
        assert set(record["timing_ms"]) == STAGES
        assert len(record["candidates"]) == 5
        for candidate in record["candidates"]:
            assert set(candidate) == {"lat", "lon", "score", "footprint_m"}
        scores = [candidate["score"] for candidate in record["candidates"]]
        assert scores == sorted(scores, reverse=True)


def test_photos_are_found(world: World, located: tuple[Outcome, Path]) -> None:
    for record in located[0].records:
        assert error_m(record, world) < NEAR_M
        true = world.truth[Path(record["photo"]).name]
        assert abs(wrap_deg(record["heading_deg"] - true["heading_deg"])) < 10
        camera = LatLon(record["camera_lat"], record["camera_lon"])
        assert distance_m(camera, LatLon(true["camera_lat"], true["camera_lon"])) < NEAR_M


def test_jsonl_file_holds_what_was_printed(located: tuple[Outcome, Path]) -> None:
    outcome, folder = located
    assert (folder / "fixes.jsonl").read_text(encoding="utf-8") == outcome.out


def test_report_shows_every_photo(world: World, located: tuple[Outcome, Path]) -> None:
    page = (located[1] / "report" / "report.html").read_text(encoding="utf-8")
    assert all(photo.name in page for photo in world.photos)


def test_evaluate_json(world: World, located: tuple[Outcome, Path]) -> None:
    outcome, folder = located
    fixes = ("evaluate", "--fixes", folder / "fixes.jsonl", "--truth", world.truth_csv)
    evaluated = call(*fixes, "--json")
    (figures,) = evaluated.records
    errors = sorted(error_m(record, world) for record in outcome.records)
    assert evaluated.code == 0
    assert (figures["photos"], figures["fixes"], figures["fix_rate"]) == (3, 3, 1.0)
    assert figures["median_error_m"] == pytest.approx(errors[1], abs=0.01)
    assert figures["within_25m"] == figures["within_100m"] == 1.0
    assert figures["wrong_fix_rate"] == 0.0
    assert {"p90_error_m", "within_10m", "within_50m"} <= set(figures)
    assert "median error" in call(*fixes).out


@pytest.fixture(scope="module")
def one(world: World) -> tuple[str | Path, ...]:
    return ("locate", world.photos[0], "--map", world.pack, "--json")


def test_locate_for_people(world: World) -> None:
    outcome = call("locate", world.photos[0], "--map", world.pack)
    assert outcome.code == 0
    (line,) = outcome.out.splitlines()
    assert line.startswith(f"{world.photos[0]}  ")
    assert " ±" in line
    assert "heading" in line


@pytest.mark.parametrize("name", ["f.geojson", "f.gpx", "f.kml", "f.csv", "f.jsonl", "F.GEOJSON"])
def test_out_formats_hold_the_fix(one: tuple[str | Path, ...], tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    record = fix_of(call(*one, "--out", path))
    assert list(tmp_path.iterdir()) == [path]
    here = (pytest.approx(record["lat"], abs=1e-6), pytest.approx(record["lon"], abs=1e-6))
    assert here == position_in(path)


def position_in(path: Path) -> tuple[float, float]:
    """Latitude and longitude of the only fix in a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() in {".geojson", ".jsonl"}:
        data = json.loads(text)
        if path.suffix == ".jsonl":
            return data["lat"], data["lon"]
        points = [f for f in data["features"] if f["geometry"]["type"] == "Point"]
        lon, lat = points[0]["geometry"]["coordinates"][:2]
        return lat, lon
    if path.suffix == ".csv":
        (row,) = csv.DictReader(text.splitlines())
        return float(row["lat"]), float(row["lon"])
    root = ET.fromstring(text)  # noqa: S314 - our own file
    if path.suffix == ".gpx":
        (point,) = root.iter("{http://www.topografix.com/GPX/1/1}wpt")
        return float(point.attrib["lat"]), float(point.attrib["lon"])
    (point,) = root.iter("{http://www.opengis.net/kml/2.2}Point")
    lon, lat = (float(x) for x in (point[-1].text or "").split(",")[:2])
    return lat, lon


def test_retrieval_only_stops_before_alignment(one: tuple[str | Path, ...]) -> None:
    (record,) = call(*one, "--retrieval-only").records
    assert record["status"] in {"fix", "no_fix"}
    assert record["method"] == "retrieval"
    assert record["timing_ms"].get("align", 0.0) == 0.0
    assert record["candidates"]


@pytest.mark.parametrize("top", [1, 3])
def test_top_limits_the_candidates(one: tuple[str | Path, ...], top: int) -> None:
    assert len(fix_of(call(*one, "--top", str(top)))["candidates"]) == top


def test_together_gives_one_answer(world: World) -> None:
    outcome = call("locate", *world.photos, "--map", world.pack, "--together", "--json")
    (record,) = outcome.records
    assert outcome.code == 0
    assert record["photo"] in map(str, world.photos)
    assert "of 3 views used" in record["reason"]


def test_together_finds_the_place_of_one_photo_seen_twice(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "again.jpg"
    copy.write_bytes(world.photos[0].read_bytes())
    outcome = call("locate", world.photos[0], copy, "--map", world.pack, "--together", "--json")
    record = fix_of(outcome)
    here = LatLon(record["lat"], record["lon"])
    assert distance_m(here, world.place(world.photos[0])) < NEAR_M


def test_near_bounds_the_answer(one: tuple[str | Path, ...], world: World) -> None:
    place = world.place(world.photos[0])
    here = f"{place.lat},{place.lon}"
    record = fix_of(call(*one, "--near", here, "--radius-m", "80"))
    assert error_m(record, world) < NEAR_M
    away = destination(place, 200.0, 20_000.0)
    record = no_fix_of(call(*one, "--near", f"{away.lat},{away.lon}"))
    assert record["reason"] == "no tile of the map lies where the photo can have been taken"


def test_near_in_the_southern_hemisphere_is_no_option(one: tuple[str | Path, ...]) -> None:
    no_fix_of(call(*one, "--near", "-33.5,-70.6"))


# --- what is known of a photo: command line over CSV over the photo -----------------------------


def test_heading_from_command_line_over_csv_over_photo(
    one: tuple[str | Path, ...], world: World, tmp_path: Path
) -> None:
    name = world.photos[0].name
    true = world.truth[name]["heading_deg"]
    wrong = write_rows(tmp_path / "t.csv", "photo,heading_deg", f"{name},{wrap_deg(true + 120)}")
    (record,) = call(*one, "--telemetry", wrong).records
    if record["status"] == "fix":
        assert abs(wrap_deg(record["heading_deg"] - true)) > 60
    record = fix_of(call(*one, "--telemetry", wrong, "--heading-deg", str(true)))
    assert abs(wrap_deg(record["heading_deg"] - true)) < 10
    assert error_m(record, world) < NEAR_M


def test_height_from_command_line_over_csv_over_photo(
    one: tuple[str | Path, ...], world: World, tmp_path: Path
) -> None:
    name = world.photos[0].name
    true = world.truth[name]["agl_m"]
    own = fix_of(call(*one))["details"]["agl_m"]
    assert own == pytest.approx(true, rel=0.2)
    triple = write_rows(tmp_path / "t.csv", "photo,agl_m", f"{name},{3 * true}")
    told = call(*one, "--telemetry", triple).records[0]["details"]["agl_m"]
    assert told == pytest.approx(3 * true, rel=0.3)
    last = fix_of(call(*one, "--telemetry", triple, "--agl-m", str(true)))["details"]["agl_m"]
    assert last == pytest.approx(true, rel=0.2)


@pytest.fixture
def lost(world: World, tmp_path: Path) -> tuple[str | Path, ...]:
    """The first photo with a GPS position a thousand kilometres off, to be located."""
    path = tmp_path / world.photos[0].name
    with Image.open(world.photos[0]) as photo:
        exif = photo.getexif()
        exif.get_ifd(0x8825)[2] = (45.0, 0.0, 0.0)
        photo.save(path, exif=exif, xmp=photo.info["xmp"], quality=95)
    return ("locate", path, "--map", world.pack, "--json")


def test_own_gps_is_a_prior_unless_ignored(lost: tuple[str | Path, ...], world: World) -> None:
    record = no_fix_of(call(*lost))
    assert "km outside the map; use --ignore-gps" in record["reason"]
    assert error_m(fix_of(call(*lost, "--ignore-gps")), world) < NEAR_M


def test_position_from_command_line_over_csv_over_photo(
    one: tuple[str | Path, ...], lost: tuple[str | Path, ...], world: World, tmp_path: Path
) -> None:
    name, place = world.photos[0].name, world.place(world.photos[0])
    true = f"{place.lat},{place.lon}"
    right = write_rows(tmp_path / "right.csv", "photo,lat,lon", f"{name},{true}")
    wrong = write_rows(tmp_path / "wrong.csv", "photo,lat,lon", f"{name},45,{place.lon}")
    assert error_m(fix_of(call(*lost, "--telemetry", right)), world) < NEAR_M
    assert "outside the map" in no_fix_of(call(*one, "--telemetry", wrong))["reason"]
    # --ignore-gps speaks of the photo's own position, not of one that the user gave.
    no_fix_of(call(*one, "--telemetry", wrong, "--ignore-gps"))
    assert error_m(fix_of(call(*one, "--telemetry", wrong, "--near", true)), world) < NEAR_M


def test_csv_row_of_another_photo_changes_nothing(
    one: tuple[str | Path, ...], tmp_path: Path
) -> None:
    other = write_rows(tmp_path / "t.csv", "photo,heading_deg,agl_m", "OTHER.JPG,12,500")
    plain, told = (fix_of(call(*one, *extra)) for extra in ((), ("--telemetry", other)))
    for record in (plain, told):
        del record["timing_ms"]
    assert plain == told


def test_a_view_of_the_sky_is_an_answer(one: tuple[str | Path, ...]) -> None:
    record = no_fix_of(call(*one, "--pitch-deg", "60"))
    assert "shows no ground" in record["reason"]


# --- encoders, learn, demo ----------------------------------------------------------------------


def test_encoders_list_and_info() -> None:
    listed = call("encoders", "list")
    assert [line.split()[0] for line in listed.out.splitlines()] == list(SHIPPED)
    (every,) = call("encoders", "list", "--json").records
    assert {name: load_encoder(name).sha256 for name in SHIPPED} == {
        name: facts["sha256"] for name, facts in every.items()
    }
    (facts,) = call("encoders", "info", listed.out.split()[0], "--json").records
    assert facts["sha256"] == load_encoder().sha256
    assert facts["embedding_dim"] == load_encoder().spec.embedding_dim
    assert "embedding_dim" in call("encoders", "info", listed.out.split()[0]).out


@pytest.mark.parametrize("name", SHIPPED)
def test_every_encoder_has_a_card_with_its_hash_and_licences(name: str) -> None:
    card = call("encoders", "info", name, "--card").out
    assert load_encoder(name).sha256 in card
    assert all(word in card for word in ("CC-BY-4.0", "Apache-2.0", "Limits"))
    with pytest.raises(EncoderError, match=r"x\.onnx: is no shipped encoder; choose one of"):
        model_card("x.onnx")


@pytest.mark.parametrize("missing", [("torch",), ("timm",), ("torch", "timm")])
def test_learn_without_torch_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    outcome = call("learn", "train", "any.toml")
    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.err == (
        f"mobilegeo: learn: needs {' and '.join(missing)}, not installed here; "
        "run: pip install 'mobilegeo[learn]'\n"
    )


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    outcome = run("demo", "--out", tmp_path / "demo", "--json")
    (record,) = outcome.records
    assert (outcome.code, outcome.err) == (0, "")
    assert list(record) == [
        *("photos", "fixes", "median_error_m", "p90_error_m", "within_25m", "within_50m"),
        "seconds",
    ]
    assert record["fixes"] >= 0.9 * record["photos"]
    assert record["median_error_m"] <= 8.0
    assert (tmp_path / "demo" / "report.html").is_file()
    fixes = json.loads((tmp_path / "demo" / "fixes.geojson").read_text(encoding="utf-8"))
    assert len(fixes["features"]) >= record["fixes"]


def test_demo_prints_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World) -> None:
    import mobilegeo.demo as library

    write_demo = library.write_demo
    small = {"photos": 2, "size_m": (260, 260), "photo_px": (320, 240)}
    monkeypatch.setattr(library, "write_demo", lambda out, seed: write_demo(out, seed, **small))
    outcome = call("demo", "--out", tmp_path / "d", "--seed", "3")
    assert (outcome.code, outcome.err) == (0, "")
    assert "SIM_0001.jpg" in outcome.out
    assert f"Open {tmp_path / 'd' / 'report.html'}" in outcome.out
    assert (tmp_path / "d" / "fixes.geojson").is_file()
