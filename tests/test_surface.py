"""Surface models: read from rasters, stored in packs, cut out again."""

from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform as to_crs
from typer.testing import CliRunner

from maps_kit import (
    HERE,
    UTM,
    FakeEncoder,
    PlainSource,
    affine_around,
    folder_hashes,
    painted_raster,
    write_raster,
)
from mobilegeo.cli import app
from mobilegeo.errors import MapError, PackError, UsageError
from mobilegeo.geo import LocalFrame
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.heights import HeightSource
from mobilegeo.maps.pack import MapPack, pack_info
from mobilegeo.maps.surface import (
    NO_HEIGHT,
    Surface,
    SurfaceFacts,
    stored_heights,
    surface_chunks,
)
from mobilegeo.maps.tiling import Extent

NODATA = -9999.0


def height_at(x_m, y_m):
    """The hills of the tests, metres, smooth over the cells of any raster here."""
    return 512.0 + 20.0 * np.sin(x_m / 60.0) + 15.0 * np.cos(y_m / 45.0)


def hills(path, crs=UTM, side=360.0, pixel=1.0, factor=1.0, hole=None, **options):
    """Writes the hills as a raster; `side` and `pixel` in units of the CRS, heights / factor."""
    affine = affine_around(crs, side, pixel)
    count = round(side / pixel)
    columns, rows = np.meshgrid(np.arange(count) + 0.5, np.arange(count) + 0.5)
    lon, lat = to_crs(
        crs,
        "EPSG:4326",
        (affine.a * columns + affine.b * rows + affine.c).ravel(),
        (affine.d * columns + affine.e * rows + affine.f).ravel(),
    )
    x, y = LocalFrame(HERE).to_metres(np.array(lat), np.array(lon))
    heights = height_at(x, y).reshape(count, count) / factor
    if hole is not None:
        heights[hole] = NODATA
    data = heights[None].astype(np.float32)
    return write_raster(path, data, crs=crs, transform=affine, nodata=NODATA, **options)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A pack of 300 × 200 m with a surface; not to be changed."""
    folder = tmp_path_factory.mktemp("surface")
    dsm = hills(folder / "dsm.tif")
    build_pack(
        PlainSource(),
        folder / "area.pack",
        FakeEncoder(),
        heights=HeightSource(dsm),
        footprints_m=(30.0,),
    )
    return folder / "area.pack"


def expected(box, cell_m=2.0):
    x = np.arange(box.west_m + cell_m / 2, box.east_m, cell_m)
    y = np.arange(box.north_m - cell_m / 2, box.south_m, -cell_m)
    return height_at(*np.meshgrid(x, y))


def test_a_pack_gives_back_the_heights_of_its_surface_model(built):
    surface = MapPack.open(built).surface
    heights, box = surface.heights(Extent(-140.3, -90.1, 141.0, 92.5))
    assert box == Extent(-142.0, -92.0, 142.0, 94.0)
    assert heights.shape == (93, 142)
    # Half a step of 0.1 m, and GDAL's warp of a pixel's eighth.
    assert np.abs(heights - expected(box)).max() < 0.15
    assert surface.facts.base_m == pytest.approx(512.0, abs=12.0)
    assert surface.facts.low_m == pytest.approx(477.0, abs=2.0)
    assert surface.facts.high_m == pytest.approx(547.0, abs=2.0)


@pytest.mark.parametrize(
    ("crs", "side", "pixel"),
    [("EPSG:2994", 1200.0, 3.0), ("EPSG:3857", 500.0, 4.0), ("EPSG:4326", 0.005, 0.00001)],
)
def test_any_coordinate_system_and_resolution(tmp_path, crs, side, pixel):
    source = HeightSource(hills(tmp_path / "dsm.tif", crs, side, pixel))
    heights = source.chunk(LocalFrame(HERE), 0, 0)[-40:, :40]
    assert np.abs(heights - expected(Extent(0.0, 0.0, 80.0, 80.0))).max() < 0.4


@pytest.mark.parametrize("unit", ["ft", "us-ft"])
def test_feet_are_converted_when_told(tmp_path, unit):
    feet = {"ft": 0.3048, "us-ft": 1200 / 3937}[unit]
    source = HeightSource(hills(tmp_path / "dsm.tif", factor=feet), unit)
    heights = source.chunk(LocalFrame(HERE), 0, 0)[-40:, :40]
    assert np.abs(heights - expected(Extent(0.0, 0.0, 80.0, 80.0))).max() < 0.15


def test_the_unit_that_the_file_names_counts(tmp_path):
    by_band = hills(tmp_path / "band.tif", factor=0.3048)
    with rasterio.open(by_band, "r+") as file:
        file.units = ("US survey foot",)
    assert HeightSource(by_band).base_m == pytest.approx(512.0, abs=12.0)
    # NAVD88 heights in US survey feet, EPSG:6360.
    by_crs = hills(tmp_path / "crs.tif", factor=1200 / 3937)
    with rasterio.open(by_crs, "r+") as file:
        file.crs = rasterio.crs.CRS.from_string(f"{UTM}+6360")
    assert HeightSource(by_crs).base_m == pytest.approx(512.0, abs=12.0)
    # What the user says goes before.
    assert HeightSource(by_crs, "m").base_m == pytest.approx(512.0 / 0.3048, rel=0.03)


def test_scale_and_offset_of_the_file_count(tmp_path):
    path = tmp_path / "dsm.tif"
    affine = affine_around(UTM, 360.0, 2.0)
    stored = np.full((1, 180, 180), 2500, np.uint16)
    write_raster(path, stored, crs=UTM, transform=affine)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.01,), (120.0,)
    heights = HeightSource(path).chunk(LocalFrame(HERE), 0, 0)
    assert np.nanmax(np.abs(heights - 145.0)) < 1e-3


def test_holes_stay_holes(tmp_path):
    hole = np.s_[100:200, 150:260]
    source = HeightSource(hills(tmp_path / "dsm.tif", hole=hole))
    out = tmp_path / "area.pack"
    surface = build_pack(
        PlainSource(), out, FakeEncoder(), heights=source, footprints_m=(30.0,)
    ).surface
    heights, box = surface.heights(Extent(-150.0, -100.0, 150.0, 100.0))
    missing = ~np.isfinite(heights)
    assert missing.sum() == pytest.approx(100 * 110 / 4, rel=0.05)
    # Nothing of −9999 leaks into the cells around.
    assert np.abs(heights - expected(box))[~missing].max() < 0.8
    full = surface.facts.area_km2 + missing.sum() * 4e-6
    assert full == pytest.approx(0.36**2, rel=0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [(NODATA, "holds a height of -9999 m; if that stands for no data"), (3.4e38, "3.4e\\+38")],
)
def test_nodata_that_is_not_declared_is_refused(tmp_path, values, message):
    path = tmp_path / "dsm.tif"
    affine = affine_around(UTM, 360.0, 2.0)
    data = np.full((1, 180, 180), 100, np.float32)
    data[0, :40, :40] = values
    write_raster(path, data, crs=UTM, transform=affine)
    with pytest.raises(MapError, match=message):
        _ = HeightSource(path).base_m


def test_what_is_no_surface_model(tmp_path):
    affine = affine_around(UTM, 100.0, 1.0)
    rgb = write_raster(
        tmp_path / "rgb.tif", np.zeros((3, 100, 100), np.uint8), crs=UTM, transform=affine
    )
    with pytest.raises(MapError, match=r"rgb\.tif: holds 3 bands of red, not one of heights"):
        HeightSource(rgb)
    with pytest.raises(MapError, match="there is no such file"):
        HeightSource(tmp_path / "none.tif")
    with pytest.raises(UsageError, match="unit fathom: is not known; give one of m"):
        HeightSource(rgb, "fathom")
    fathoms = hills(tmp_path / "fathoms.tif")
    with rasterio.open(fathoms, "r+") as file:
        file.units = ("fathom",)
    with pytest.raises(MapError, match="gives heights in fathom; name a known unit with"):
        HeightSource(fathoms)
    empty = write_raster(
        tmp_path / "empty.tif",
        np.full((1, 100, 100), NODATA, np.float32),
        crs=UTM, transform=affine, nodata=NODATA,
    )  # fmt: skip
    with pytest.raises(MapError, match=r"empty\.tif: holds no height"):
        _ = HeightSource(empty).base_m
    bare = tmp_path / "bare.png"
    cv2.imwrite(str(bare), np.zeros((9, 9), np.uint8))
    with pytest.raises(MapError, match="has no georeference"):
        HeightSource(bare)


def test_a_surface_of_another_place_is_refused(tmp_path):
    affine = affine_around(UTM, 360.0, 2.0) @ affine_around(UTM, 360.0, 2.0).translation(9e4, 0)
    path = write_raster(
        tmp_path / "far.tif", np.full((1, 180, 180), 100, np.float32), crs=UTM, transform=affine
    )
    with pytest.raises(MapError, match=r"far\.tif: covers none of the map"):
        build_pack(
            PlainSource(),
            tmp_path / "p",
            FakeEncoder(),
            heights=HeightSource(path),
            footprints_m=(30.0,),
        )
    assert not (tmp_path / "p").exists()


def facts_of(chunks, base_m=100.0):
    return SurfaceFacts("dsm.tif", 2.0, base_m, 0.0, 0.0, 0.0, tuple(chunks))


@settings(max_examples=30)
@given(
    west=st.integers(-700, 500),
    south=st.integers(-700, 500),
    width=st.integers(1, 700),
    height=st.integers(1, 700),
)
def test_a_window_is_cut_out_of_the_whole(west, south, width, height):
    """Chunks −1 … 0 both ways but one; every cell holds its own indices."""
    x, y = np.meshgrid(np.arange(-256, 256), np.arange(255, -257, -1))
    whole = (np.mod(x, 173) * 100 + np.mod(y, 97)).astype(np.int16)
    present = [(-1, -1), (-1, 0), (0, -1)]
    pieces = {(-1, -1): whole[256:, :256], (-1, 0): whole[256:, 256:], (0, -1): whole[:256, :256]}
    surface = Surface(facts_of(present), lambda row, column: pieces[row, column])
    box = Extent(2.0 * west, 2.0 * south, 2.0 * (west + width), 2.0 * (south + height))
    heights, covered = surface.heights(box)
    assert covered == box
    x, y = np.meshgrid(np.arange(west, west + width), np.arange(south + height - 1, south - 1, -1))
    known = (x >= -256) & (x < 256) & (y >= -256) & (y < 256) & ~((x >= 0) & (y >= 0))
    assert (np.isfinite(heights) == known).all()
    wanted = 100.0 + 0.1 * (np.mod(x, 173) * 100 + np.mod(y, 97))
    assert np.abs(heights - wanted)[known].max(initial=0.0) < 1e-2


def test_heights_are_stored_in_decimetres_and_clipped_far_from_the_base():
    heights = np.array([100.0, 100.04, 99.95, np.nan, 9000.0, -9000.0], np.float32)
    stored = stored_heights(heights, 100.0)
    assert stored.tolist() == [0, 0, -1, NO_HEIGHT, 32767, -32767]


@pytest.mark.parametrize("trees", [0.0, 0.5, 0.85])
def test_the_ground_shows_between_trees(trees):
    rng = np.random.default_rng(3)
    chunk = np.where(rng.random((256, 256)) < trees, 250, 0) + rng.integers(-2, 3, (256, 256))
    surface = Surface(facts_of([(0, 0)]), lambda *_: chunk.astype(np.int16))
    assert surface.ground_m(200.0, 300.0) == pytest.approx(100.0, abs=0.3)
    assert surface.ground_m(-500.0, 300.0) is None


def test_on_a_slope_the_ground_is_a_little_low():
    column = np.arange(256) * 2.0 * 0.1 * 10  # 10 %, in decimetres
    surface = Surface(facts_of([(0, 0)]), lambda *_: np.tile(column, (256, 1)).astype(np.int16))
    true_m = 100.0 + 0.1 * 256.0
    assert true_m - 3.5 < surface.ground_m(256.0, 256.0) < true_m - 2.5


def test_chunks_of_an_extent():
    assert surface_chunks(Extent(-10.0, 5.0, 510.0, 513.0)) == [(0, -1), (0, 0), (1, -1), (1, 0)]


def test_what_a_pack_says_of_its_surface(built):
    facts = pack_info(MapPack.open(built))["surface"]
    assert facts["source"] == "dsm.tif"
    assert facts["cell_m"] == 2.0
    assert facts["chunks"] == 4
    assert facts["area_km2"] == pytest.approx(0.36**2, rel=0.02)


def test_a_pack_made_before_there_were_surfaces_opens(tmp_path):
    from mobilegeo.maps.record import record_hash

    out = tmp_path / "area.pack"
    build_pack(PlainSource(), out, FakeEncoder(), footprints_m=(30.0,))
    assert MapPack.open(out).surface is None
    record = json.loads((out / "pack.json").read_text())
    del record["surface"]
    record["record_sha256"] = record_hash(record)
    (out / "pack.json").write_text(json.dumps(record))
    pack = MapPack.open(out)
    assert pack.surface is None
    assert pack_info(pack)["surface"] is None


def test_a_flipped_byte_of_a_surface_is_found(built, tmp_path):
    copy = shutil.copytree(built, tmp_path / "area.pack")
    file = next((copy / "surface").iterdir())
    data = bytearray(file.read_bytes())
    data[4000] ^= 1
    file.write_bytes(data)
    with pytest.raises(PackError, match=file.name + ": was changed after it was written"):
        MapPack.open(copy)


def test_a_build_interrupted_in_the_surface_is_resumed_alike(built, tmp_path, monkeypatch):
    source = HeightSource(built.parent / "dsm.tif")
    out = tmp_path / "area.pack"
    options = {"heights": source, "footprints_m": (30.0,)}
    whole, calls = HeightSource.chunk, []

    def failing(self, frame, row, column):
        calls.append((row, column))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, frame, row, column)

    monkeypatch.setattr(HeightSource, "chunk", failing)
    with pytest.raises(KeyboardInterrupt):
        build_pack(PlainSource(), out, FakeEncoder(), **options)
    assert not out.exists()
    build_pack(PlainSource(), out, FakeEncoder(), resume=True, **options)
    assert len(calls) == len(set(calls)) + 1 == 5
    assert folder_hashes(out) == folder_hashes(built)


def test_a_build_begun_without_the_surface_is_not_resumed_with_it(built, tmp_path):
    out = tmp_path / "area.pack"
    with pytest.raises(KeyboardInterrupt):
        build_pack(PlainSource(), out, FakeEncoder(fail_after=1), footprints_m=(30.0,))
    heights = HeightSource(built.parent / "dsm.tif")
    with pytest.raises(PackError, match="was begun with another map, surface model"):
        build_pack(
            PlainSource(), out, FakeEncoder(), heights=heights, footprints_m=(30.0,), resume=True
        )


def test_map_build_takes_a_surface_model(tmp_path):
    raster, dsm = painted_raster(tmp_path / "map.tif", side_m=90.0), hills(tmp_path / "dsm.tif")
    command = ["map", "build", str(raster), "-o", str(tmp_path / "p"), "--footprint-m", "80"]
    outcome = CliRunner().invoke(app, [*command, "--dsm", str(dsm), "--json"])
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout)["surface"]["source"] == "dsm.tif"
    assert MapPack.open(tmp_path / "p").surface is not None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--dsm", "none.tif"], MapError, r"none\.tif: there is no such file"),
        (["--dsm", "DSM", "--dsm-unit", "mile"], UsageError, "unit mile: is not known"),
    ],
)
def test_map_build_refuses_what_is_no_surface_model(tmp_path, options, error, message):
    raster, dsm = painted_raster(tmp_path / "map.tif", side_m=90.0), hills(tmp_path / "dsm.tif")
    options = [str(dsm) if option == "DSM" else option for option in options]
    command = ["map", "build", str(raster), "-o", str(tmp_path / "p"), *options]
    outcome = CliRunner().invoke(app, command)
    assert isinstance(outcome.exception, error)
    assert re.search(message, str(outcome.exception))
    assert not (tmp_path / "p").exists()


def test_map_info_tells_of_the_surface(built):
    outcome = CliRunner().invoke(app, ["map", "info", str(built)])
    assert outcome.exit_code == 0
    assert "surface  dsm.tif: 47" in outcome.stdout
    assert "m, 0.13" in outcome.stdout
