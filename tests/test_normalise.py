"""Projection of photos to the ground, against a ground that was photographed by tracing rays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from locate_kit import Ground, a_view, seen_ground
from mobilegeo.camera import GRAZING_DEG, GroundView
from mobilegeo.locate.normalise import FINER, GroundPatch, project, shrink_to
from mobilegeo.locate.template import visible_centre

GROUND = Ground(side_m=800.0, grain_m=(10.0, 20.0))


def patch_points(patch):
    """East and north of a patch's pixel centres, float [S, S] each."""
    size = len(patch.valid)
    steps = (np.arange(size) + 0.5 - size / 2) * patch.gsd_m
    return np.meshgrid(patch.east_m + steps, patch.north_m - steps)


def error(patch, ground=GROUND):
    """Absolute differences to the ground at the patch's valid pixels, [N, 3]."""
    expected = ground.colours(*patch_points(patch))
    return np.abs(patch.image.astype(float) - expected)[patch.valid]


@pytest.mark.parametrize(
    "pose",
    [
        {},
        {"heading_deg": 33.0},
        {"heading_deg": 200.0, "pitch_deg": -60.0},
        {"heading_deg": 301.0, "pitch_deg": -45.0, "roll_deg": 12.0},
        {"heading_deg": 120.0, "pitch_deg": -70.0, "roll_deg": -90.0},
        {"heading_deg": 77.0, "pitch_deg": -95.0, "roll_deg": 5.0},
    ],
)
def test_a_photo_of_the_ground_gives_the_ground_back(pose):
    view = a_view(**pose)
    photo = GROUND.photo(view)
    patch = project(photo, view, gsd_m=0.5, size_px=200, centre=visible_centre(view))
    assert patch.coverage > 0.5
    assert error(patch).mean() < 0.5
    assert np.percentile(error(patch), 99) < 2.0
    # The bounds mean something: half a pixel off would break them.
    moved = GroundPatch(patch.image, patch.valid, 0.5, patch.east_m + 0.25, patch.north_m + 0.25)
    assert error(moved).mean() > 1.0


def test_straight_down_heading_north_at_equal_scale_is_the_photo_to_the_pixel():
    photo = np.random.default_rng(0).integers(0, 256, (180, 240, 3), dtype=np.uint8)
    hfov_deg = math.degrees(2 * math.atan(0.6))
    view = a_view(hfov_deg=hfov_deg)  # 240 pixels of 0.5 m
    patch = project(photo, view, gsd_m=0.5, size_px=240, centre=(0.0, 0.0))
    assert patch.valid[30:-30].all()
    assert not patch.valid[:30].any()
    assert not patch.valid[-30:].any()
    np.testing.assert_array_equal(patch.image[30:-30], photo)
    assert (patch.image[~patch.valid] == 0).all()


def test_whole_pixels_of_shift_are_exact_too():
    photo = np.random.default_rng(0).integers(0, 256, (180, 240, 3), dtype=np.uint8)
    view = a_view(hfov_deg=math.degrees(2 * math.atan(0.6)))
    patch = project(photo, view, gsd_m=0.5, size_px=100, centre=(10.0, -5.0))
    # East is right, north is up: 20 pixels right and 10 down.
    np.testing.assert_array_equal(patch.image, photo[50:150, 90:190])


def test_heading_east_puts_the_top_of_the_photo_to_the_right():
    photo = np.random.default_rng(0).integers(0, 256, (180, 180, 3), dtype=np.uint8)
    view = a_view(width_px=180, hfov_deg=math.degrees(2 * math.atan(0.45)), heading_deg=90.0)
    patch = project(photo, view, gsd_m=0.5, size_px=180, centre=(0.0, 0.0))
    turned = np.rot90(photo, k=-1)
    difference = patch.image[1:-1, 1:-1].astype(int) - turned[1:-1, 1:-1]
    assert np.abs(difference).max() <= 1


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0, 360), st.floats(-100, 20), st.floats(-180, 180), st.floats(-1, 1), st.floats(-1, 1)
)
@example(1.1e-308, -90.0, 0.0, 0.0, 0.0)
@example(0.0, -45.0, 0.0, 0.0, 0.5)
def test_the_mask_is_what_the_view_sees_and_not_grazing(heading, pitch, roll, east, north):
    view = a_view(heading_deg=heading, pitch_deg=pitch, roll_deg=roll)
    photo = np.full((180, 240, 3), 9, np.uint8)
    centre = (100 * east, 100 * north)
    patch = project(photo, view, gsd_m=4.0, size_px=40, centre=centre)
    points = np.stack([v.ravel() for v in patch_points(patch)], axis=1)
    near = np.hypot(*points.T) <= 100.0 * math.tan(math.radians(GRAZING_DEG))
    expected = view.sees(points) & near
    # Nothing but points on an edge may differ.
    assert (patch.valid.ravel() != expected).sum() <= 1
    assert (patch.image[patch.valid] == 9).all()
    assert (patch.image[~patch.valid] == 0).all()
    assert patch.coverage == patch.valid.mean()


