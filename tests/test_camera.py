"""The camera above flat ground, against closed forms and rays written out in `locate_kit`."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from locate_kit import a_view, rays, seen_ground
from mobilegeo.camera import GRAZING_DEG, CameraModel, Pose
from mobilegeo.errors import UsageError

views = st.builds(
    a_view,
    heading_deg=st.floats(0.0, 360.0),
    pitch_deg=st.floats(-120.0, 30.0),
    roll_deg=st.floats(-180.0, 180.0),
    agl_m=st.floats(1.0, 3000.0),
    hfov_deg=st.floats(5.0, 120.0),
    width_px=st.integers(16, 4000),
    height_px=st.integers(16, 4000),
)
shares = st.floats(0.0, 1.0)


def ground_at(view, u, v):
    east, north = view.ground_points(np.array([float(u)]), np.array([float(v)]))
    return float(east[0]), float(north[0])


@settings(deadline=None)
@given(st.floats(1.0, 170.0), st.integers(1, 8000))
def test_half_the_width_subtends_half_the_field_of_view(hfov_deg, width_px):
    focal = CameraModel(hfov_deg).focal_px(width_px)
    assert math.degrees(2 * math.atan2(width_px / 2, focal)) == pytest.approx(hfov_deg)


@settings(deadline=None)
@given(st.floats(5.0, 120.0), st.floats(1.0, 3000.0), st.floats(0.0, 360.0))
def test_straight_down_the_footprint_is_two_agl_tan_half_the_field(hfov_deg, agl_m, heading_deg):
    view = a_view(hfov_deg=hfov_deg, agl_m=agl_m, heading_deg=heading_deg)
    width_m = 2 * agl_m * math.tan(math.radians(hfov_deg) / 2)
    left, right = ground_at(view, 0, 90), ground_at(view, 240, 90)
    assert math.dist(left, right) == pytest.approx(width_m, rel=1e-9)
    top, bottom = ground_at(view, 120, 0), ground_at(view, 120, 180)
    assert math.dist(top, bottom) == pytest.approx(width_m * 180 / 240, rel=1e-9)
    assert view.centre_gsd_m == pytest.approx(width_m / 240, rel=1e-9)
    outline = view.footprint()
    reach = np.hypot(*outline.T).max()
    assert reach == pytest.approx(
        min(width_m / 2 * math.hypot(1, 0.75), agl_m * math.tan(math.radians(GRAZING_DEG))),
        rel=1e-5,
    )


@pytest.mark.parametrize(
    ("heading", "east", "north"), [(0, 0, 1), (90, 1, 0), (180, 0, -1), (270, -1, 0)]
)
def test_heading_is_where_the_top_edge_points(heading, east, north):
    top = ground_at(a_view(heading_deg=float(heading)), 120, 0)
    assert np.array(top) / math.hypot(*top) == pytest.approx([east, north], abs=1e-9)


@settings(deadline=None)
@given(st.floats(-89.9, -20.0), st.floats(0.0, 360.0), st.floats(-180.0, 180.0))
def test_the_centre_lies_agl_tan_of_the_tilt_ahead(pitch_deg, heading_deg, roll_deg):
    view = a_view(pitch_deg=pitch_deg, heading_deg=heading_deg, roll_deg=roll_deg)
    east, north = view.centre_ground
    ahead = 100.0 * math.tan(math.radians(90.0 + pitch_deg))
    assert east == pytest.approx(ahead * math.sin(math.radians(heading_deg)), abs=1e-6)
    assert north == pytest.approx(ahead * math.cos(math.radians(heading_deg)), abs=1e-6)


def test_beyond_straight_down_the_centre_lies_behind():
    assert a_view(pitch_deg=-95.0).centre_ground == pytest.approx(
        (0.0, -100.0 * math.tan(math.radians(5))), abs=1e-9
    )


@settings(deadline=None)
@given(views, shares, shares)
def test_pixels_meet_the_ground_where_trigonometry_says(view, across, down):
    u, v = np.array([across * view.width_px]), np.array([down * view.height_px])
    up = rays(view, u, v)[2][0]
    assume(abs(up) > 1e-3)
    east, north = view.ground_points(u, v)
    if up > 0:
        assert np.isnan(east[0])
        assert np.isnan(north[0])
        return
    expected = np.array(seen_ground(view, u, v)).ravel()
    actual = np.array([east[0], north[0]])
    assert np.linalg.norm(actual - expected) < 1e-7 * (view.agl_m + np.linalg.norm(expected))


@settings(deadline=None)
@given(views)
def test_there_and_back_is_a_positive_multiple_of_the_identity(view):
    product = view.ground_to_image @ view.image_to_ground
    scale = product[2, 2]
    assert scale > 0
    np.testing.assert_allclose(
        product / scale, np.eye(3), atol=1e-7 * max(view.width_px, view.height_px)
    )


@settings(deadline=None)
@given(views, shares, shares)
def test_seen_ground_comes_back_to_its_pixel(view, across, down):
    u, v = np.array([across * view.width_px]), np.array([down * view.height_px])
    assume(rays(view, u, v)[2][0] < -0.01)
    ground = np.array([*view.ground_points(u, v), [1.0]])
    x, y, w = (view.ground_to_image @ ground)[:, 0]
    assert w > 0
    assert (x / w, y / w) == pytest.approx((u[0], v[0]), abs=1e-5 * view.width_px)


@settings(deadline=None)
@given(views, st.floats(-4.0, 4.0), st.floats(-4.0, 4.0))
def test_sees_what_lies_in_front_and_within_the_edges(view, east, north):
    """The point's direction, taken apart along the camera's axes as found by finite rays."""
    ground = np.array([east, north, -1.0]) * view.agl_m
    corner = [0.0, view.width_px, 0.0], [0.0, 0.0, view.height_px]
    origin, along_u, along_v = np.array(rays(view, *map(np.array, corner))).T
    # ground = t · (origin + a · (along_u − origin) + b · (along_v − origin)), t > 0 in front.
    basis = np.stack([origin, along_u - origin, along_v - origin], axis=1)
    t, ta, tb = np.linalg.solve(basis, ground)
    assume(abs(t) > 1e-6)
    a, b = ta / t, tb / t
    assume(min(abs(a), abs(b), abs(1 - a), abs(1 - b)) > 1e-6)
    inside = t > 0 and 0 < a < 1 and 0 < b < 1
    assert bool(view.sees(ground[None, :2])[0]) == inside


def test_rolled_right_the_right_edge_sees_the_near_ground():
    """Right side down: looking north, the image's right half turns to the ground below."""
    level, rolled = (a_view(pitch_deg=-45.0, roll_deg=roll) for roll in (0.0, 20.0))
    assert rolled.centre_ground == pytest.approx(level.centre_ground)
    assert ground_at(rolled, 240, 90)[1] < ground_at(level, 240, 90)[1]
    assert ground_at(rolled, 0, 90)[1] > ground_at(level, 0, 90)[1]
    # Looking level, the right half shows ground and the left half sky.
    horizon = a_view(pitch_deg=0.0, roll_deg=20.0)
    w = (horizon.image_to_ground @ np.array([[0, 240], [90, 90], [1, 1]]))[2]
    assert w[0] < 0 < w[1]


