"""Bad input ends in one line that names the place, the problem and the cure."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from cli_kit import (
    HEAR_CTRL_C,
    OBEY_PERMISSIONS,
    STRIDE,
    Outcome,
    World,
    call,
    run,
    small_world,
    start,
)
from maps_kit import folder_hashes, write_raster
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.maps.cells import CHUNK_CELLS
from mobilegeo.maps.record import record_hash
from mobilegeo.maps.workspace import Workspace

RECOPY = "copy it from the camera again"
NEAR_M = 25.0


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return small_world(tmp_path_factory.getbasetemp())


@pytest.fixture
def pack(world: World, tmp_path: Path) -> Path:
    """A copy of the pack, to be damaged."""
    return Path(shutil.copytree(world.pack, tmp_path / "copy.pack"))


def refused(outcome: Outcome, code: int, where: str | Path, *parts: str) -> None:
    """Asserts one line on stderr, `mobilegeo: WHERE: problem; cure`, and nothing else."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert_told(outcome.err, where, *parts)


def assert_told(err: str, where: str | Path, *parts: str) -> None:
    assert err.startswith(f"mobilegeo: {where}: "), err
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    message = err.removeprefix(f"mobilegeo: {where}: ")
    problem, _, cure = message.partition("; ")
    assert problem
    assert cure.strip()
    for part in parts:
        assert part in message, err


# --- photos: the others go on -------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """A PNG that promises more pixels than it has."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(999))), chunk(b"IEND", b"")]
    )


