from __future__ import annotations

import gzip
import math
import os
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from maps_kit import (
    HERE,
    encode_tile,
    error_in_patch,
    painted_raster,
    painted_tile,
    tile_address,
    write_mbtiles,
)
from mobilegeo.errors import MapError
from mobilegeo.geo import LatLon, LocalFrame
from mobilegeo.maps import xyz
from mobilegeo.maps.source import open_map
from mobilegeo.maps.tilestore import FolderTiles, MBTiles, decode_tile, tile_key
from mobilegeo.maps.xyz import TileSource, degrees_to_mercator, mercator_to_degrees

FRAME = LocalFrame(HERE)
ZOOM = 18
GSD_M = 2 * math.pi * 6378137 / 2**ZOOM / 256 * math.cos(math.radians(HERE.lat))


def write_block(folder, zoom=ZOOM, around=1, side=256, extension="png", flat=False):
    """(2 · around + 1)² tiles of the painted world around HERE; returns their addresses."""
    x0, y0 = tile_address(zoom)
    keys = []
    for x in range(x0 - around, x0 + around + 1):
        for y in range(y0 - around, y0 + around + 1):
            name = f"map-{x}-{y}-{zoom}" if flat else f"{zoom}/{x}/{y}"
            path = folder / f"{name}.{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_tile(painted_tile(zoom, x, y, side), extension))
            keys.append((zoom, x, y))
    return keys


def shift_px(patch, x_m, y_m, gsd_m, wave_m=40.0):
    """Mean displacement of a patch against the painted world along x and y, pixels.

    Least squares of the error on the slope of the first (x) and second (y) wave.
    """
    rows, columns = np.nonzero(patch.valid)
    error = error_in_patch(patch, FRAME, x_m, y_m, gsd_m)
    k = 2 * np.pi / wave_m
    slopes = (
        100 * k * np.cos(k * (x_m + (columns + 0.5) * gsd_m)),
        100 * k * np.cos(k * (y_m - (rows + 0.5) * gsd_m)),
    )
    return [error[:, i] @ slope / (slope @ slope) / gsd_m for i, slope in enumerate(slopes)]


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(("extension", "side"), [("png", 256), ("jpg", 512), ("webp", 256)])
def test_tiles_lie_where_they_belong(tmp_path, flat, extension, side):
    write_block(tmp_path, extension=extension, side=side, flat=flat)
    source = open_map([tmp_path])
    patch = source.read(FRAME, -60.0, 50.0, 0.4, 300, 250)
    assert patch.valid.all()
    assert np.abs(error_in_patch(patch, FRAME, -60.0, 50.0, 0.4)).mean() < 2.5
    assert np.abs(shift_px(patch, -60.0, 50.0, 0.4)).max() < 0.05
    assert source.gsd_m == pytest.approx(GSD_M * 256 / side, rel=0.004)
    assert source.bounds.contains(HERE)


def test_coarse_windows_are_averaged(tmp_path):
    x0, y0 = tile_address(ZOOM)
    (tmp_path / f"{ZOOM}/{x0}").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    (tmp_path / f"{ZOOM}/{x0}/{y0}.png").write_bytes(encode_tile(noise))
    source = open_map([tmp_path])
    box = source.bounds
    x, y = FRAME.xy(LatLon(box.north, box.west))
    patch = source.read(FRAME, x + 16 * GSD_M, y - 16 * GSD_M, 16 * GSD_M, 13, 13)
    assert patch.valid.all()
    assert patch.image.std() < 12.0  # 74 without averaging, 4.6 at best


