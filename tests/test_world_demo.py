"""The demo's files: readable by other libraries, true, and wrong only as far as promised."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from pyproj import Geod, Transformer

from mobilegeo.camera import GroundView
from mobilegeo.errors import MapError, UsageError
from mobilegeo.world import (
    Appearance,
    generate_world,
    load_scene,
    render_view,
    scene_of,
    write_demo,
)
from mobilegeo.world.demo import (
    CRS,
    NORTH_M,
    WEST_M,
    DemoFiles,
    Shot,
    centre_on_surface,
    to_latlon,
    true_heading,
)
from mobilegeo.world.geotiff import write_geotiff

GEOD = Geod(ellps="WGS84")
PHOTO_PX = (256, 192)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> DemoFiles:
    return write_demo(
        tmp_path_factory.mktemp("demo"), seed=5, photos=10, size_m=(400, 360), photo_px=PHOTO_PX
    )


@pytest.fixture(scope="module")
def truth(demo) -> dict[str, dict[str, float]]:
    with demo.truth_csv.open(newline="") as lines:
        return {
            row.pop("photo"): {key: float(value) for key, value in row.items()}
            for row in csv.DictReader(lines)
        }


def xmp_of(path: Path) -> dict[str, float]:
    with Image.open(path) as photo:
        packet = photo.info["xmp"].decode()
    return {key: float(value) for key, value in re.findall(r'drone-dji:(\w+)="([^"]+)"', packet)}


def exif_position(path: Path) -> tuple[float, float]:
    with Image.open(path) as photo:
        tags = photo.getexif().get_ifd(IFD.GPSInfo)

    def degrees(values, reference):
        d, m, s = (float(value) for value in values)
        return (d + m / 60 + s / 3600) * (-1 if reference in "SW" else 1)

    return (
        degrees(tags[GPS.GPSLatitude], tags[GPS.GPSLatitudeRef]),
        degrees(tags[GPS.GPSLongitude], tags[GPS.GPSLongitudeRef]),
    )


def test_map_and_surface_cover_the_same_ground(demo):
    with rasterio.open(demo.map_tif) as ortho, rasterio.open(demo.surface_tif) as surface:
        assert ortho.crs == surface.crs == CRS
        assert ortho.bounds == surface.bounds
        assert ortho.bounds.left == WEST_M
        assert ortho.bounds.top == NORTH_M
        assert (ortho.width, ortho.height, ortho.count) == (1600, 1440, 3)
        assert ortho.profile["tiled"]
        heights = surface.read(1)
        assert 0 <= heights.min() < heights.max() < 60
        assert ortho.read(1).std() > 20


def test_photos_say_what_a_drone_s_photo_says(demo):
    assert len(demo.photos) == 10
    for path in demo.photos:
        with Image.open(path) as photo:
            assert photo.size == PHOTO_PX
            assert np.asarray(photo).std() > 15
            exif = photo.getexif()
            camera = exif.get_ifd(IFD.Exif)
        assert (exif[Base.Make], exif[Base.Model]) == ("MobileGeo", "Simulated")
        assert re.fullmatch(r"2026:\d\d:\d\d \d\d:\d\d:\d\d", camera[Base.DateTimeOriginal])
        per_mm = float(camera[Base.FocalPlaneXResolution]) / 10
        focal = float(camera[Base.FocalLength])
        hfov = 2 * math.degrees(math.atan(PHOTO_PX[0] / per_mm / 2 / focal))
        assert 60 <= hfov <= 84
        sensor = math.hypot(*PHOTO_PX) / per_mm
        assert camera[Base.FocalLengthIn35mmFilm] == pytest.approx(
            43.2666 * focal / sensor, abs=0.5
        )


def test_telemetry_is_wrong_by_no_more_than_promised(demo, truth):
    gps, heading, height = [], [], []
    for path in demo.photos:
        true, told = truth[path.name], xmp_of(path)
        lat, lon = exif_position(path)
        gps.append(GEOD.inv(lon, lat, true["camera_lon"], true["camera_lat"])[2])
        heading.append((told["GimbalYawDegree"] - true["heading_deg"] + 180) % 360 - 180)
        height.append(told["RelativeAltitude"] / true["agl_m"] - 1)
        assert told["GpsLatitude"] == pytest.approx(lat, abs=1e-6)
        assert told["GimbalYawDegree"] == told["FlightYawDegree"]
        assert -92 < told["GimbalPitchDegree"] < -48
        assert abs(told["GimbalRollDegree"]) < 6.5
    assert max(gps) < 2.5 * 3 * math.sqrt(2) + 0.05
    assert 1.0 < np.mean(gps) < 6.0
    assert 0.3 < np.std(heading) < 5.0
    assert 0.005 < np.std(height) < 0.08


def test_truth_lies_on_the_map_in_the_direction_of_sight(demo, truth):
    with rasterio.open(demo.map_tif) as ortho:
        bounds = ortho.bounds
    to_map = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    for path in demo.photos:
        true, told = truth[path.name], xmp_of(path)
        x, y = to_map.transform(true["lon"], true["lat"])
        assert bounds.left < x < bounds.right
        assert bounds.bottom < y < bounds.top
        bearing, _, length = GEOD.inv(
            true["camera_lon"], true["camera_lat"], true["lon"], true["lat"]
        )
        off_nadir = 90 + told["GimbalPitchDegree"]
        # The ground rises and falls, roofs stand in the way, and telemetry is off by degrees.
        reach = true["agl_m"] * math.tan(math.radians(off_nadir))
        assert length == pytest.approx(reach, abs=0.04 * true["agl_m"] + 0.25 * reach + 1)
        if off_nadir > 12:
            error = (bearing - true["heading_deg"] + 180) % 360 - 180
            assert abs(error) < 0.3, "heading must count from true north, not grid north"


def test_the_centre_is_where_a_fine_march_meets_the_surface():
    scene = scene_of(generate_world(4, (300, 300), 0.5), Appearance(), WEST_M, NORTH_M)
    rng = np.random.default_rng(0)
    for _ in range(12):
        view = GroundView(
            400, 300, 70.0, rng.uniform(0, 360), rng.uniform(-88, -55), rng.uniform(-3, 3), 90.0
        )
        shot = Shot(view, WEST_M + rng.uniform(120, 180), NORTH_M - rng.uniform(120, 180))
        x, y = centre_on_surface(scene, shot)
        camera = scene.ground_at(shot.x_m, shot.y_m) + view.agl_m
        forward = view.axes[2]
        for length in np.arange(10.0, 400.0, 0.02):
            point = np.array([shot.x_m, shot.y_m, camera]) + length * forward
            column = int((point[0] - WEST_M) / 0.5)
            row = int((NORTH_M - point[1]) / 0.5)
            if scene.surface_m[row, column] >= point[2]:
                break
        assert math.hypot(x - point[0], y - point[1]) < 1.0


def test_true_heading_adds_the_convergence_of_the_grid():
    shot = Shot(GroundView(10, 10, 60.0, 30.0, -60.0, 0.0, 100.0), WEST_M, NORTH_M)
    here = to_latlon(WEST_M, NORTH_M)
    ahead = to_latlon(
        WEST_M + 100 * math.sin(math.radians(30)), NORTH_M + 100 * math.cos(math.radians(30))
    )
    bearing, _, length = GEOD.inv(here.lon, here.lat, ahead.lon, ahead.lat)
    assert true_heading(shot) == pytest.approx(bearing, abs=0.01)
    assert length == pytest.approx(100, abs=0.01)


def test_a_photo_matches_the_scene_it_was_taken_of(demo, truth):
    """A nadir photo laid over the map correlates best where the truth says."""
    import cv2

    with rasterio.open(demo.map_tif) as ortho:
        satellite = np.moveaxis(ortho.read(), 0, 2)
        gsd_m = ortho.transform.a
    to_map = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    path = min(demo.photos, key=lambda name: xmp_of(name)["GimbalPitchDegree"])
    true, told = truth[path.name], xmp_of(path)
    with Image.open(path) as photo:
        camera = photo.getexif().get_ifd(IFD.Exif)
        image = np.asarray(photo)
    half = PHOTO_PX[0] / float(camera[Base.FocalPlaneXResolution]) * 10 / 2
    hfov = 2 * math.degrees(math.atan(half / float(camera[Base.FocalLength])))
    pose = (true["heading_deg"], told["GimbalPitchDegree"], told["GimbalRollDegree"])
    view = GroundView(*PHOTO_PX, hfov, *pose, true["agl_m"])
    cell_m, side = 1.0, 64
    east, north = view.centre_ground
    grid = np.array([[cell_m, 0, east - side / 2], [0, -cell_m, north + side / 2], [0, 0, 1.0]])
    patch = cv2.warpPerspective(
        image,
        view.ground_to_image @ grid,
        (side, side),
        flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP,
    )
    small = cv2.resize(satellite, None, fx=gsd_m / cell_m, fy=gsd_m / cell_m, interpolation=3)
    score = cv2.matchTemplate(small, patch, cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(np.argmax(score), score.shape)
    x, y = to_map.transform(true["lon"], true["lat"])
    found = (WEST_M + (column + side / 2) * cell_m, NORTH_M - (row + side / 2) * cell_m)
    assert math.hypot(found[0] - x, found[1] - y) < 15


def test_the_same_seed_writes_the_same_files(tmp_path):
    options = {"seed": 8, "photos": 2, "size_m": (240, 240), "photo_px": (96, 72)}
    first = write_demo(tmp_path / "a", **options)
    second = write_demo(tmp_path / "b", **options)
    for name in ("photos", "map_tif", "surface_tif", "truth_csv"):
        one, two = getattr(first, name), getattr(second, name)
        for a, b in zip(*((v if isinstance(v, tuple) else (v,)) for v in (one, two)), strict=True):
            assert a.read_bytes() == b.read_bytes(), a.name
    assert not list(tmp_path.rglob("*.partial"))


def test_demos_that_cannot_be_meant_are_refused(tmp_path):
    with pytest.raises(UsageError, match="photos 0: not a positive number; ask for one"):
        write_demo(tmp_path, photos=0)
    with pytest.raises(UsageError, match="show more than the map of 200 × 200 m; ask for"):
        write_demo(tmp_path, photos=1, size_m=(200, 200), photo_px=(4000, 3000))


def test_a_scene_comes_back_from_geotiffs(demo):
    scene = load_scene(demo.map_tif, demo.surface_tif)
    assert (scene.gsd_m, scene.west_m, scene.north_m) == (0.25, WEST_M, NORTH_M)
    assert scene.surface_m.shape == (720, 800)
    with rasterio.open(demo.surface_tif) as surface:
        np.testing.assert_allclose(scene.surface_m, surface.read(1), atol=0.05)


def test_scenes_in_feet_and_with_holes_are_read_in_metres(tmp_path):
    image = np.full((60, 80, 3), 90, np.uint8)
    heights = np.full((30, 40), 5.0, np.float32)
    heights[10:14, 20:25] = -9999
    write_geotiff(tmp_path / "o.tif", image, "EPSG:2994", (635_000.0, 853_000.0), 2.0)
    write_geotiff(tmp_path / "s.tif", heights, "EPSG:2994", (635_000.0, 853_000.0), 4.0)
    with rasterio.open(tmp_path / "s.tif", "r+") as surface:
        surface.nodata = -9999
    scene = load_scene(tmp_path / "o.tif", tmp_path / "s.tif")
    assert scene.gsd_m == pytest.approx(0.6096)
    assert scene.west_m == pytest.approx(635_000 * 0.3048)
    np.testing.assert_allclose(scene.surface_m, 5.0, atol=1e-3)


def test_files_that_make_no_scene_are_refused(tmp_path):
    rgb, grey = np.zeros((50, 50, 3), np.uint8), np.zeros((50, 50), np.float32)
    corner = (680_000.0, 6_098_000.0)
    write_geotiff(tmp_path / "o.tif", rgb, CRS, corner, 1.0)
    write_geotiff(tmp_path / "grey.tif", grey, CRS, corner, 1.0)
    write_geotiff(tmp_path / "far.tif", grey, CRS, (400_000.0, 5_000_000.0), 1.0)
    write_geotiff(tmp_path / "degrees.tif", rgb, "EPSG:4326", (5.0, 50.0), 1e-5)
    write_geotiff(tmp_path / "mercator.tif", rgb, "EPSG:3857", (600_000.0, 7_300_000.0), 1.0)
    (tmp_path / "text.tif").write_text("not a raster")
    cases = [
        ("text.tif", "grey.tif", "text.tif: cannot be read as a raster"),
        ("grey.tif", "grey.tif", r"grey.tif: has 1 band\(s\); give an RGB"),
        ("degrees.tif", "grey.tif", "degrees.tif: has no projected coordinate system"),
        ("mercator.tif", "grey.tif", "mercator.tif: stretches lengths 1.7.*gdalwarp"),
        ("o.tif", "far.tif", "far.tif: does not overlap the orthophoto"),
        ("o.tif", "missing.tif", "missing.tif: cannot be read"),
    ]
    for ortho, surface, message in cases:
        with pytest.raises(MapError, match=message):
            load_scene(tmp_path / ortho, tmp_path / surface)


def test_a_real_place_is_rendered_with_relief(shared_data, tmp_path):
    """Autzen stadium: the stands lean over what a plain homography shows."""
    import cv2

    folder = shared_data / "scenes" / "autzen"
    crs = (folder / "srs.wkt").read_text()
    corner = (635615.4278659122, 853362.6430851521)
    ortho = cv2.imread(str(folder / "autzen.jpg"), cv2.IMREAD_REDUCED_COLOR_4)[..., ::-1]
    heights = cv2.imread(str(folder / "dsm_cm_offset120m.png"), cv2.IMREAD_UNCHANGED)
    surface = cv2.resize(heights / np.float32(100) + 120, ortho.shape[1::-1])
    write_geotiff(tmp_path / "o.tif", np.ascontiguousarray(ortho), crs, corner, 4.0)
    write_geotiff(tmp_path / "s.tif", surface.astype(np.float32), crs, corner, 4.0)
    scene = load_scene(tmp_path / "o.tif", tmp_path / "s.tif")
    assert scene.gsd_m == pytest.approx(1.2192)
    x, y = scene.west_m + 480, scene.north_m - 600
    images = [
        render_view(scene, GroundView(320, 240, 70.0, 40.0, pitch, 0.0, 150.0), x, y)
        for pitch in (-90.0, -70.0, -50.0)
    ]
    assert all(image.std() > 20 for image in images)
    assert scene.ground_at(x, y) == pytest.approx(128, abs=8)