def broken_photos(good: bytes) -> dict[str, tuple[bytes, str, str]]:
    """Content, problem and cure by name."""
    return {
        "truncated.jpg": (good[: len(good) // 2], "is damaged or cut off", RECOPY),
        "head_only.jpg": (good[:20], "is damaged or cut off", RECOPY),
        "fake.jpg": (b"<html>not found</html>" * 99, "is no image", "convert it to JPEG"),
        "empty.jpg": (b"", "is empty (0 bytes)", RECOPY),
        "bomb_100_megapixels.png": (png(10_000, 10_000), "is damaged or cut off", RECOPY),
        "bomb_400_megapixels.png": (png(20_000, 20_000), "has 20000 × 20000 pixels", "reduce"),
        "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(99), "is a HEIC", "convert it to JPEG"),
    }


def test_unreadable_photos_are_reported_and_the_others_located(
    world: World, tmp_path: Path
) -> None:
    photos = broken_photos(world.photos[0].read_bytes())
    for name, (content, _, _) in photos.items():
        (tmp_path / name).write_bytes(content)
    paths = [*(tmp_path / name for name in photos), tmp_path / "absent.jpg", world.photos[0]]
    out = tmp_path / "fixes.csv"
    outcome = call("locate", *paths, "--map", world.pack, "--json", "--out", out)
    assert outcome.code == 1
    assert [record["photo"] for record in outcome.records] == [str(path) for path in paths]
    *bad, good = outcome.records
    assert {record["status"] for record in bad} == {"error"}
    assert good["status"] == "fix"
    told = [*((problem, cure) for _, problem, cure in photos.values()), ("does not exist", "check")]
    lines = outcome.err.splitlines(keepends=True)
    for path, line, record, parts in zip(paths, lines, bad, told, strict=False):
        assert_told(line, path, *parts)
        assert line == f"mobilegeo: {record['reason']}\n"
    assert len(lines) == len(bad) == len(photos) + 1
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1 + len(paths)


def test_a_folder_among_photos_is_read_and_an_empty_one_refused(
    world: World, tmp_path: Path
) -> None:
    outcome = call("locate", world.photos[0], tmp_path, "--map", world.pack)
    refused(outcome, 2, tmp_path, "holds no photos", "name photos or their folder")


def converted(kind: str, image: Image.Image, path: Path) -> Path:
    """The photo in another kind of pixels."""
    if kind == "16-bit":
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(path.with_suffix(".png"))
        return path.with_suffix(".png")
    extra = {"exif": image.info["exif"], "xmp": image.info["xmp"]}
    image.convert(kind).save(path, quality=95, **extra)
    return path


@pytest.mark.parametrize("kind", ["16-bit", "CMYK", "L"])
def test_unusual_pixels_are_located(world: World, tmp_path: Path, kind: str) -> None:
    true = world.truth[world.photos[0].name]
    with Image.open(world.photos[0]) as image:
        path = converted(kind, image, tmp_path / "photo.jpg")
        hfov = ("--hfov-deg", "70") if kind == "16-bit" else ()
    pose = ("--heading-deg", str(true["heading_deg"]), "--agl-m", str(true["agl_m"]))
    outcome = call("locate", path, "--map", world.pack, "--json", *pose, *hfov)
    (record,) = outcome.records
    assert (outcome.code, outcome.err) == (0, "")
    if kind != "16-bit":  # such a PNG says nothing of its lens
        here = LatLon(record["lat"], record["lon"])
        assert distance_m(here, world.place(world.photos[0])) < NEAR_M


@pytest.mark.parametrize(
    "latitude",
    [
        (IFDRational(0, 0), 0.0, 0.0),
        (95.0, 0.0, 0.0),
        (IFDRational(1, 0), 0.0, 0.0),
        (54.0, 99.0, 0.0),
    ],
    ids=["nan", "95 degrees", "infinite", "99 minutes"],
)
def test_impossible_gps_is_left_aside(world: World, tmp_path: Path, latitude: tuple) -> None:
    path = tmp_path / "photo.jpg"
    with Image.open(world.photos[0]) as photo:
        exif = photo.getexif()
        exif.get_ifd(0x8825)[2] = latitude
        photo.save(path, exif=exif, quality=95, xmp=_without_gps(photo.info["xmp"]))
    outcome = call("locate", path, "--map", world.pack, "--json")
    (record,) = outcome.records
    assert (outcome.code, outcome.err, record["status"]) == (0, "", "fix")
    assert "position" in record["reason"] or "GPS" in record["reason"]


def _without_gps(packet: bytes) -> bytes:
    return packet.replace(b"GpsLatitude", b"OffLatitude").replace(b"GpsLongitude", b"OffLongitude")


# --- telemetry ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "problem", "cure"),
    [
        ("photo,yaw\na.jpg,3\n", ", line 1", "column 'yaw' is unknown", "call it 'heading_deg'"),
        ("photo,agl_ft\na.jpg,3\n", ", line 1", "column 'agl_ft' is unknown", "'agl_m', convert"),
        ("heading_deg\n3\n", ", line 1", "has no column 'photo'", "photo"),
        ("photo,agl_m\na.jpg,300 ft\n", ", line 2", "agl_m '300 ft' is not a number", "metres"),
        ("photo,heading_deg\na.jpg,nan\n", ", line 2", "is not a number", "leave it empty"),
        ("photo,lat,lon\na.jpg,95,8\n", ", line 2", "lat 95 is not within -90 … 90", "degrees"),
        ("photo,lat,lon\na.jpg,47,\n", ", line 2", "has only one of lat and lon", "give both"),
        ("", "", "is empty", "begin with a line of columns"),
    ],
)
def test_telemetry_csv(
    world: World, tmp_path: Path, text: str, line: str, problem: str, cure: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(text, encoding="utf-8")
    outcome = call("locate", world.photos[0], "--map", world.pack, "--telemetry", table)
    refused(outcome, 2, f"{table}{line}", problem, cure)


def test_absent_telemetry_csv(world: World, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    outcome = call("locate", world.photos[0], "--map", world.pack, "--telemetry", table)
    refused(outcome, 2, table, "cannot be read (No such file or directory)")


# --- usage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "where", "problem"),
    [
        (["--speed", "3"], "locate", "No such option: --speed"),
        (["--top", "0"], "locate", "Invalid value for '--top'"),
        (["--top", "many"], "locate", "Invalid value for '--top'"),
        (["--agl-m", "high"], "locate", "Invalid value for '--agl-m'"),
        (["--radius-m", "50"], "--radius-m", "is given without --near"),
        (["--near", "here"], "--near here", "is not two numbers"),
        (["--near", "1,2,3"], "--near 1,2,3", "is not two numbers"),
        (["--near", "47.4"], "--near 47.4", "is not two numbers"),
        (["--near", "97.4,8"], "latitude 97.4", "not within"),
        (["--near", "nan,8"], "latitude nan", "not within"),
        (["--near", "47,8", "--radius-m", "-5"], "radius -5.0", "is not a positive length"),
        (["--near", "47,8", "--radius-m", "nan"], "radius nan", "is not a positive length"),
        (["--heading-deg", "nan"], "heading_deg nan", "is not within"),
        (["--hfov-deg", "180"], "hfov_deg 180.0", "is not within"),
        (["--out", "fixes.doc"], "fixes.doc", "unknown format '.doc'"),
        (["--out", "absent/fixes.csv"], "absent/fixes.csv", "there is no folder absent"),
    ],
)
def test_usage_of_locate(world: World, options: list[str], where: str, problem: str) -> None:
    outcome = call("locate", world.photos[0], "--map", world.pack, *options)
    refused(outcome, 2, where, problem)


@pytest.mark.parametrize(
    ("arguments", "where", "problem"),
    [
        (["fly"], "command line", "No such command 'fly'"),
        (["--speed"], "command line", "No such option: --speed"),
        (["map"], "map", "Missing command"),
        (["locate"], "locate", "Missing argument 'PHOTO...'"),
        (["locate", "a.jpg"], "locate", "Missing option '--map'"),
        (["map", "build", "x.tif"], "map build", "Missing option"),
        (["map", "info", "a", "b"], "map info", "unexpected extra argument"),
        (["demo", "--seed", "-1"], "demo", "Invalid value for '--seed'"),
        (["evaluate", "--fixes", "a", "--truth", "b"], "a", "cannot be read"),
    ],
)
def test_usage_of_others(arguments: list[str], where: str, problem: str) -> None:
    refused(call(*arguments), 2, where, problem)


def test_debug_shows_the_traceback_too(tmp_path: Path) -> None:
    plain = call("map", "info", tmp_path / "p.pack")
    debug = call("map", "info", tmp_path / "p.pack", "--debug")
    assert plain.code == debug.code == 3
    assert debug.err.startswith("Traceback (most recent call last):")
    assert debug.err.endswith(plain.err)


def test_an_error_of_a_whole_process(tmp_path: Path) -> None:
    outcome = run("map", "info", tmp_path / "p.pack")
    refused(outcome, 3, tmp_path / "p.pack", "there is no such pack", "mobilegeo map build")


# --- maps ---------------------------------------------------------------------------------------


def test_map_without_georeference(tmp_path: Path) -> None:
    # Without this GDAL's own warning would stop the test's writing of such a file.
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        path = write_raster(tmp_path / "plain.tif", np.zeros((3, 300, 300), np.uint8))
    outcome = call("map", "build", path, "-o", tmp_path / "p.pack")
    refused(outcome, 3, path, "has no georeference", "gdal_translate")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"II*\0" + b"x" * 99, b"no map" * 99])
