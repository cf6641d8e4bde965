"""The renderer against closed forms, a plain homography and a brute-force ray march."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mobilegeo.camera import GroundView
from mobilegeo.errors import UsageError
from mobilegeo.world import Facades, Light, Scene, cast_rays, render_view
from mobilegeo.world.render import facade_colour
from mobilegeo.world.scene import estimate_ground

CLEAR = Light(visibility_m=1e9)


def smooth_image(side_px: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (side_px // 16, side_px // 16, 3))
    field = cv2.resize(noise, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 45 * field, 0, 255).astype(np.uint8)


def flat_scene(side_px: int = 800, gsd_m: float = 0.5, height_m: float = 37.0) -> Scene:
    surface = np.full((side_px, side_px), height_m, np.float32)
    return Scene(smooth_image(side_px), surface, gsd_m, west_m=-200.0, north_m=200.0)


views = st.builds(
    GroundView,
    width_px=st.integers(20, 90),
    height_px=st.integers(20, 90),
    hfov_deg=st.floats(20, 90),
    heading_deg=st.floats(0, 360),
    pitch_deg=st.floats(-90, -50),
    roll_deg=st.floats(-180, 180),
    agl_m=st.floats(20, 300),
)


@given(view=views)
@settings(max_examples=40, deadline=None)
def test_on_level_ground_rays_land_where_the_camera_model_says(view):
    hits = cast_rays(flat_scene(), view, 13.0, -7.0)
    u, v = np.meshgrid(np.arange(view.width_px) + 0.5, np.arange(view.height_px) + 0.5)
    east, north = view.ground_points(u.ravel(), v.ravel())
    seen = hits.descends.ravel()
    scale = np.hypot(east, north)[seen] + view.agl_m
    assert np.all(np.abs(hits.east_m.ravel()[seen] - east[seen]) < 1e-5 * scale)
    assert np.all(np.abs(hits.north_m.ravel()[seen] - north[seen]) < 1e-5 * scale)
    np.testing.assert_allclose(hits.height_m, 37.0)


@pytest.mark.parametrize(("pitch", "roll"), [(-90, 0), (-90, 33), (-72, -4), (-55, 8)])
def test_on_level_ground_the_view_is_a_plain_homography(pitch, roll):
    scene = flat_scene()
    view = GroundView(200, 150, 50.0, 117.0, pitch, roll, 60.0)
    x, y = 20.0, 30.0
    seen = render_view(scene, view, x, y, CLEAR)
    index = scene.index_matrix(scene.ortho.shape)
    shift = np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    warp = index @ shift @ view.image_to_ground @ centre
    expected = cv2.warpPerspective(
        scene.ortho, warp, (200, 150), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    gap = np.abs(seen.astype(int) - expected.astype(int))
    assert view.footprint().max() < 170  # all of it on the ortho
    assert gap.max() <= 2
    assert gap.mean() < 0.5


def towers(height_m: float, at: tuple[float, float]) -> Scene:
    """A tower of 8 × 8 m at (east, north) on level ground, camera over the origin."""
    surface = np.zeros((800, 800), np.float32)
    row, column = round((100 - at[1]) * 4), round((100 + at[0]) * 4)
    surface[row - 16 : row + 16, column - 16 : column + 16] = height_m
    return Scene(smooth_image(800), surface, 0.25, west_m=-100.0, north_m=100.0)


@pytest.mark.parametrize("pitch", [-90.0, -65.0])
@pytest.mark.parametrize(("height", "east", "north"), [(30.0, 20.0, 12.0), (12.0, -31.0, 25.0)])
def test_a_roof_is_displaced_by_its_height_over_the_rest(pitch, height, east, north):
    agl = 90.0
    view = GroundView(900, 700, 75.0, 0.0, pitch, 0.0, agl)
    hits = cast_rays(towers(height, (east, north)), view, 0.0, 0.0)
    lean = 1 + height / (agl - height)
    u, v, w = view.ground_to_image @ (east * lean, north * lean, 1.0)
    column, row = int(u / w), int(v / w)
    assert hits.height_m[row, column] == pytest.approx(height, abs=0.02)
    assert hits.east_m[row, column] == pytest.approx(east, abs=0.3)
    assert hits.north_m[row, column] == pytest.approx(north, abs=0.3)


def test_the_far_edge_of_a_roof_is_seen_where_the_closed_form_puts_it():
    view = GroundView(2001, 3, 60.0, 0.0, -90.0, 0.0, 100.0)
    hits = cast_rays(towers(25.0, (30.0, 0.0)), view, 0.0, 0.0)
    ground_east = view.ground_points(np.arange(2001) + 0.5, np.full(2001, 1.5))[0]
    roof = ground_east[hits.height_m[1] > 24.9]
    lean = 100.0 / (100.0 - 25.0)
    # The roof reaches from 26 to 34 m; its rim is known to the cell of 0.25 m.
    assert roof.min() == pytest.approx(26 * lean, abs=0.3)
    assert roof.max() == pytest.approx(34 * lean, abs=0.3)


def test_a_wall_hides_what_is_behind_it():
    surface = np.zeros((400, 400), np.float32)
    surface[:, 120:128] = 20.0  # 10 to 12 m east of the middle, all along north and south
    scene = Scene(smooth_image(400), surface, 0.25, west_m=-20.0, north_m=50.0)
    view = GroundView(1200, 60, 80.0, 0.0, -90.0, 0.0, 50.0)
    hits = cast_rays(scene, view, 0.0, 0.0)
    on_ground = hits.east_m[hits.height_m < 0.3]
    shadow_end = 12 * 50 / (50 - 20)
    assert not ((on_ground > 12.3) & (on_ground < shadow_end - 0.3)).any()
    assert ((on_ground > shadow_end + 0.1) & (on_ground < shadow_end + 1)).any()
    wall = (hits.height_m > 1) & (hits.height_m < 19)
    assert wall.any()
    assert np.all(np.abs(hits.east_m[wall] - 10.0) < 0.3)


@given(seed=st.integers(0, 2**31), view=views)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_hits_agree_with_a_brute_force_march(seed, view):
    rng = np.random.default_rng(seed)
    hills = cv2.resize(rng.uniform(0, 25, (9, 9)), (500, 500), interpolation=cv2.INTER_CUBIC)
    scene = Scene(np.zeros((500, 500, 3), np.uint8), hills.astype(np.float32), 1.0, 0.0, 500.0)
    view = GroundView(24, 18, 60.0, view.heading_deg, view.pitch_deg, view.roll_deg, 70.0)
    hits = cast_rays(scene, view, 250.0, 250.0)
    rows, columns = np.nonzero(hits.descends)
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
    rays = view.pixel_rays @ pixels
    drop = np.linspace(35.0, hits.camera_height_m - hills.min(), 2500)[:, None]
    east, north = drop * rays[0] / -rays[2], drop * rays[1] / -rays[2]
    near = (np.hypot(east, north) < 240).all(axis=0)
    surface = cv2.remap(
        hills.astype(np.float32),
        (250 + east - 0.5).astype(np.float32),
        (250 - north - 0.5).astype(np.float32),
        cv2.INTER_LINEAR,
    )
    first = np.argmax(surface >= hits.camera_height_m - drop, axis=0)
    expected = hits.camera_height_m - drop[first, 0]
    assume(near.sum() > 50)
    error = np.abs(expected - hits.height_m[rows, columns])[near]
    assert np.quantile(error, 0.97) < 0.15  # a 64th of the coarsest spacing, and the march's step
    aside = error * np.hypot(rays[0], rays[1])[near] / -rays[2][near]
    assert np.quantile(aside, 0.97) < 0.15


def test_height_above_ground_counts_from_the_ground_under_the_camera():
    ramp = np.tile(np.linspace(0, 50, 400, dtype=np.float32), (400, 1))
    scene = Scene(smooth_image(400), ramp, 1.0, north_m=400.0, ground_m=ramp)
    view = GroundView(41, 31, 60.0, 0.0, -90.0, 0.0, 80.0)
    hits = cast_rays(scene, view, 300.0, 200.0)
    assert hits.camera_height_m == pytest.approx(80 + 300 / 400 * 50, abs=0.2)
    assert hits.height_m[15, 20] == pytest.approx(hits.camera_height_m - 80, abs=0.1)


def test_a_checkerboard_seen_from_far_away_is_grey_not_moire():
    board = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)
    scene = Scene(np.repeat(board[..., None], 3, axis=2), np.zeros((64, 64), np.float32), 0.1)
    view = GroundView(100, 100, 50.0, 20.0, -80.0, 0.0, 100.0)
    grey = render_view(scene, view, 51.2, -51.2, CLEAR)
    assert np.abs(grey.astype(int) - 127).max() <= 3


def test_sky_stands_above_the_horizon_and_haze_before_it():
    scene = flat_scene()
    view = GroundView(60, 80, 60.0, 0.0, -20.0, 0.0, 60.0)
    hits = cast_rays(scene, view, 0.0, 0.0)
    image = render_view(scene, view, 0.0, 0.0, Light(visibility_m=50.0))
    assert not hits.descends[:5].any()
    assert hits.descends[-5:].all()
    assert image[0].std(axis=0).max() < 3
    assert image[-1].std() > image[35].std()


def test_beyond_its_edges_the_scene_is_mirrored():
    scene = flat_scene()
    view = GroundView(100, 80, 60.0, 0.0, -90.0, 0.0, 50.0)
    at_edge = render_view(scene, view, 200.0, 0.0, CLEAR).astype(int)
    assert np.abs(at_edge - at_edge[:, ::-1]).max() <= 2


def test_facades_show_windows_between_plaster():
    facades = Facades(
        np.ones((4, 4), np.uint16),
        np.array([[0.0, 0.0, 0.0, 10.0, 3.0]], np.float32),
        np.array([[200, 190, 180]], np.uint8),
    )
    rows = np.zeros(2, np.int64)
    colours = facade_colour(
        facades, rows, np.array([1.5, 0.1]), np.zeros(2), np.array([11.5, 11.5], np.float32)
    )
    assert colours[0].mean() < 100
    np.testing.assert_allclose(colours[1], (200, 190, 180))


def test_walls_are_painted_with_their_facade():
    plain = towers(30.0, (20.0, 0.0))
    facades = Facades(
        (cv2.dilate(plain.surface_m, np.ones((5, 5))) > 0).astype(np.uint16),
        np.array([[120.0, 100.0, 0.0, 0.0, 3.0]], np.float32),
        np.array([[255, 0, 255]], np.uint8),
    )
    scene = Scene(plain.ortho, plain.surface_m, 0.25, -100.0, 100.0, facades=facades)
    view = GroundView(300, 200, 70.0, 90.0, -60.0, 0.0, 60.0)
    before, after = (render_view(s, view, -20.0, 0.0, CLEAR).astype(int) for s in (plain, scene))
    changed = np.abs(before - after).sum(axis=2) > 60
    assert changed.sum() > 200
    assert (after[changed][:, 0] >= after[changed][:, 1] - 12).all()


def test_ground_is_found_under_towers_and_on_slopes():
    ramp = np.tile(np.linspace(0, 6, 600, dtype=np.float32), (600, 1))
    surface = ramp.copy()
    surface[100:160, 100:180] += 25
    surface[300:310, 300:310] += 12
    ground = estimate_ground(surface, 0.5)
    expected = cv2.resize(ramp, ground.shape[::-1], interpolation=cv2.INTER_AREA)
    inner = (slice(10, -10), slice(30, -30))
    assert np.abs(ground - expected)[inner].max() < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ortho": np.zeros((4, 4), np.uint8)}, r"ortho uint8 \(4, 4\): not an RGB image; give"),
        ({"ortho": np.zeros((4, 4, 3), np.float32)}, "ortho float32"),
        ({"surface_m": np.full((4, 4), math.nan, np.float32)}, "not a raster of finite heights"),
        ({"surface_m": np.zeros((2, 40_000), np.float32)}, "a side exceeds 32000 px; cut"),
        ({"gsd_m": 0.0}, "gsd_m 0.0: not positive"),
    ],
)
def test_scenes_that_cannot_be_meant_are_refused(change, message):
    good = {
        "ortho": np.zeros((4, 4, 3), np.uint8),
        "surface_m": np.zeros((4, 4), np.float32),
        "gsd_m": 1.0,
    }
    with pytest.raises(UsageError, match=message):
        Scene(**(good | change))
