from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from maps_kit import (
    HERE,
    UTM,
    affine_around,
    colour_at,
    error_in_patch,
    painted,
    painted_raster,
    write_raster,
)
from mobilegeo.errors import MapError
from mobilegeo.geo import LocalFrame
from mobilegeo.maps.source import open_map

DEGREE_M = 111_132.0
FRAME = LocalFrame(HERE)


@pytest.mark.parametrize(
    ("crs", "side", "pixel", "rotation", "metres"),
    [
        (UTM, 300.0, 0.5, 0.0, 0.5),
        (UTM, 300.0, 0.5, 27.0, 0.5),
        (
            "EPSG:4326",
            300 / DEGREE_M,
            0.5 / DEGREE_M,
            0.0,
            0.5 * math.sqrt(math.cos(math.radians(44.055))),
        ),
        ("EPSG:3857", 300.0, 0.5, 0.0, 0.5 * math.cos(math.radians(44.055))),
        ("EPSG:2994", 900.0, 1.5, 0.0, None),
    ],
)
def test_places_and_resolution_in_any_crs(tmp_path, crs, side, pixel, rotation, metres):
    path = painted_raster(tmp_path / "map.tif", crs, side, pixel, rotation)
    source = open_map([path])
    patch = source.read(FRAME, -30.0, 25.0, 0.4, 150, 125)
    error = error_in_patch(patch, FRAME, -30.0, 25.0, 0.4)
    assert patch.valid.all()
    # the steepest slope is 16 levels a metre: 3 levels are 0.2 m; the mean is a shift's footprint
    assert np.abs(error).max() < 6.5
    assert np.abs(error).mean() < 1.5
    assert source.bounds.contains(HERE)
    if metres is not None:
        assert source.gsd_m == pytest.approx(metres, rel=0.004)


def test_shrinking_averages_and_an_overview_made_by_nearest_does_no_harm(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (3, 1024, 1024), dtype=np.uint8)
    affine = affine_around(UTM, 102.4, 0.1)
    path = write_raster(
        tmp_path / "a.tif", noise, crs=UTM, transform=affine, overviews=(2, 4, 8), tiled=True
    )
    patch = open_map([path]).read(FRAME, -20.0, 20.0, 0.8, 50, 50)
    # The noise deviates by 74. Of the overview that is used (4 fold, by nearest neighbour) 4 pixels
    # are averaged: 37. The 8 fold one would leave 74.
    assert patch.image.std() < 45.0
    assert patch.image.mean() == pytest.approx(127.5, abs=3.0)


def test_autzen_is_where_its_corner_coordinates_say(shared_data):
    source = open_map([shared_data / "scenes/autzen/autzen.jpg"])
    with rasterio.open(shared_data / "scenes/autzen/autzen.jpg") as dataset:
        lon, lat = dataset.lnglat()
    centre = source.bounds.centre
    assert (centre.lat, centre.lon) == pytest.approx((lat, lon), abs=1e-4)
    assert source.gsd_m == pytest.approx(0.3048, rel=1e-3)
    patch = source.read(LocalFrame(centre), -100.0, 100.0, 1.0, 200, 200)
    assert patch.valid.mean() > 0.99
    assert patch.image.std() > 15.0


def test_outside_is_invalid_and_black(tmp_path):
    source = open_map([painted_raster(tmp_path / "map.tif", side_m=50.0)])
    patch = source.read(FRAME, -50.0, 50.0, 1.0, 100, 100)
    assert 0.22 < patch.valid.mean() < 0.28
    assert not patch.image[~patch.valid].any()
    assert patch.valid[50, 50]
    assert not patch.valid[5].any()


def _half_masks():
    mask = np.zeros((600, 600), np.uint8)
    mask[:, :300] = 255
    return mask


@pytest.mark.parametrize("kind", ["alpha", "mask", "nodata", "nan"])
def test_every_way_to_say_no_data(tmp_path, kind):
    affine = affine_around(UTM, 300.0, 0.5)
    pixels = painted(UTM, affine, 600, 600)
    keep = _half_masks()
    options = {"crs": UTM, "transform": affine}
    if kind == "alpha":
        path = write_raster(
            tmp_path / "m.tif",
            np.concatenate([pixels, keep[None]]),
            photometric="rgb",
            alpha="yes",
            **options,
        )
    elif kind == "mask":
        path = write_raster(tmp_path / "m.tif", pixels, mask=keep, **options)
    elif kind == "nodata":
        path = write_raster(tmp_path / "m.tif", np.where(keep, pixels, 0), nodata=0, **options)
    else:
        floats = np.where(keep, pixels.astype(np.float32), np.float32(np.nan))
        path = write_raster(tmp_path / "m.tif", floats, nodata=np.nan, **options)
    patch = open_map([path]).read(FRAME, -40.0, 30.0, 0.5, 160, 120)
    assert patch.valid.mean() == pytest.approx(0.5, abs=0.04)
    assert patch.valid[:, :70].all()
    assert not patch.valid[:, 90:].any()
    if kind != "nan":  # floats are stretched
        assert np.abs(error_in_patch(patch, FRAME, -40.0, 30.0, 0.5)).mean() < 1.5