def test_zoom_fits_the_window_and_holes_are_filled_from_other_zooms(tmp_path):
    colours = {17: (200, 0, 0), 18: (0, 200, 0), 19: (0, 0, 200)}
    for zoom, around in ((17, 2), (18, 2), (19, 1)):
        for _, x, y in write_block(tmp_path, zoom, around):
            tile = np.full((256, 256, 3), colours[zoom], np.uint8)
            (tmp_path / f"{zoom}/{x}/{y}.png").write_bytes(encode_tile(tile))
    source = open_map([tmp_path])
    assert source.gsd_m == pytest.approx(GSD_M / 2, rel=0.004)

    def centre(gsd_m):
        return source.read(FRAME, -gsd_m, gsd_m, gsd_m, 2, 2).image[0, 0].tolist()

    assert centre(GSD_M / 4) == [0, 0, 200]  # finer than all: the finest
    assert centre(GSD_M * 0.7) == [0, 0, 200]
    assert centre(GSD_M * 1.01) == [0, 200, 0]
    assert centre(GSD_M * 1.9) == [0, 200, 0]
    assert centre(GSD_M * 8) == [200, 0, 0]
    x, y = tile_address(18)
    shutil.rmtree(tmp_path / "18" / str(x))
    holed = open_map([tmp_path])
    patch = holed.read(FRAME, -300.0, 300.0, GSD_M, 1400, 1400)
    seen = {tuple(colour) for colour in patch.image[patch.valid].reshape(-1, 3)[::97].tolist()}
    assert set(colours.values()) <= seen  # 18, its hole from 19 where that is, the rest from 17


def test_only_transparency_is_a_hole(tmp_path):
    (key,) = write_block(tmp_path, around=0)
    tile = np.full((256, 256, 4), 255, np.uint8)
    tile[:, 128:, 3] = 0
    tile[:, 128:, :3] = 90
    path = tmp_path / f"{key[0]}/{key[1]}/{key[2]}.png"
    path.write_bytes(encode_tile(tile))
    source = open_map([tmp_path])
    x, y = FRAME.xy(LatLon(source.bounds.north, source.bounds.west))
    patch = source.read(FRAME, x, y, GSD_M, 256, 256)
    assert patch.valid[10:-10, 10:120].all()
    assert not patch.valid[:, 136:].any()
    assert (patch.image[patch.valid] == 255).all()  # white is a colour, and edges do not darken
    assert not patch.image[~patch.valid].any()


def test_a_corrupt_tile_is_a_hole_with_a_warning(tmp_path):
    keys = write_block(tmp_path, extension="jpg")
    z, x, y = keys[4]
    path = tmp_path / f"{z}/{x}/{y}.jpg"
    path.write_bytes(path.read_bytes()[:2000])
    source = open_map([tmp_path])
    patch = source.read(FRAME, -200.0, 200.0, 1.0, 400, 400)
    assert 0.05 < 1 - patch.valid[100:300, 100:300].mean() < 0.95
    source.read(FRAME, -200.0, 200.0, 2.0, 200, 200)
    (warning,) = source.warnings
    assert f"z={z} x={x} y={y} is cut short" in warning


def test_tiles_of_mixed_sizes(tmp_path):
    keys = write_block(tmp_path)
    z, x, y = keys[4]
    (tmp_path / f"{z}/{x}/{y}.png").write_bytes(encode_tile(painted_tile(z, x, y, 512)))
    patch = open_map([tmp_path]).read(FRAME, -60.0, 50.0, 0.6, 200, 150)
    assert patch.valid.all()
    assert np.abs(error_in_patch(patch, FRAME, -60.0, 50.0, 0.6)).mean() < 2.5


def test_all_corrupt_is_an_error(tmp_path):
    for z, x, y in write_block(tmp_path):
        (tmp_path / f"{z}/{x}/{y}.png").write_bytes(b"nothing")
    with pytest.raises(MapError, match=r"none of its tiles can be decoded.*no readable image"):
        open_map([tmp_path])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no readable image"),
        (encode_tile(np.zeros((256, 256, 3), np.uint8))[:-20], "is cut short"),
        (encode_tile(np.zeros((256, 128, 3), np.uint8)), "is not square"),
        (cv2.imencode(".tiff", np.zeros((8, 8), np.float32))[1].tobytes(), "type float32"),
    ],
)
def test_undecodable_tiles_say_why(data, reason):
    assert reason in decode_tile(data)


