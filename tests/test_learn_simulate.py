"""Simulated views: the spiral, the split, the layout on disk, and what the images show."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mobilegeo.camera import GroundView
from mobilegeo.cli.learn import app
from mobilegeo.errors import DatasetError, MapError, ResourceError, UsageError
from mobilegeo.evaluation import read_truth_csv
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.learn.datasets.catalogue import read_benchmark
from mobilegeo.learn.datasets.check import check_dataset
from mobilegeo.learn.datasets.simulated_views import read_truth
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.simulate import views as views_module
from mobilegeo.learn.simulate.dataset_writer import simulate
from mobilegeo.learn.simulate.ground import Site, flat
from mobilegeo.learn.simulate.image_ground import ImageGround
from mobilegeo.learn.simulate.near_duplicates import alike_groups
from mobilegeo.learn.simulate.opening import open_grounds
from mobilegeo.learn.simulate.planning import plan
from mobilegeo.learn.simulate.raster_ground import RasterGround
from mobilegeo.learn.simulate.settings import Settings, finest_gsd_m, spiral
from mobilegeo.learn.simulate.views import drone_images, ground_view, satellite_image
from mobilegeo.world.geotiff import write_geotiff
from mobilegeo.world.scene import Scene

UTM = "EPSG:32632"
WEST, NORTH = 500_000.0, 5_250_000.0
SMALL = Settings(views=2, size_px=48, footprint_m=40.0, test_share=0.3)


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.zeros((height, width, 3))
    for cell in (4, 12, 40):
        shape = (math.ceil(width / cell), math.ceil(height / cell))
        coarse = rng.uniform(0, 85, (shape[1], shape[0], 3))
        out += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    return out.astype(np.uint8)


@pytest.fixture(scope="module")
def rasters(tmp_path_factory) -> tuple[Path, Path]:
    """A map of 300 × 500 m at 0.5 m, and its surface with a wall across it."""
    folder = tmp_path_factory.mktemp("rasters")
    write_geotiff(folder / "ortho.tif", texture(1000, 600), UTM, (WEST, NORTH), 0.5)
    heights = np.full((500, 300), 400.0, np.float32)
    heights[:, 140:150] = 415.0
    write_geotiff(folder / "dsm.tif", heights, UTM, (WEST, NORTH), 1.0)
    return folder / "ortho.tif", folder / "dsm.tif"


def loose(count: int, side: int = 96) -> list[Source]:
    return [Source(f"{k}", "all", texture(side, side, k), 0.5) for k in range(count)]


def site_at(footprint_m: float = 40.0, *, test: bool = False) -> Site:
    return Site(0.0, 0.0, footprint_m, 0, test)


def test_the_spiral_is_the_published_one() -> None:
    views = spiral(Settings(), 240.0, start_deg=10.0)
    assert [view.number for view in views] == list(range(1, 55))
    assert views[0].height_m == 256.0
    assert views[-1].height_m == 121.5
    bearings = np.degrees([math.atan2(view.east_m, view.north_m) for view in views])
    turned = np.diff(np.unwrap(bearings, period=360.0))
    np.testing.assert_allclose(turned, 20.0, atol=1e-9)
    assert sum(turned) + 20.0 == pytest.approx(3 * 360.0)


@given(
    footprint=st.floats(20, 500), start=st.floats(0, 360), pitch=st.floats(-85, -50),
    hfov=st.floats(20, 70), count=st.integers(1, 54),
)  # fmt: skip
@settings(max_examples=40)
def test_every_view_looks_at_the_place_and_stays_within_reach(
    footprint, start, pitch, hfov, count
) -> None:
    chosen = Settings(views=count, pitch_deg=pitch, hfov_deg=hfov, size_px=64)
    scene = flat(np.zeros((4, 4, 3), np.uint8), 1.0, -2.0, 2.0)
    reach = chosen.reach * footprint
    views = spiral(chosen, footprint, start)
    assert len(views) == count
    for view in views:
        camera = ground_view(scene, view, chosen)
        east, north = camera.ground_points(
            np.array([0, 0, 64.0, 64, 32]), np.array([0, 64.0, 0, 64, 32])
        )
        east, north = east + view.east_m, north + view.north_m
        assert math.hypot(east[-1], north[-1]) < 1e-6 * footprint
        assert np.hypot(east, north).max() < reach * (1 + 1e-6)
    highest = ground_view(scene, spiral(chosen, footprint, start)[0], chosen)
    corners = highest.ground_points(np.array([0.0]), np.array([0.0]))
    away = np.hypot(corners[0][0] + views[0].east_m, corners[1][0] + views[0].north_m)
    assert away == pytest.approx(reach, rel=1e-6)
    lowest = GroundView(64, 64, hfov, 0.0, pitch, 0.0, 121.5 * footprint / 240.0)
    slant = lowest.agl_m / math.sin(math.radians(-pitch))
    width_m = 2.0 * slant * math.tan(math.radians(hfov / 2))
    assert finest_gsd_m(chosen, footprint) * 64 == pytest.approx(width_m)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"views": 55}, r"views 55: is not within 1 … 54"),
        ({"places": 1}, r"places 1: is below 2;"),
        ({"test_share": 0.95}, r"test_share 0.95: is not within 0 … 0.9"),
        ({"pitch_deg": -30.0}, r"pitch_deg -30.0: is not within -90 … -45"),
        ({"footprint_m": 1.0}, r"footprint_m 1.0: is below 5;"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values, message) -> None:
    with pytest.raises(UsageError, match=message):
        Settings(**values)


def test_a_view_to_the_horizon_is_refused() -> None:
    with pytest.raises(UsageError, match="look almost to the horizon; look down more steeply"):
        _ = Settings(pitch_deg=-45.0, hfov_deg=80.0).reach


def test_images_show_the_place_at_their_centre(monkeypatch) -> None:
    monkeypatch.setattr(views_module, "_STRENGTH", (0.0, 0.0))
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(200), np.arange(200)[:, None]
    scene = flat(ramp, 0.5, -30.0, 70.0)  # the origin is at column 60, row 140
    chosen = Settings(size_px=65, footprint_m=20.0, views=5)
    square = satellite_image(scene, 20.0, 65, np.random.default_rng(0))
    np.testing.assert_allclose(square[32, 32, :2], (60, 140), atol=1.5)
    np.testing.assert_allclose(square[32, 0, :2], (40, 140), atol=1.5)
    np.testing.assert_allclose(square[0, 32, :2], (60, 120), atol=1.5)
    for photo in drone_images(scene, spiral(chosen, 20.0, 45.0), chosen, (0,)):
        # The renderer adds a little haze.
        np.testing.assert_allclose(photo[32, 32, :2].astype(int), (60, 140), atol=4)


def test_heights_are_counted_from_the_ground_of_the_place() -> None:
    ground = np.tile(np.linspace(0.0, 100.0, 101, dtype=np.float32), (101, 1))
    scene = Scene(texture(101, 101), ground, 2.0, -101.0, 101.0, ground_m=ground)
    chosen = Settings(views=3, footprint_m=60.0)
    for view in spiral(chosen, 60.0, 90.0):
        camera = ground_view(scene, view, chosen)
        height = scene.ground_at(view.east_m, view.north_m) + camera.agl_m
        assert height - scene.ground_at(0.0, 0.0) == pytest.approx(view.height_m)


def test_relief_shows_in_drone_views_and_not_in_the_satellites() -> None:
    ortho = texture(160, 160)
    heights = np.zeros((160, 160), np.float32)
    heights[70:100, 90:110] = 12.0
    level = np.zeros((2, 2), np.float32)
    scenes = [
        Scene(ortho, surface, 0.5, -40.0, 40.0, ground_m=level)
        for surface in (heights, np.zeros((160, 160), np.float32))
    ]
    chosen = Settings(size_px=64, views=3)
    first, second = (satellite_image(s, 50.0, 64, np.random.default_rng(0)) for s in scenes)
    np.testing.assert_array_equal(first, second)
    flights = (drone_images(s, spiral(chosen, 50.0, 0.0), chosen, (0,)) for s in scenes)
    for high, low in zip(*flights, strict=True):
        assert np.abs(high.astype(int) - low).max() > 60


def test_a_raster_is_split_so_that_no_test_view_sees_training_ground(rasters) -> None:
    ground = RasterGround([rasters[0]])
    sites = ground.sites(SMALL)
    train, test = ([(s.x_m, s.y_m) for s in sites if s.test == part] for part in (False, True))
    assert train
    assert test
    gaps = [math.dist(a, b) for a in train for b in test]
    assert min(gaps) >= 2.0 * SMALL.reach * 40.0
    every = [(s.x_m, s.y_m) for s in sites]
    assert min(math.dist(a, b) for a in every for b in every if a != b) >= 40.0 - 1e-6
    assert all(not site.test for site in ground.sites(Settings(footprint_m=40.0, test_share=0.0)))
    with pytest.raises(MapError, match=r"has no place of 400 m.*smaller --footprint-m"):
        ground.sites(Settings(footprint_m=400.0))


def test_a_raster_gives_scenes_with_relief_around_a_site(rasters) -> None:
    ground = RasterGround([rasters[0]], rasters[1])
    site = ground.sites(SMALL)[0]
    scene = ground.scene(site, 50.0, 0.2)
    assert scene.gsd_m == pytest.approx(0.5, rel=0.01)  # not finer than the map
    assert scene.width_m == pytest.approx(100.0, abs=1.0)
    centre = ground.position(site, 0.0, 0.0)
    assert centre is not None
    wall = ground.position(site, 10.0, 0.0)
    assert wall is not None
    assert distance_m(centre, wall) == pytest.approx(10.0, rel=1e-4)
    whole = RasterGround([rasters[0]], rasters[1]).scene(Site(0.0, 0.0, 40.0, 0, False), 60.0, 0.5)
    assert float(np.ptp(whole.surface_m)) == pytest.approx(15.0, abs=0.1)


def test_a_surface_model_of_elsewhere_is_refused(rasters, tmp_path) -> None:
    far = tmp_path / "far.tif"
    write_geotiff(far, np.zeros((20, 20), np.float32), UTM, (WEST + 9_000, NORTH), 1.0)
    with pytest.raises(UsageError, match=r"far\.tif: has no heights where the map has imagery"):
        RasterGround([rasters[0]], far).scene(site_at(), 30.0, 0.5)
    with pytest.raises(MapError, match=r"none\.tif: cannot be read as a raster .*No such file"):
        RasterGround([rasters[0]], tmp_path / "none.tif")
    with pytest.raises(MapError, match=r"ortho\.tif: has 3 bands, a surface model has one"):
        RasterGround([rasters[0]], rasters[0])


def test_holes_of_a_surface_model_are_filled_from_their_rims(rasters, tmp_path) -> None:
    heights = np.full((500, 300), 400.0, np.float32)
    heights[:, 150:] = 410.0
    heights[240:260, 100:120] = np.nan
    write_geotiff(tmp_path / "dsm.tif", heights, UTM, (WEST, NORTH), 1.0)
    ground = RasterGround([rasters[0]], tmp_path / "dsm.tif")
    surface_m = ground.scene(site_at(), 100.0, 0.5).surface_m
    assert np.isfinite(surface_m).all()
    assert set(np.unique(surface_m[:, : surface_m.shape[1] // 3]).tolist()) == {400.0}


def test_overlapping_images_are_found_and_others_are_not() -> None:
    world = texture(400, 700)
    images = [
        world[:256, :256], texture(256, 256, 7), world[60:316, 120:376],
        np.ascontiguousarray(np.rot90(world[130:386, 230:486])), texture(256, 256, 8),
        np.full((64, 64, 3), 120, np.uint8),
    ]  # fmt: skip
    assert alike_groups(images) == [0, 1, 0, 0, 4, 5]
    assert alike_groups([images[-1]] * 2) == [0, 1]


def test_overlapping_images_stay_on_one_side_of_the_split() -> None:
    world = texture(300, 2000)
    sources = [
        Source(f"{k}", "all", np.ascontiguousarray(world[:256, k * 90 : k * 90 + 256]), 0.5)
        for k in range(12)
    ]
    sources += loose(20, 128)
    sites = ImageGround("tiles", sources).sites(Settings(test_share=0.5, size_px=64))
    sides = {site.piece: site.test for site in sites}
    assert len({sides[piece] for piece in range(12)}) == 1
    tested = sum(site.test for site in sites) / len(sites)
    assert 0.3 <= tested <= 0.55


def test_a_large_image_gives_places_side_by_side() -> None:
    source = Source("scene", "all", texture(400, 800), 0.5)
    sites = ImageGround("scene", [source]).sites(Settings(test_share=0.0, footprint_m=50.0))
    xs, ys = sorted({s.x_m for s in sites}), sorted({-s.y_m for s in sites})
    np.testing.assert_allclose(np.diff(xs), 50.0)
    np.testing.assert_allclose(np.diff(ys), 50.0)
    assert min(xs) >= 50.0 / 0.6 / 2.0
    assert max(xs) <= 400.0 - 50.0 / 0.6 / 2.0
    small = ImageGround("tile", loose(1)).sites(Settings(test_share=0.0))
    assert [site.footprint_m for site in small] == [pytest.approx(0.6 * 48.0)]
    sea = ImageGround("sea", [Source("sea", "sea", np.full((64, 64, 3), 90, np.uint8), 0.5)])
    with pytest.raises(ResourceError, match=r"sea: has no image with anything to recognise"):
        sea.sites(Settings())


def test_places_are_drawn_evenly_from_the_grounds() -> None:
    grounds = [ImageGround("a", loose(12)), ImageGround("b", loose(40)), ImageGround("c", loose(3))]
    planned = plan(grounds, Settings(places=20, test_share=0.5))
    counts = [sum(place.ground == k for place in planned) for k in range(3)]
    assert len(planned) == 20
    assert counts[2] == 3
    assert abs(counts[0] - counts[1]) <= 2
    assert [place.id for place in planned] == [f"{k:04d}" for k in range(1, 21)]
    assert [place.site.test for place in planned] == [False] * 10 + [True] * 10
    with pytest.raises(UsageError, match="leaves no test place of 1; give more imagery"):
        plan([ImageGround("one", loose(1))], Settings())


@pytest.fixture(scope="module")
def written(rasters, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "out"
    done = simulate([RasterGround([rasters[0]], rasters[1])], out, SMALL)
    assert done.with_truth == done.train + done.test
    return out


def test_the_layout_is_university_1652s(written) -> None:
    for name in ("university1652", "simulated"):
        report = check_dataset(name, written, all_images=True)
        assert report.usable, report.findings
        counts = {count.subset: (count.places, count.images) for count in report.counts}
        assert counts["query_drone"] == counts["gallery_drone"]
        places = counts["train_satellite"][0]
        assert counts["train_drone"] == (places, 2 * places)
    assert check_dataset("simulated", written).findings == ()
    names = sorted(path.name for path in (written / "train/drone/0001").iterdir())
    assert names == ["image-01.jpeg", "image-54.jpeg"]
    benchmark = read_benchmark("university1652", written)
    assert [view.height_m for view in benchmark.train[0].of_kind("drone")] == [256.0, 121.5]
    assert benchmark.retrieval("D2S").relevant()[0].tolist() == [0]


def test_the_truth_says_where_each_view_is(written) -> None:
    truth = {row.photo: row for row in read_truth_csv(written / "truth.csv")}
    files = {p.relative_to(written).as_posix() for p in written.rglob("*.jp*g")}
    assert set(truth) == files
    benchmark = read_benchmark("simulated", written)
    drone = benchmark.train[0].of_kind("drone")
    satellite = benchmark.train[0].of_kind("satellite")[0]
    heights_m = [view.height_m for view in drone]
    assert heights_m == [pytest.approx(h / 6, abs=0.01) for h in (256.0, 121.5)]
    assert distance_m(drone[0].lat_lon, satellite.lat_lon) < 0.01
    with (written / "truth.csv").open() as stream:
        row = next(csv.DictReader(stream))
    camera = LatLon(float(row["camera_lat"]), float(row["camera_lon"]))
    aimed = LatLon(float(row["lat"]), float(row["lon"]))
    level = float(row["agl_m"]) / math.tan(math.radians(60.0))
    assert distance_m(camera, aimed) == pytest.approx(level, rel=1e-3)
    heading = math.degrees(
        math.atan2(
            (aimed.lon - camera.lon) * math.cos(math.radians(aimed.lat)), aimed.lat - camera.lat
        )
    )
    assert (heading - float(row["heading_deg"]) + 180) % 360 - 180 == pytest.approx(0.0, abs=0.5)


def test_a_stopped_run_goes_on_and_ends_the_same(rasters, written, tmp_path) -> None:
    ground = RasterGround([rasters[0]], rasters[1])
    out = tmp_path / "out"

    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate([ground], out, SMALL, workers=1, progress=stop)
    half = {p.relative_to(out) for p in out.rglob("*.jpeg")}
    simulate([ground], out, SMALL, workers=3)
    files = [p.relative_to(written) for p in sorted(written.rglob("*")) if p.is_file()]
    assert 0 < len(half) < len(files)
    assert [p.relative_to(out) for p in sorted(out.rglob("*")) if p.is_file()] == files
    for path in files:
        assert (out / path).read_bytes() == (written / path).read_bytes()
    with pytest.raises(UsageError, match="was begun with other seed; give the same again"):
        simulate([ground], out, Settings(**{**vars(SMALL), "seed": 4}))
    with pytest.raises(UsageError, match="was begun with other imagery"):
        simulate([RasterGround([rasters[0]])], out, SMALL)


def test_a_folder_with_something_else_is_left_alone(tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="holds something else; give a new or empty folder"):
        simulate([ImageGround("tiles", loose(4))], tmp_path, SMALL)
    (tmp_path / "thesis.txt").unlink()
    (tmp_path / "train").mkdir()
    (tmp_path / "simulated.json").write_text("{")
    with pytest.raises(UsageError, match=r"simulated\.json: is damaged"):
        simulate([ImageGround("tiles", loose(4))], tmp_path, SMALL)


def test_a_run_that_wrote_no_image_may_begin_anew(rasters, tmp_path) -> None:
    nothing = [Source("0", "all", np.zeros((96, 96, 3), np.uint8), 0.5)]
    with pytest.raises(ResourceError, match="anything to recognise"):
        simulate([ImageGround("dark", nothing)], tmp_path, SMALL)
    assert simulate([ImageGround("tiles", loose(4))], tmp_path, SMALL).train > 0


def test_a_damaged_truth_is_told_with_its_line(tmp_path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("photo,lat,lon\na.jpg,47,8\nb.jpg,97,8\n")
    with pytest.raises(DatasetError, match=r"truth\.csv, line 3: latitude 97"):
        read_truth(path)


def test_arguments_that_contradict_one_another_are_refused(tmp_path, rasters) -> None:
    with pytest.raises(UsageError, match="--dsm: says nothing of images without a georeference"):
        open_grounds([tmp_path], dsm=rasters[1], gsd_m=0.3)
    with pytest.raises(UsageError, match=r"--gsd-m -1\.0: is not positive"):
        open_grounds([tmp_path], gsd_m=-1.0)
    with pytest.raises(UsageError, match=r"ortho\.tif: is no folder of images"):
        open_grounds([rasters[0]], gsd_m=0.3)
    with pytest.raises(ResourceError, match="holds no imagery of kind 'images'"):
        open_grounds([tmp_path], gsd_m=0.3)


def test_the_command_simulates_loose_images_and_tells_in_json(tmp_path) -> None:
    folder = tmp_path / "tiles"
    folder.mkdir()
    for k in range(6):
        cv2.imwrite(str(folder / f"{k}.png"), texture(96, 96, k))
    arguments = ["simulate", str(folder), "--gsd-m", "0.5", "-o", str(tmp_path / "out")]
    arguments += ["--views", "3", "--size", "48", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["train"], told["test"], told["with_truth"]) == (4, 2, 0)
    assert told["images"] == (4 + 2 * 2) * 4
    assert not (tmp_path / "out/truth.csv").exists()
    assert check_dataset("university1652", tmp_path / "out").usable
    assert "workers" in CliRunner().invoke(app, [*arguments, "--workers", "0"]).stderr
    again = CliRunner().invoke(app, arguments[:-1])
    assert "4 training and 2 test places, 32 images" in again.stdout
