"""Positions and the metric frame, against closed forms and spherical trigonometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.geo import (
    Bounds,
    LatLon,
    LocalFrame,
    destination,
    distance_m,
    wrap_deg,
)

R = 6_371_008.8
latitudes = st.floats(-80.0, 80.0)
longitudes = st.floats(-179.0, 179.0)
metres = st.floats(-100_000.0, 100_000.0)


@st.composite
def frames(draw):
    # Few meridians and parallels: PROJ builds a projection for each.
    lat = draw(st.sampled_from([-72.5, -33.9, 0.0, 1e-9, 44.055, 68.0]))
    lon = draw(st.sampled_from([-123.07, 0.0, 32.6]))
    return LocalFrame(LatLon(lat, lon))


def haversine_m(a, b):
    d_lat, d_lon = math.radians(b.lat - a.lat), math.radians(b.lon - a.lon)
    chord = (
        math.sin(d_lat / 2) ** 2
        + math.cos(math.radians(a.lat)) * math.cos(math.radians(b.lat)) * math.sin(d_lon / 2) ** 2
    )
    return 2 * R * math.asin(math.sqrt(min(1.0, chord)))


@settings(deadline=None)
@given(frames(), metres, metres)
def test_there_and_back_within_a_millimetre(frame, x, y):
    back = frame.xy(frame.point(x, y))
    assert math.dist(back, (x, y)) < 1e-3


@settings(deadline=None)
@given(frames(), metres, metres)
def test_arrays_and_scalars_agree(frame, x, y):
    lat, lon = frame.to_degrees(np.array([[x, 0.0]]), np.array([[y, 0.0]]))
    assert lat.shape == lon.shape == (1, 2)
    point = frame.point(x, y)
    assert (lat[0, 0], lon[0, 0]) == (point.lat, point.lon)
    # PROJ snaps an origin to the equator from a tenth of a millimetre away.
    assert lat[0, 1] == pytest.approx(frame.origin.lat, abs=2e-9)
    assert lon[0, 1] == pytest.approx(frame.origin.lon, abs=2e-9)


def test_x_is_east_and_y_is_north():
    frame = LocalFrame(LatLon(44.055, -123.07))
    x, y = frame.xy(LatLon(44.056, -123.07))
    assert (x, y) == (pytest.approx(0.0, abs=1e-6), pytest.approx(111.1, abs=0.2))
    x, y = frame.xy(LatLon(44.055, -123.069))
    assert x == pytest.approx(111_320 * math.cos(math.radians(44.055)) / 1000, rel=5e-3)
    assert abs(y) < 1e-2


@pytest.mark.parametrize("x", [-99_000.0, 31_000.0, 99_000.0, 200_000.0])
@pytest.mark.parametrize("bearing", [0.0, 60.0])
def test_lengths_are_too_long_by_x_squared_over_2_r_squared(x, bearing):
    frame = LocalFrame(LatLon(44.055, -123.07))
    dx, dy = 50 * math.sin(math.radians(bearing)), 50 * math.cos(math.radians(bearing))
    true = distance_m(frame.point(x - dx, -dy), frame.point(x + dx, dy))
    # R: the mean radius of curvature there; the sphere's is within half a percent.
    assert 100.0 / true - 1 == pytest.approx(x**2 / (2 * R**2), rel=0.02, abs=1e-10)


@settings(deadline=None, max_examples=40)
@given(frames(), metres, metres)
def test_convergence_turns_a_step_of_the_frame_into_a_true_heading(frame, x, y):
    start, end = frame.point(x, y - 1.0), frame.point(x, y + 1.0)
    north_m = distance_m(start, LatLon(end.lat, start.lon))
    east_m = distance_m(LatLon(end.lat, start.lon), end) * math.copysign(1, end.lon - start.lon)
    heading = math.degrees(math.atan2(east_m, north_m))
    assert frame.convergence_deg(frame.point(x, y)) == pytest.approx(heading, abs=2e-3)


def test_convergence_is_clockwise_east_of_the_origin_in_the_north():
    frame = LocalFrame(LatLon(44.055, -123.07))
    point = frame.point(50_000.0, 0.0)
    expected = (point.lon - frame.origin.lon) * math.sin(math.radians(point.lat))
    assert frame.convergence_deg(point) == pytest.approx(expected, rel=1e-3)
    assert expected > 0.4
    assert frame.convergence_deg(frame.point(-50_000.0, 0.0)) == pytest.approx(-expected, rel=1e-3)


@settings(deadline=None)
@given(latitudes, longitudes, latitudes, longitudes)
def test_distance_is_the_great_circle_within_the_flattening(lat_a, lon_a, lat_b, lon_b):
    a, b = LatLon(lat_a, lon_a), LatLon(lat_b, lon_b)
    assert distance_m(a, b) == pytest.approx(haversine_m(a, b), rel=6e-3, abs=1e-6)


def test_a_degree_of_the_equator():
    assert distance_m(LatLon(0, 10), LatLon(0, 11)) == pytest.approx(
        6_378_137 * math.pi / 180, abs=1e-3
    )


@settings(deadline=None)
@given(latitudes, longitudes, st.floats(0, 360), st.floats(1.0, 50_000.0))
def test_destination_lies_at_its_distance(lat, lon, bearing, length):
    start = LatLon(lat, lon)
    assert distance_m(start, destination(start, bearing, length)) == pytest.approx(length, abs=1e-3)


def test_destination_counts_the_bearing_clockwise_from_north():
    start = LatLon(44.0, 10.0)
    east = destination(start, 90.0, 1000.0)
    assert east.lon > 10.01
    assert east.lat == pytest.approx(44.0, abs=1e-4)
    assert destination(start, 0.0, 1000.0).lat == pytest.approx(44.009, abs=1e-4)


def test_destination_across_the_antimeridian_is_a_longitude():
    assert destination(LatLon(0.0, 179.999), 90.0, 1000.0).lon == pytest.approx(-179.992, abs=1e-3)


@settings(deadline=None)
@given(st.floats(-1e4, 1e4))
def test_wrapping_keeps_the_angle_and_lands_in_one_turn(angle):
    wrapped = wrap_deg(angle)
    assert -180.0 <= wrapped < 180.0
    turns = (angle - wrapped) / 360.0
    assert turns == pytest.approx(round(turns), abs=1e-9)


@pytest.mark.parametrize(("angle", "wrapped"), [(180, -180), (-180, -180), (190, -170), (0, 0)])
def test_wrapping_by_hand(angle, wrapped):
    assert wrap_deg(angle) == wrapped


@pytest.mark.parametrize(
    ("lat", "lon", "message"),
    [
        (90.1, 0, r"^latitude 90.1: not within −90 … 90; give degrees north$"),
        (math.nan, 0, "^latitude nan"),
        (0, 180.5, r"^longitude 180.5: not within −180 … 180; give degrees east$"),
        (0, -math.inf, "^longitude -inf"),
    ],
)
def test_points_off_the_earth_are_rejected(lat, lon, message):
    with pytest.raises(UsageError, match=message):
        LatLon(lat, lon)


@pytest.mark.parametrize("box", [(2, 0, 1, 1), (0, 2, 1, 1)])
def test_bounds_the_wrong_way_round_are_rejected(box):
    with pytest.raises(UsageError, match=r"south > north or west > east; swap the corners$"):
        Bounds(*box)


@pytest.mark.parametrize(
    ("box", "message"), [((0, 0, 91, 1), "^latitude 91"), ((0, -181, 1, 1), "^longitude -181")]
)
def test_bounds_off_the_earth_are_rejected(box, message):
    with pytest.raises(UsageError, match=message):
        Bounds(*box)


@st.composite
def boxes(draw):
    south, north = sorted(draw(st.tuples(latitudes, latitudes)))
    west, east = sorted(draw(st.tuples(longitudes, longitudes)))
    return Bounds(south, west, north, east)


@settings(deadline=None)
@given(boxes(), latitudes, longitudes)
def test_the_nearest_point_of_a_box_lies_in_it_and_is_no_farther_than_a_corner(box, lat, lon):
    point = LatLon(lat, lon)
    nearest = box.nearest(point)
    assert box.contains(nearest)
    assert (nearest == point) == box.contains(point)
    corner = (box.south - lat, box.west - lon)
    assert math.hypot(nearest.lat - lat, nearest.lon - lon) <= math.hypot(*corner) + 1e-9


@settings(deadline=None)
@given(boxes(), boxes())
def test_a_union_is_the_smallest_box_around_both(a, b):
    union = a.union(b)
    for box in (a, b):
        assert union.contains(LatLon(box.south, box.west))
        assert union.contains(LatLon(box.north, box.east))
    assert union.south in (a.south, b.south)
    assert union.east in (a.east, b.east)
    assert a.union(a) == a


def test_the_centre_of_a_box():
    assert Bounds(10, 20, 14, 30).centre == LatLon(12, 25)