@pytest.mark.parametrize(
    "pixels", [np.full((4, 4), 77, np.uint8), np.full((4, 4), 77 << 8, np.uint16)]
)
def test_grey_and_16_bit_tiles(pixels):
    decoded = decode_tile(cv2.imencode(".png", pixels)[1].tobytes())
    assert decoded[0, 0].tolist() == [77, 77, 77, 255]


def test_mbtiles_agrees_with_the_folder(tmp_path):
    keys = write_block(tmp_path / "folder")
    files = {k: (tmp_path / "folder" / f"{k[0]}/{k[1]}/{k[2]}.png").read_bytes() for k in keys}
    database = open_map([write_mbtiles(tmp_path / "map.mbtiles", files)])
    folder = open_map([tmp_path / "folder"])
    assert database.bounds == folder.bounds
    assert database.gsd_m == folder.gsd_m
    assert database.names == ("map.mbtiles",)
    window = (FRAME, -60.0, 50.0, 0.7, 170, 140)
    assert np.array_equal(database.read(*window).image, folder.read(*window).image)


def test_vector_empty_and_broken_mbtiles_are_refused(tmp_path):
    key = (ZOOM, *tile_address(ZOOM))
    vector = write_mbtiles(tmp_path / "v.mbtiles", {key: gzip.compress(b"layer")}, "pbf")
    with pytest.raises(MapError, match=r"v\.mbtiles: holds vector tiles.*raster tiles"):
        open_map([vector])
    unnamed = write_mbtiles(tmp_path / "u.mbtiles", {key: gzip.compress(b"layer")}, "")
    with pytest.raises(MapError, match="vector tiles"):
        open_map([unnamed])
    with pytest.raises(MapError, match="holds no tiles"):
        open_map([write_mbtiles(tmp_path / "e.mbtiles", {})])
    (tmp_path / "b.mbtiles").write_bytes(b"SQLite format 3\0 and then nothing" * 100)
    with pytest.raises(MapError, match=r"b\.mbtiles: is not a readable MBTiles database"):
        open_map([tmp_path / "b.mbtiles"])


def test_the_cache_is_bounded(tmp_path, monkeypatch):
    write_block(tmp_path, around=3)
    monkeypatch.setattr(xyz, "CACHE_BYTES", 10 * 256 * 256 * 4)
    source = TileSource(FolderTiles(tmp_path))
    patch = source.read(FRAME, -300.0, 300.0, GSD_M, 1300, 1300)
    assert patch.valid.mean() > 0.9
    assert source._cached_bytes <= 10 * 256 * 256 * 4
    assert len(source._cache) <= 10 + 1


def test_windows_larger_than_a_block_agree_with_small_ones(tmp_path, monkeypatch):
    write_block(tmp_path)
    source = open_map([tmp_path])
    whole = source.read(FRAME, -100.0, 90.0, 0.5, 400, 360)
    monkeypatch.setattr(xyz, "BLOCK_PX", 96)
    pieces = source.read(FRAME, -100.0, 90.0, 0.5, 400, 360)
    assert np.array_equal(whole.valid, pieces.valid)
    assert np.abs(whole.image.astype(int) - pieces.image).max() <= 2


def test_banepa_and_kampala(shared_data):
    banepa = open_map([shared_data / "tiles/banepa"])
    assert banepa.gsd_m == pytest.approx(0.132, abs=0.001)
    at = LatLon(27.6325, 85.5205)
    patch = banepa.read(LocalFrame(at), -60.0, 60.0, 0.6, 200, 200)
    assert patch.valid.all()
    assert patch.image.std() > 30.0
    kampala = open_map([shared_data / "tiles/kampala"])
    assert sorted(FolderTiles(shared_data / "tiles/kampala").ranges) == [19, 20, 21]
    assert kampala.gsd_m == pytest.approx(0.0746, rel=0.01)
    box = kampala.bounds
    frame = LocalFrame(LatLon(box.north, box.east))
    views = [
        kampala.read(frame, -76.4, 0.0, gsd, round(64 / gsd), round(64 / gsd))
        for gsd in (0.1, 0.2, 0.4)
    ]
    assert all(view.valid.mean() > 0.97 for view in views)
    # three zooms of one photo: reduced to 0.8 m they show the same
    small = [cv2.resize(view.image, (80, 80), interpolation=cv2.INTER_AREA) for view in views]
    assert all(np.corrcoef(small[0].ravel(), s.ravel())[0, 1] > 0.97 for s in small[1:])


