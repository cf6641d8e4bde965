from __future__ import annotations

import json
import struct
import time
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from arro3.io import read_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from maps_kit import FakeEncoder, PlainSource
from mobilegeo.errors import PackError
from mobilegeo.geo import distance_m
from mobilegeo.maps import integrity
from mobilegeo.maps import pack as pack_module
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.cells import CHUNK_CELLS, FEATURE_STEP, FeatureBlock
from mobilegeo.maps.integrity import Integrity, file_entry
from mobilegeo.maps.pack import MapPack, pack_info
from mobilegeo.maps.record import FORMAT_VERSION, record_hash

HOLE = (20.0, 0.0, 80.0, 50.0)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A pack of 300 × 200 m with a hole; not to be changed."""
    out = tmp_path_factory.mktemp("pack") / "area.pack"
    build_pack(PlainSource(hole=HOLE), out, FakeEncoder(), footprints_m=(30.0, 60.0, 400.0))
    return out


@pytest.fixture
def copy(built, tmp_path):
    """The same, to be damaged."""
    import shutil

    return shutil.copytree(built, tmp_path / "area.pack")


def rewrite_record(path, **changes):
    record = json.loads((path / "pack.json").read_text()) | changes
    record["record_sha256"] = record_hash(record)
    (path / "pack.json").write_text(json.dumps(record))


def test_what_a_pack_says_of_itself(built):
    encoder = FakeEncoder()
    pack = MapPack.open(str(built), encoder=encoder)
    assert pack.spec == encoder.spec
    assert (pack.encoder_id, pack.encoder_sha256) == ("fake-1", encoder.sha256)
    assert pack.footprints_m == (30.0, 60.0)
    assert pack.bounds == PlainSource().bounds
    assert pack.frame.origin == PlainSource().bounds.centre
    assert pack.vectors.shape == (len(pack.tiles), 192)
    assert pack.vectors.dtype == np.float16
    assert not pack.vectors.flags.writeable
    info = pack_info(pack)
    json.dumps(info)
    assert info["tiles_per_footprint"] == {
        "30": int((pack.tiles.footprint_m == 30).sum()),
        "60": int((pack.tiles.footprint_m == 60).sum()),
    }
    assert info["bytes"] == sum(f.stat().st_size for f in built.rglob("*") if f.is_file())
    assert info["area_km2"] == pytest.approx((300 * 200 - 60 * 50) / 1e6, rel=0.05)
    assert info["bytes_per_km2"] == pytest.approx(info["bytes"] / info["area_km2"], abs=1)
    assert info["notes"] == ["footprint 400 m left out: the map covers only 300 × 200 m"]
    assert info["hashes_verified"] is True
    assert info["sources"] == ["plain"]


def test_vectors_belong_to_their_tiles_and_are_sorted(built):
    pack, encoder, source = MapPack.open(built), FakeEncoder(), PlainSource(hole=HOLE)
    t = pack.tiles
    order = np.lexsort((t.x_m, t.y_m, t.footprint_m))
    assert np.array_equal(order, np.arange(len(t)))
    for row in (0, len(t) // 2, len(t) - 1):
        side = t.footprint_m[row]
        patch = source.read(
            pack.frame, t.x_m[row] - side / 2, t.y_m[row] + side / 2, side / 32, 32, 32
        )
        image = np.where(patch.valid[..., None], patch.image, np.uint8(128))
        expected = encoder.embed(image[None])[0]
        assert np.abs(expected - pack.vectors[row]).max() < 1e-3
        assert np.array_equal(pack.read_vectors(np.array([row]))[0], pack.vectors[row])


def test_tiles_in_degrees(built):
    pack = MapPack.open(built)
    for row in (0, len(pack.tiles) - 1):
        tile = pack.tiles.tile(row)
        assert tile.row == row
        assert tile.gsd_m == tile.footprint_m / 32
        expected = pack.frame.point(pack.tiles.x_m[row], pack.tiles.y_m[row])
        assert distance_m(tile.centre, expected) < 1e-6
        assert tile.bounds.contains(tile.centre)
        north = type(expected)(tile.bounds.north, tile.centre.lon)
        south = type(expected)(tile.bounds.south, tile.centre.lon)
        assert distance_m(north, south) == pytest.approx(tile.footprint_m, rel=1e-3)


def test_the_table_is_geoparquet(built):
    table = read_parquet(built / "tiles.parquet").read_all()
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Point"])
    pack = MapPack.open(built)
    assert table.column_names[:5] == ["row", "lat", "lon", "x_m", "y_m"]
    assert table.column("row").to_pylist() == list(range(len(pack.tiles)))
    for row in (0, 7):
        wkb = table.column("geometry")[row].as_py()
        assert struct.unpack("<BIdd", wkb) == (1, 1, pack.tiles.lon[row], pack.tiles.lat[row])
    west, south, _, _ = column["bbox"]
    assert (west, south) == (pack.tiles.lon.min(), pack.tiles.lat.min())


def test_features_are_those_of_the_encoder(built):
    pack, encoder, source = MapPack.open(built), FakeEncoder(), PlainSource(hole=HOLE)
    block = FeatureBlock(encoder.spec, 0, 0, 32)
    patch = block.read(source, pack.frame)
    found, valid = pack.features(0, 0, 32, 32)
    assert np.array_equal(valid, block.valid_cells(patch))
    raw = block.encode(patch, encoder) * np.float32(FEATURE_STEP)
    # Four bits a value cost little of a cosine.
    cosines = (found * pack.basis.unit(raw, valid)).sum(axis=2)[valid]
    assert cosines.min() > 0.98
    np.testing.assert_allclose(np.linalg.norm(found[valid], axis=1), 1.0, atol=1e-5)
    assert not found[~valid].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(-90, 70), st.integers(-70, 60), st.integers(1, 70), st.integers(1, 70))
def test_a_window_of_features_is_cut_out_of_the_whole(built, x0, y0, width, height):
    pack = MapPack.open(built)
    whole, valid = pack.features(-200, -200, 400, 400)
    part, part_valid = pack.features(x0, y0, width, height)
    top, left = 200 - (y0 + height), x0 + 200
    assert np.array_equal(part, whole[top : top + height, left : left + width])
    assert np.array_equal(part_valid, valid[top : top + height, left : left + width])


def test_feature_rows_run_from_north_to_south(built):
    pack = MapPack.open(built)
    _, valid = pack.features(-75, -50, 150, 100)
    rows, columns = np.nonzero(~valid)
    cell_m = pack.spec.cell_m
    y_m, x_m = (49 - rows + 0.5) * cell_m, (columns - 75 + 0.5) * cell_m
    assert (x_m.min(), x_m.max()) == pytest.approx((21.0, 79.0), abs=2.0)
    assert (y_m.min(), y_m.max()) == pytest.approx((1.0, 49.0), abs=2.0)


def test_basis_and_extent_of_features(built):
    pack, encoder, source = MapPack.open(built), FakeEncoder(), PlainSource(hole=HOLE)
    box = pack.feature_extent
    _, valid = pack.features(box.x0, box.y0, box.width, box.height)
    values = []
    for row, column in pack.feature_chunks:
        block = FeatureBlock(encoder.spec, column * CHUNK_CELLS, row * CHUNK_CELLS)
        raw = block.encode(block.read(source, pack.frame), encoder)
        values.append(raw[raw.any(axis=2)] * FEATURE_STEP)
    features = np.concatenate(values)
    assert pack.basis.mean == pytest.approx(features.mean(axis=0), abs=1e-5)
    assert pack.basis.std == pytest.approx(features.std(axis=0), abs=1e-5)
    _, everywhere = pack.features(box.x0 - 100, box.y0 - 100, box.width + 200, box.height + 200)
    assert everywhere.sum() == valid.sum()


def test_a_window_is_read_in_about_a_millisecond(built):
    pack = MapPack.open(built)
    pack.features(-12, -12, 25, 25)
    start = time.perf_counter()
    for _ in range(20):
        pack.features(-12, -12, 25, 25)
    assert (time.perf_counter() - start) / 20 < 0.02


def test_the_preview_shows_the_map(built):
    pack = MapPack.open(built)
    image = cv2.imread(str(pack.preview_path))
    box = pack.preview_extent
    assert max(image.shape) == 1024
    assert image.shape[1] / image.shape[0] == pytest.approx(box.width_m / box.height_m, rel=0.01)
    scale = image.shape[1] / box.width_m
    column, row = (50 - box.west_m) * scale, (box.north_m - 25) * scale
    assert (image[int(row), int(column)] > 245).all()


def test_another_encoder_is_refused(built):
    with pytest.raises(PackError, match=r"built with encoder fake-1 \(abab.*not with fake-1 \(cd"):
        MapPack.open(built, encoder=FakeEncoder(sha256="cd" * 32))


@pytest.mark.parametrize(
    "name", ["tiles.parquet", "grid.npy", "vectors.npy", "preview.jpg", "features/0_0.npy"]
)
def test_a_flipped_byte_names_the_file(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(
        PackError, match=rf"{name}: was changed after it was written.*copy the pack"
    ):
        MapPack.open(copy)


def test_a_flipped_byte_in_a_large_pack_is_found_when_read(copy, monkeypatch):
    monkeypatch.setattr(pack_module, "EAGER_BYTES", 1000)
    for name in ("vectors.npy", "features/0_0.npy", "preview.jpg"):
        data = bytearray((copy / name).read_bytes())
        data[-1] ^= 1
        (copy / name).write_bytes(data)
    pack = MapPack.open(copy)
    pack.features(-64, -64, 64, 64)
    with pytest.raises(PackError, match=r"features/0_0\.npy: was changed"):
        pack.features(0, 0, 3, 3)
    with pytest.raises(PackError, match=r"vectors\.npy: was changed"):
        _ = pack.vectors
    with pytest.raises(PackError, match=r"vectors\.npy: was changed"):
        pack.read_vectors(np.array([0, len(pack.tiles) - 1]))
    with pytest.raises(PackError, match=r"preview\.jpg: was changed"):
        _ = pack.preview_path
    with pytest.raises(PackError, match="was changed"):
        pack_info(pack)


def test_only_the_pieces_that_are_read_are_hashed(tmp_path, monkeypatch):
    monkeypatch.setattr(integrity, "PIECE_BYTES", 100)
    data = bytearray(np.random.default_rng(0).bytes(1050))
    (tmp_path / "f").write_bytes(data)
    entry = file_entry(tmp_path / "f")
    assert len(entry["sha256"]) == 11
    data[555] ^= 4
    (tmp_path / "f").write_bytes(data)
    files = Integrity(tmp_path, {"f": entry})
    files.check_spans("f", np.array([0, 20, 600]), np.array([10, 500, 1050]))
    with pytest.raises(PackError, match=r"f: was changed .*\(between byte 500 and 600\)"):
        files.check_spans("f", np.array([599]), np.array([601]))
    with pytest.raises(PackError, match=r"other: is not listed in pack\.json"):
        files.check("other")


def test_missing_and_truncated_files(copy):
    path = copy / "features/-1_0.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(PackError, match=rf"-1_0\.npy: has {len(data) - 1} bytes instead of"):
        MapPack.open(copy)
    path.unlink()
    with pytest.raises(PackError, match=r"-1_0\.npy: is missing from the pack"):
        MapPack.open(copy)


def test_a_changed_record_is_noticed(copy):
    text = (copy / "pack.json").read_text()
    (copy / "pack.json").write_text(text.replace('"fake-1"', '"fake-2"', 1))
    with pytest.raises(PackError, match=r"pack\.json: was changed after it was written"):
        MapPack.open(copy)
    (copy / "pack.json").write_text(text[:-20])
    with pytest.raises(PackError, match=r"pack\.json: is not readable JSON"):
        MapPack.open(copy)
    (copy / "pack.json").write_text("[1, 2]")
    with pytest.raises(PackError, match=r"pack\.json: does not describe a map pack"):
        MapPack.open(copy)


def test_other_formats_and_missing_entries(copy):
    rewrite_record(copy, format_version=99, created_by="mobilegeo 9.9")
    with pytest.raises(PackError, match=r"has format 99 \(made by mobilegeo 9\.9\).*update"):
        MapPack.open(copy)
    rewrite_record(copy, format_version=FORMAT_VERSION, frame={})
    with pytest.raises(PackError, match=r"lacks or garbles an entry"):
        MapPack.open(copy)


def test_vectors_of_another_shape_are_refused(copy):
    np.save(copy / "vectors.npy", np.zeros((3, 192), np.float16))
    files = json.loads((copy / "pack.json").read_text())["files"]
    rewrite_record(copy, files=files | {"vectors.npy": file_entry(copy / "vectors.npy")})
    with pytest.raises(PackError, match=r"vectors\.npy: holds float16 \[3, 192\] instead of"):
        MapPack.open(copy)


def test_what_is_no_pack(tmp_path):
    with pytest.raises(PackError, match=r"there is no such pack.*map build"):
        MapPack.open(tmp_path / "none.pack")
    (tmp_path / "some.tif").write_bytes(b"")
    with pytest.raises(PackError, match="is a file, not a pack"):
        MapPack.open(tmp_path / "some.tif")
    with pytest.raises(PackError, match=r"is a folder without pack\.json"):
        MapPack.open(tmp_path)
    (tmp_path / "x.pack.partial").mkdir()
    with pytest.raises(PackError, match=r"is an unfinished build.*--resume"):
        MapPack.open(tmp_path / "x.pack.partial")
    with pytest.raises(PackError, match=r"its build was not finished.*--resume"):
        MapPack.open(tmp_path / "x.pack")


@pytest.mark.parametrize(
    ("grid", "problem"),
    [
        (np.zeros(3, np.int64), r"holds int64 \[3\] instead of int64 \[\d+\]"),
        (None, "is no readable"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(copy, grid, problem):
    (copy / "grid.npy").write_bytes(b"no array") if grid is None else np.save(
        copy / "grid.npy", grid
    )
    files = json.loads((copy / "pack.json").read_text())["files"]
    rewrite_record(copy, files=files | {"grid.npy": file_entry(copy / "grid.npy")})
    with pytest.raises(PackError, match=rf"grid\.npy: {problem}"):
        MapPack.open(copy)


def test_the_record_holds_no_directories(built):
    text = (built / "pack.json").read_text()
    assert str(built.parent) not in text
    spec = json.loads(text)["encoder"]["spec"]
    assert spec == json.loads(json.dumps(asdict(FakeEncoder().spec)))