@settings(deadline=None)
@given(st.floats(0.0, 360.0), st.floats(-180.0, 180.0))
def test_straight_down_roll_and_heading_add(heading_deg, roll_deg):
    rolled = a_view(heading_deg=heading_deg, roll_deg=roll_deg)
    turned = a_view(heading_deg=heading_deg + roll_deg)
    np.testing.assert_allclose(rolled.image_to_ground, turned.image_to_ground, atol=1e-9)


@settings(deadline=None)
@given(views)
def test_the_axes_are_right_handed_and_orthonormal(view):
    np.testing.assert_allclose(view.axes @ view.axes.T, np.eye(3), atol=1e-12)
    # Right × down = forward.
    np.testing.assert_allclose(np.cross(view.axes[0], view.axes[1]), view.axes[2], atol=1e-12)


def test_above_the_horizon_there_is_no_ground_and_w_is_negative():
    view = a_view(pitch_deg=0.0)
    pixels = np.array([[120.0, 120.0, 120.0], [89.0, 90.0, 91.0], [1.0, 1.0, 1.0]])
    w = (view.image_to_ground @ pixels)[2]
    assert w[0] < 0 < w[2]
    assert w[1] == pytest.approx(0, abs=1e-12)
    east, north = view.ground_points(pixels[0], pixels[1])
    assert np.isnan(north[:2]).all()
    assert np.isnan(east[:2]).all()
    assert north[2] > 0