@given(st.integers(0, 22), st.data())
def test_tile_names_round_trip(z, data):
    x, y = (data.draw(st.integers(0, 2**z - 1)) for _ in range(2))
    prefix = data.draw(st.sampled_from(["", "a/", "OAM/b-c/", "7/"]))
    assert tile_key(f"{prefix}{z}/{x}/{y}.png") == (z, x, y)
    assert tile_key(f"{prefix}OAM-{x}-{y}-{z}.TIF") == (z, x, y)


@given(st.text(max_size=40))
def test_any_other_name_is_no_tile_or_a_valid_address(name):
    key = tile_key(name)
    assert key is None or (key[1] < 2 ** key[0] and key[2] < 2 ** key[0])


@pytest.mark.parametrize(
    "name", ["3/9/1.png", "1/2.png", "a-1-2-31.png", "18/1-2.png", "18/1/2.txt"]
)
def test_names_that_are_no_tiles(name):
    assert tile_key(name) is None


@given(st.floats(-85, 85), st.floats(-179.9, 179.9))
def test_mercator_agrees_with_proj_and_inverts(lat, lon):
    u, v = degrees_to_mercator(np.array(lat), np.array(lon))
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(lon, lat)
    world = 2 * math.pi * 6378137
    assert float(u) == pytest.approx(x / world + 0.5, abs=1e-12)
    assert float(v) == pytest.approx(0.5 - y / world, abs=1e-12)
    assert [float(a) for a in mercator_to_degrees(u, v)] == pytest.approx([lat, lon], abs=1e-9)


def test_the_interpolated_projection_is_exact_to_a_twentieth_of_a_pixel():
    for lat in (0.0, 45.0, 70.0):
        frame = LocalFrame(LatLon(lat, 10.0))
        for gsd_m in (0.3, 2.0, 1000.0):
            size, world_px = 256, 1.0 / (gsd_m / 4.0e7 / math.cos(math.radians(lat)))
            nodes = xyz._grid(size)
            everywhere = np.arange(size, dtype=float)

            def position(columns, rows, gsd_m=gsd_m, frame=frame, world_px=world_px):
                x, y = np.meshgrid(columns * gsd_m + 3e4, 2e4 - rows * gsd_m)
                return degrees_to_mercator(*frame.to_degrees(x, y))[0] * world_px

            coarse = xyz._interpolated(position(nodes, nodes), nodes, nodes, size, size)
            assert np.abs(coarse - position(everywhere, everywhere)).max() < 0.05


def test_mbtiles_survives_odd_paths(tmp_path):
    odd = tmp_path / "a b#%?.mbtiles"
    key = (ZOOM, *tile_address(ZOOM))
    write_mbtiles(odd, {key: encode_tile(painted_tile(*key))})
    assert MBTiles(odd).load(key) is not None
    assert MBTiles(odd).load((ZOOM, 0, 0)) is None


def test_fingerprints_change_with_the_files(tmp_path):
    key = (ZOOM, *tile_address(ZOOM))
    write_block(tmp_path / "tiles")
    write_mbtiles(tmp_path / "m.mbtiles", {key: encode_tile(painted_tile(*key))})
    painted_raster(tmp_path / "m.tif", side_m=20.0)
    paths = [tmp_path / "tiles", tmp_path / "m.mbtiles", tmp_path / "m.tif"]
    before = [open_map([path]).fingerprint for path in paths]
    assert [open_map([path]).fingerprint for path in paths] == before
    assert open_map(paths).fingerprint == "\n".join(before)
    changed = [next((tmp_path / "tiles").rglob("*.png")), *paths[1:]]
    for path in changed:
        os.utime(path, (1, 1))
    after = [open_map([path]).fingerprint for path in paths]
    assert not set(before) & set(after)