def test_map_that_is_no_raster(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.tif"
    path.write_bytes(content)
    outcome = call("map", "build", path, "-o", tmp_path / "p.pack")
    refused(outcome, 3, path, "cannot be read as a raster", "copy it again")
    assert list(tmp_path.iterdir()) == [path]


def test_map_smaller_than_a_footprint(world: World, tmp_path: Path) -> None:
    outcome = call("map", "build", world.map_tif, "-o", tmp_path / "p", "--footprint-m", "2000")
    refused(outcome, 3, "map.tif", "less than the smallest footprint of 2000 m", "--footprint-m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "code", "where"),
    [
        (["--footprint-m", "60,wide"], 2, "--footprint-m 60,wide"),
        (["--footprint-m", "-60"], 2, "footprints -60"),
        (["--stride", "0"], 2, "stride 0"),
        (["--encoder", "second"], 3, "second"),
        (["--encoder", "absent.onnx"], 3, "absent.onnx"),
    ],
)
def test_options_of_map_build(
    world: World, tmp_path: Path, options: list[str], code: int, where: str
) -> None:
    refused(call("map", "build", world.map_tif, "-o", tmp_path / "p", *options), code, where)
    assert not list(tmp_path.iterdir())


def test_absent_map(tmp_path: Path) -> None:
    outcome = call("map", "build", tmp_path / "a.tif", "-o", tmp_path / "p")
    refused(outcome, 3, tmp_path / "a.tif", "there is no such file or folder", "check the path")


# --- packs --------------------------------------------------------------------------------------


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["vectors.npy", "tiles.parquet", "preview.jpg", "features/0_0.npy"]
)
def test_pack_with_a_flipped_byte(world: World, pack: Path, name: str) -> None:
    flip(pack / name, (pack / name).stat().st_size // 2)
    for command in (["map", "info", pack], ["locate", world.photos[0], "--map", pack]):
        outcome = call(*command)
        refused(outcome, 3, pack / name, "was changed after it was written", "copy the pack again")


def test_pack_with_a_flipped_byte_in_its_record(world: World, pack: Path) -> None:
    record = pack / "pack.json"
    flip(record, record.read_bytes().index(b'"area_km2": ') + len(b'"area_km2": ') + 3)
    outcome = call("locate", world.photos[0], "--map", pack)
    refused(outcome, 3, record, "was changed after it was written", "copy the pack again")


def test_pack_with_a_cut_record(pack: Path) -> None:
    record = pack / "pack.json"
    record.write_bytes(record.read_bytes()[:-5])
    refused(call("map", "info", pack), 3, record, "is not readable JSON", "copy the pack again")


def test_pack_without_a_file(pack: Path) -> None:
    (pack / "vectors.npy").unlink()
    refused(call("map", "info", pack), 3, pack / "vectors.npy", "is missing", "copy the pack again")


def test_absent_unfinished_and_wrong_packs(world: World, pack: Path, tmp_path: Path) -> None:
    def locate(path: Path) -> Outcome:
        return call("locate", world.photos[0], "--map", path)

    refused(locate(tmp_path / "no.pack"), 3, tmp_path / "no.pack", "there is no such pack", "check")
    partial = pack.rename(pack.with_name("copy.pack.partial"))
    refused(locate(partial), 3, partial, "is an unfinished build", "--resume")
    refused(locate(pack), 3, pack, "its build was not finished", "--resume")
    refused(locate(world.map_tif), 3, world.map_tif, "is a file, not a pack", "map build")
    refused(locate(world.folder), 3, world.folder, "is a folder without pack.json", "map build")


def rewritten(pack: Path, **encoder: str) -> Path:
    """The pack with another encoder's name in its record."""
    file = pack / "pack.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    record["encoder"] |= encoder
    record["record_sha256"] = record_hash(record)
    file.write_text(json.dumps(record), encoding="utf-8")
    return pack


def test_pack_of_another_encoder(world: World, pack: Path) -> None:
    rewritten(pack, id="other-2", sha256="ab" * 32)
    command = ("locate", world.photos[0], "--map", pack)
    refused(call(*command), 3, pack, "built with encoder other-2 (abababababab…)", "--encoder")
    outcome = call(*command, "--encoder", "first")
    refused(outcome, 3, pack, "built with encoder other-2 (abababababab…), not with", "use that")


# --- the disk -----------------------------------------------------------------------------------


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be written."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="drops a Linux capability")
def test_folder_that_cannot_be_written(world: World, closed: Path) -> None:
    locate = ("locate", world.photos[0], "--map", world.pack)
    outcomes = {
        closed / "f.csv": run(*locate, "--out", closed / "f.csv", first=OBEY_PERMISSIONS),
        closed / "p.pack.partial": run(
            "map", "build", world.map_tif, "-o", closed / "p.pack", first=OBEY_PERMISSIONS
        ),
    }
    for path, outcome in outcomes.items():
        assert outcome.code == 2, outcome
        assert_told(outcome.err, path, "Permission denied")
    assert not list(closed.iterdir())


def test_report_where_no_folder_can_be(world: World, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    outcome = call("locate", world.photos[0], "--map", world.pack, "--report", file)
    assert outcome.code == 2
    assert_told(outcome.err, file, "cannot be made", "choose a folder that can be written")
    refused(call("demo", "--out", file), 2, file / "photos", "Not a directory", "check the path")
    assert file.read_text(encoding="utf-8") == "mine"


def test_disk_full_while_building(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "p.pack"
    build = ("map", "build", world.map_tif, "-o", out, "--stride", STRIDE)
    write, calls = Workspace.write_array, []

    def fails_once(self: Workspace, name: str, array: np.ndarray) -> None:
        calls.append(name)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", name)
        write(self, name, array)

    monkeypatch.setattr(Workspace, "write_array", fails_once)
    outcome = call(*build)
    refused(outcome, 3, tmp_path / "p.pack.partial", "the disk is full", "MB", "--resume")
    assert [path.name for path in tmp_path.iterdir()] == ["p.pack.partial"]
    assert call(*build, "--resume").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["p.pack"]
    assert folder_hashes(out) == folder_hashes(world.pack)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that can be made larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=False
        )
    except OSError:
        pytest.skip("there is no mount")
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_real_full_disk_at_any_stage(world: World, small_disk: Path) -> None:
    out = small_disk / "p.pack"
    build = ("map", "build", world.map_tif, "-o", out, "--stride", STRIDE, "--resume")
    record = json.loads((world.pack / "pack.json").read_text())
    # What a build holds before a pack keeps a part of it.
    cells = len(record["features"]["chunks"]) * CHUNK_CELLS**2
    features = cells * record["encoder"]["spec"]["feature_dim"]
    # In steps smaller than the vectors, so that one of them ends while they are written.
    step_kb = (world.pack / "vectors.npy").stat().st_size * 9 // 10240
    code, room_kb = 3, features // 2048
    while code != 0:
        remount = ["mount", "-o", f"remount,size={room_kb}k", small_disk]
        subprocess.run(remount, check=True)
        outcome = run(*build)
        code = outcome.code
        if code != 0:
            refused(outcome, 3, small_disk / "p.pack.partial", "the disk is full", "--resume")
        room_kb = max(room_kb + step_kb, features // 1024)
        assert room_kb < 4 * features // 1024
    assert [path.name for path in small_disk.iterdir()] == ["p.pack"]
    assert folder_hashes(out) == folder_hashes(world.pack)


# --- Ctrl-C -------------------------------------------------------------------------------------


def test_ctrl_c_while_building(world: World, tmp_path: Path) -> None:
    out, partial = tmp_path / "p.pack", tmp_path / "p.pack.partial"
    build = ("map", "build", world.map_tif, "-o", out, "--stride", STRIDE)
    process = start(*build, first=HEAR_CTRL_C)
    deadline = time.monotonic() + 60
    while not list(partial.glob("blocks/*.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    printed, err = process.communicate(timeout=30)
    assert (process.returncode, printed) == (130, "")
    assert err == "mobilegeo: interrupted; run the command again, a map build with --resume\n"
    assert [path.name for path in tmp_path.iterdir()] == ["p.pack.partial"]
    refused(call(*build), 3, partial, "an unfinished build lies there", "--resume")
    assert call(*build, "--resume").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["p.pack"]
    assert folder_hashes(out) == folder_hashes(world.pack)