def test_the_mask_of_a_tilted_view_is_the_trapezium_of_its_corners():
    view = a_view(pitch_deg=-60.0, heading_deg=40.0)
    photo = np.zeros((180, 240, 3), np.uint8)
    patch = project(photo, view, gsd_m=0.5, size_px=600, centre=visible_centre(view))
    east, north = seen_ground(view, np.array([0.0, 240, 240, 0]), np.array([0.0, 0, 180, 180]))
    area = 0.5 * abs(np.dot(east, np.roll(north, -1)) - np.dot(north, np.roll(east, -1)))
    assert patch.valid.sum() * 0.25 == pytest.approx(area, rel=2e-3)


def test_a_view_with_horizon_keeps_the_ground_and_leaves_the_sky():
    view = a_view(pitch_deg=-15.0, heading_deg=10.0)
    assert view.centre_ground is None
    photo = GROUND.photo(view)
    photo[:40] = 255  # the sky
    centre = visible_centre(view)
    patch = project(photo, view, gsd_m=1.0, size_px=256, centre=centre)
    assert 0.1 < patch.coverage < 1.0
    # Far ground is stretched by ten: compare where a photo's pixel covers less than 2 m.
    east, north = patch_points(patch)
    near = patch.valid & (np.hypot(east, north) < 180)
    assert near.sum() > 1000
    expected = GROUND.colours(east, north)
    assert np.abs(patch.image - expected)[near].mean() < 2.5


def test_a_view_of_the_sky_covers_nothing():
    view = a_view(pitch_deg=60.0)
    photo = np.full((180, 240, 3), 200, np.uint8)
    patch = project(photo, view, gsd_m=1.0, size_px=64, centre=(0.0, 0.0))
    assert patch.coverage == 0.0
    assert not patch.image.any()


@pytest.mark.parametrize("scale", [4, 7])
def test_a_much_finer_photo_is_averaged_and_not_sampled(scale):
    """A chequerboard of single pixels becomes grey, not noise; the ground keeps its place."""
    view = a_view(width_px=240 * scale, height_px=180 * scale)
    rows, columns = np.indices((180 * scale, 240 * scale))
    photo = np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    patch = project(photo, view, gsd_m=1.0, size_px=80, centre=(0.0, 0.0))
    assert patch.image.std() < 12
    assert patch.image.mean() == pytest.approx(127.5, abs=3)
    tilted = a_view(width_px=240 * scale, height_px=180 * scale, pitch_deg=-65.0, heading_deg=50.0)
    patch = project(
        GROUND.photo(tilted), tilted, gsd_m=1.0, size_px=100, centre=visible_centre(tilted)
    )
    assert error(patch).mean() < 1.5


def test_the_views_size_need_not_be_the_images():
    """Pixels scale; a photo decoded at half size shows the same ground."""
    view = a_view(heading_deg=20.0, pitch_deg=-70.0)
    half = GROUND.photo(view.resized(120, 90))
    patch = project(half, view, gsd_m=1.0, size_px=80, centre=visible_centre(view))
    assert error(patch).mean() < 1.5


@pytest.mark.parametrize("scale", [0.9, 0.8, 0.61, 0.45, 0.3, 0.2, 0.11])
def test_a_photo_is_averaged_down_to_a_little_finer_than_the_patch(scale):
    height, width = 487, 643
    view = GroundView(width, height, 60.0, 0.0, -90.0, 0.0, 100.0)
    across = np.broadcast_to(np.linspace(0.0, 250.0, width), (height, width))
    ramp = np.stack([across] * 3, axis=2).astype(np.uint8)
    gsd_m = FINER * view.centre_gsd_m / scale
    small, (across_x, across_y) = shrink_to(ramp, view, gsd_m)
    assert scale <= across_x * 1.02
    assert across_x <= max(scale / 0.875, 1.0 if scale > 0.875 else 0.0) + 0.01
    assert across_y == pytest.approx(across_x, rel=0.05)
    # the same places keep their values
    at = (np.arange(small.shape[1]) + 0.5) / across_x
    expected = np.interp(at - 0.5, np.arange(width), across[0])
    assert np.abs(small[5, 1:-1, 0] - expected[1:-1]).max() < 1.6