def test_grey_becomes_three_equal_channels(tmp_path):
    affine = affine_around(UTM, 300.0, 0.5)
    grey = painted(UTM, affine, 600, 600)[:1]
    path = write_raster(tmp_path / "grey.tif", grey, crs=UTM, transform=affine)
    patch = open_map([path]).read(FRAME, -20.0, 20.0, 0.5, 80, 80)
    assert (patch.image == patch.image[..., :1]).all()
    lat, lon = FRAME.to_degrees(0.25, -0.25)
    assert patch.image[40, 40, 0] == pytest.approx(colour_at(lat, lon)[0], abs=4.0)


def test_palette_is_expanded_and_averaged(tmp_path):
    index = np.zeros((1, 600, 600), np.uint8)
    index[:, :, ::2] = 1
    index[:, :, 300:] = 2
    path = write_raster(
        tmp_path / "p.tif",
        index,
        crs=UTM,
        transform=affine_around(UTM, 300.0, 0.5),
        colormap={0: (200, 0, 40, 255), 1: (0, 100, 40, 255), 2: (7, 8, 9, 255)},
        photometric="palette",
    )
    patch = open_map([path]).read(FRAME, -60.0, 20.0, 2.0, 60, 20)
    assert patch.valid.all()
    assert patch.image[:, :25].reshape(-1, 3).mean(axis=0) == pytest.approx((100, 50, 40), abs=6)
    assert patch.image[10, 50].tolist() == [7, 8, 9]


def test_16_bit_is_stretched_by_fixed_percentiles_of_the_file(tmp_path):
    ramp = np.linspace(1000, 3000, 600 * 600).reshape(1, 600, 600)
    path = write_raster(
        tmp_path / "u16.tif",
        np.repeat(ramp, 3, axis=0).astype(np.uint16),
        crs=UTM,
        transform=affine_around(UTM, 300.0, 0.5),
    )
    source = open_map([path])
    whole = source.read(FRAME, -150.0, 150.0, 1.0, 300, 300)
    part = source.read(FRAME, -20.0, 20.0, 1.0, 40, 40)
    # between the 2nd and the 98th percentile the ramp is brought to 0 … 255: its middle to 127.5
    assert part.image.mean() == pytest.approx(127.5, abs=2.0)
    assert whole.image[whole.valid].min() == 0
    assert whole.image.max() == 255
    assert np.abs(part.image.astype(int) - whole.image[130:170, 130:170]).max() <= 1


def test_jpeg_with_world_file_and_crs(tmp_path):
    affine = affine_around(UTM, 300.0, 0.5)
    path = tmp_path / "ortho.jpg"
    write_raster(
        path, painted(UTM, affine, 600, 600), driver="JPEG", crs=UTM, transform=affine, quality=95
    )
    patch = open_map([path]).read(FRAME, -20.0, 20.0, 0.5, 80, 80)
    assert np.abs(error_in_patch(patch, FRAME, -20.0, 20.0, 0.5)).mean() < 3.0


def test_several_rasters_first_wins_later_fill(tmp_path):
    affine = affine_around(UTM, 300.0, 0.5)
    red, blue = (np.zeros((3, 600, 600), np.uint8) for _ in range(2))
    red[0], blue[2] = 200, 200
    mask = _half_masks()
    one = write_raster(tmp_path / "1.tif", red, crs=UTM, transform=affine, mask=mask)
    two = write_raster(tmp_path / "2.tif", blue, crs=UTM, transform=affine)
    source = open_map([one, two])
    patch = source.read(FRAME, -40.0, 30.0, 0.5, 160, 120)
    assert source.names == ("1.tif", "2.tif")
    assert patch.valid.all()
    assert (patch.image[:, :70] == (200, 0, 0)).all()
    assert (patch.image[:, 90:] == (0, 0, 200)).all()
    folder = open_map([tmp_path])
    assert folder.names == source.names
    assert folder.bounds == source.bounds