def test_the_footprint_stops_where_the_view_grazes():
    view = a_view(pitch_deg=-20.0, heading_deg=30.0)
    reach = 100.0 * math.tan(math.radians(GRAZING_DEG))
    outline = view.footprint()
    distances = np.hypot(*outline.T)
    assert distances.max() == pytest.approx(reach, rel=1e-5)
    # All of it lies ahead.
    assert (outline @ [math.sin(math.radians(30)), math.cos(math.radians(30))] > 0).all()
    # The centre, 20° below the horizon, is within the limit of 18°.
    assert view.centre_ground is not None


@pytest.mark.parametrize(("pitch", "usable"), [(-18.1, True), (-17.9, False), (0.0, False)])
def test_a_centre_that_grazes_counts_as_no_ground(pitch, usable):
    view = a_view(pitch_deg=pitch)
    assert (view.centre_ground is not None) == usable
    assert (view.centre_gsd_m is not None) == usable


@pytest.mark.parametrize("pitch", [10.0, 60.0, 90.0])
def test_a_view_of_the_sky_has_an_empty_footprint(pitch):
    view = a_view(pitch_deg=pitch, hfov_deg=30.0)
    assert view.footprint().shape == (0, 2)
    assert view.centre_ground is None


@settings(deadline=None)
@given(views)
def test_no_footprint_reaches_grazing_ground(view):
    reach = view.agl_m * math.tan(math.radians(GRAZING_DEG))
    assert (np.hypot(*view.footprint().T) <= reach * (1 + 1e-5)).all()


@settings(deadline=None)
@given(
    st.floats(-110.0, -50.0),
    st.floats(-180.0, 180.0),
    st.floats(20.0, 90.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_the_footprint_holds_what_is_seen_and_nothing_else(pitch, roll, hfov, across, down):
    view = a_view(pitch_deg=pitch, roll_deg=roll, hfov_deg=hfov)
    outline = view.footprint()
    middle = outline.mean(axis=0)
    # The outline is convex, so that a step inwards stays inside; it makes up for single precision.
    assert view.sees(outline + 1e-4 * (middle - outline)).all()
    point = np.array(ground_at(view, across * 240, down * 180))
    assume(np.hypot(*point) <= 0.99 * 100.0 * math.tan(math.radians(GRAZING_DEG)))
    inwards = (point + 0.02 * (middle - point)).astype(np.float32)
    assert cv2.pointPolygonTest(outline.astype(np.float32), inwards.tolist(), False) >= 0


@settings(deadline=None)
@given(st.floats(-90.0, -30.0), st.floats(-180.0, 180.0))
def test_the_sampling_at_the_centre_is_the_root_of_the_area_a_pixel_covers(pitch_deg, roll_deg):
    view = a_view(pitch_deg=pitch_deg, roll_deg=roll_deg)
    step = 1e-3
    origin = np.array(ground_at(view, 120, 90))
    along_u = (np.array(ground_at(view, 120 + step, 90)) - origin) / step
    along_v = (np.array(ground_at(view, 120, 90 + step)) - origin) / step
    area = abs(along_u[0] * along_v[1] - along_u[1] * along_v[0])
    assert view.centre_gsd_m == pytest.approx(math.sqrt(area), rel=1e-3)


@settings(deadline=None)
@given(views, shares, shares)
def test_resizing_scales_the_pixels_only(view, across, down):
    half = view.resized(2 * view.width_px, 2 * view.height_px)
    u, v = np.array([across * view.width_px]), np.array([down * view.height_px])
    assume(rays(view, u, v)[2][0] < -0.01)
    np.testing.assert_allclose(
        half.ground_points(2 * u, 2 * v), view.ground_points(u, v), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("hfov_deg", [0.5, 171.0, math.nan])
def test_impossible_lenses_are_rejected(hfov_deg):
    with pytest.raises(UsageError, match=rf"^field of view {hfov_deg}: not within 1 … 170"):
        CameraModel(hfov_deg)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"heading_deg": 400.0}, r"^heading 400.0: not within -360 … 360; degrees and metres"),
        ({"pitch_deg": -181.0}, r"^pitch -181.0: not within -180 … 180"),
        ({"roll_deg": math.nan}, r"^roll nan"),
        ({"agl_m": 0.0}, r"^height above ground 0.0: not within 0.5 … 20000"),
        ({"agl_m": -100.0}, r"^height above ground -100"),
    ],
)
def test_impossible_poses_are_rejected(known, message):
    with pytest.raises(UsageError, match=message):
        Pose(**known)


def test_an_unknown_pose_is_fine():
    assert Pose() == Pose(None, None, None, None)