def test_missing_georeference_is_refused_with_a_cure(tmp_path):
    pixels = np.zeros((3, 50, 50), np.uint8)
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        bare = write_raster(tmp_path / "bare.tif", pixels)
    with pytest.raises(MapError, match=r"bare\.tif: has no georeference.*gdal_translate -a_srs"):
        open_map([bare])
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        flat = write_raster(tmp_path / "flat.tif", pixels, crs=UTM)
    with pytest.raises(MapError, match=r"flat\.tif: has no georeference.*-a_ullr"):
        open_map([flat])
    nowhere = write_raster(tmp_path / "crs.tif", pixels, transform=Affine(1, 0, 5, 0, -1, 9))
    with pytest.raises(MapError, match=r"crs\.tif: .*names no coordinate system.*-a_srs"):
        open_map([nowhere])


def test_ground_control_points_alone_are_refused(tmp_path):
    points = [GroundControlPoint(r, c, 500000 + c, 4e6 - r) for r in (0, 50) for c in (0, 50)]
    with rasterio.open(
        tmp_path / "gcp.tif",
        "w",
        driver="GTiff",
        width=50,
        height=50,
        count=1,
        dtype="uint8",
        gcps=points,
        crs=UTM,
    ):
        pass
    with pytest.raises(MapError, match=r"gcp\.tif: .*control points only.*gdalwarp"):
        open_map([tmp_path / "gcp.tif"])


def test_missing_empty_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(MapError, match=r"no\.tif: there is no such file"):
        open_map([tmp_path / "no.tif"])
    (tmp_path / "text.tif").write_text("not an image")
    with pytest.raises(MapError, match=r"text\.tif: cannot be read as a raster"):
        open_map([tmp_path / "text.tif"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MapError, match="holds neither rasters nor tiles"):
        open_map([tmp_path / "empty"])
    with pytest.raises(MapError, match="no file was given"):
        open_map([])


@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_truncated_tiff_names_the_file(tmp_path, compress):
    noise = np.random.default_rng(0).integers(0, 255, (3, 600, 600), dtype=np.uint8)
    path = write_raster(
        tmp_path / "cut.tif",
        noise,
        crs=UTM,
        transform=affine_around(UTM, 300.0, 0.5),
        tiled=True,
        compress=compress,
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MapError, match=r"cut\.tif: cannot be read as a raster.*copy it again"):
        open_map([path]).read(FRAME, -150.0, 150.0, 0.5, 600, 600)


def test_world_too_large_or_across_the_antimeridian(tmp_path):
    pixels = np.zeros((1, 20, 40), np.uint8)
    wide = write_raster(
        tmp_path / "wide.tif", pixels, crs="EPSG:4326", transform=Affine(0.1, 0, 178, 0, -0.1, 5)
    )
    with pytest.raises(MapError, match=r"wide\.tif: crosses the antimeridian"):
        _ = open_map([wide]).bounds
    off = write_raster(
        tmp_path / "off.tif", pixels, crs="EPSG:4326", transform=Affine(0.1, 0, 0, 0, -0.1, 95)
    )
    with pytest.raises(MapError, match=r"off\.tif: its georeference places it outside the earth"):
        _ = open_map([off]).bounds


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_huge_raster_is_never_read_whole(tmp_path):
    path = tmp_path / "huge.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=30_000,
        height=30_000,
        count=3,
        dtype="uint8",
        crs=UTM,
        transform=affine_around(UTM, 15_000.0, 0.5),
        sparse_ok=True,
        tiled=True,
    ) as dataset:
        dataset.write(np.full((3, 512, 512), 90, np.uint8), window=((14848, 15360), (14848, 15360)))
    script = (
        "import re\n"
        "from pathlib import Path\n"
        "from mobilegeo.geo import LocalFrame, LatLon\n"
        "from mobilegeo.maps.source import open_map\n"
        f"source = open_map([{str(path)!r}])\n"
        f"frame = LocalFrame(LatLon({HERE.lat}, {HERE.lon}))\n"
        "source.read(frame, -4500, 4500, 15.0, 600, 600)\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', status)[1])\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 700_000  # KiB; the window alone has 972 MB in the raster


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:2994"])
def test_windows_that_miss_the_raster_are_empty(tmp_path, crs):
    unit = {UTM: 1.0, "EPSG:4326": 1 / DEGREE_M, "EPSG:2994": 3.28}[crs]
    source = open_map([painted_raster(tmp_path / "m.tif", crs, 50 * unit, 0.5 * unit)])
    for x_m, y_m in ((200.0, 0.0), (-1e5, 3e4)):
        patch = source.read(FRAME, x_m, y_m, 0.5, 40, 30)
        assert patch.image.shape == (30, 40, 3)
        assert not patch.valid.any()
        assert not patch.image.any()
