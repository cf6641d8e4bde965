"""Priors against geodesic distances and their own boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.geo import Bounds, LatLon, LocalFrame, destination, distance_m
from mobilegeo.locate.prior import Box, BoxPrior, CirclePrior

FRAME = LocalFrame(LatLon(44.055, -123.07))
SOUTH = LocalFrame(LatLon(-44.055, 170.0))
EQUATOR = LocalFrame(LatLon(0.02, 32.0))
frames = st.sampled_from([FRAME, SOUTH, EQUATOR])
offsets = st.floats(-20_000.0, 20_000.0)
shares = st.floats(0.0, 1.0)


def inside(prior, frame, x, y):
    return bool(prior.contains(frame, np.array([x]), np.array([y]))[0])


def within(box, x, y, slack_m):
    return (
        box.west - slack_m <= x <= box.east + slack_m
        and box.south - slack_m <= y <= box.north + slack_m
    )


@settings(deadline=None)
@given(frames, offsets, offsets, st.floats(0, 360), st.floats(10.0, 5000.0), st.floats(0.0, 2.0))
def test_a_circle_holds_what_is_nearer_than_its_radius(frame, x, y, bearing, radius_m, share):
    if abs(share - 1.0) < 1e-3:
        share = 0.99
    centre = frame.point(x, y)
    point = destination(centre, bearing, share * radius_m)
    assert distance_m(centre, point) == pytest.approx(share * radius_m, abs=1e-6)
    assert inside(CirclePrior(centre, radius_m), frame, *frame.xy(point)) == (share < 1.0)


@settings(deadline=None)
@given(frames, offsets, offsets, st.floats(0, 360), st.floats(1.0, 5000.0), shares)
def test_the_box_of_a_circle_is_the_square_around_it(frame, x, y, bearing, radius_m, share):
    prior = CirclePrior(frame.point(x, y), radius_m)
    box = prior.box(frame)
    angle = math.radians(bearing)
    point = (
        x + share * radius_m * math.cos(angle),
        y + share * radius_m * math.sin(angle),
    )
    assert within(box, *point, 1e-3)
    assert (box.east - box.west, box.north - box.south) == pytest.approx((2 * radius_m,) * 2)
    for edge in ((box.west, y), (box.east, y), (x, box.south), (x, box.north)):
        closer = [0.999 * e + 0.001 * c for e, c in zip(edge, (x, y), strict=True)]
        assert inside(prior, frame, *closer)


def bounds_around(lat, lon, north_deg, east_deg):
    return Bounds(lat - north_deg, lon - east_deg, lat + north_deg, lon + east_deg)


@settings(deadline=None)
@given(frames, st.floats(1e-4, 0.3), st.floats(1e-4, 0.3), st.floats(-0.5, 0.5), shares, shares)
def test_a_box_holds_its_degrees(frame, tall, wide, aside, up, across):
    bounds = bounds_around(frame.origin.lat, frame.origin.lon + aside, tall, wide)
    prior = BoxPrior(bounds)
    lat = bounds.south + (0.001 + 0.998 * up) * 2 * tall
    lon = bounds.west + (0.001 + 0.998 * across) * 2 * wide
    assert inside(prior, frame, *frame.xy(LatLon(lat, lon)))
    for outside in (
        LatLon(bounds.north + 0.001 * tall, lon),
        LatLon(bounds.south - 0.001 * tall, lon),
        LatLon(lat, bounds.west - 0.001 * wide),
        LatLon(lat, bounds.east + 0.001 * wide),
    ):
        assert not inside(prior, frame, *frame.xy(outside))


def corners_of_a_grid(bounds, frame):
    """A fine grid over the degrees, x and y in metres."""
    edge = np.linspace(0, 1, 61)
    lats = bounds.south + edge * (bounds.north - bounds.south)
    lons = bounds.west + edge * (bounds.east - bounds.west)
    return frame.to_metres(*np.meshgrid(lats, lons))


@settings(deadline=None)
@given(
    frames,
    st.floats(1e-3, 0.5),
    st.floats(1e-3, 0.5),
    st.floats(-0.7, 0.7),
    st.floats(-0.3, 0.3),
)
def test_the_box_around_degrees_is_the_smallest(frame, tall, wide, aside, away):
    """Also where the frame's own meridian is not the middle of the degrees."""
    bounds = bounds_around(frame.origin.lat + away, frame.origin.lon + aside, tall, wide)
    box = BoxPrior(bounds).box(frame)
    x, y = corners_of_a_grid(bounds, frame)
    needed = (x.min(), y.min(), x.max(), y.max())
    # Between points of the grid an edge bulges by another few centimetres.
    assert (box.west, box.south, box.east, box.north) == pytest.approx(needed, abs=0.05)
    slack = 1e-3
    assert box.west <= needed[0] + slack
    assert box.south <= needed[1] + slack
    assert box.east >= needed[2] - slack
    assert box.north >= needed[3] - slack


@pytest.mark.parametrize("radius_m", [0.0, -5.0, math.nan, math.inf])
def test_a_circle_without_a_length_is_rejected(radius_m):
    with pytest.raises(UsageError, match=r"^radius .*: is not a positive length; give metres"):
        CirclePrior(LatLon(0, 0), radius_m)


coordinates = st.integers(-50, 50).map(float)
lengths = st.integers(1, 40).map(float)
boxes = st.builds(
    lambda w, s, width, height: Box(w, s, w + width, s + height),
    coordinates, coordinates, lengths, lengths,
)  # fmt: skip


@settings(deadline=None)
@given(boxes, boxes, st.integers(-100, 100), st.integers(-100, 100))
def test_an_intersection_holds_what_both_hold(a, b, i, j):
    x, y = i + 0.5, j + 0.5
    both = within(a, x, y, 0) and within(b, x, y, 0)
    common = a.intersection(b)
    assert both == (common is not None and within(common, x, y, 0))
    assert common == b.intersection(a)


def test_boxes_that_only_touch_have_nothing_in_common():
    assert Box(0, 0, 1, 1).intersection(Box(1, 0, 2, 1)) is None


def test_the_area_of_a_box():
    assert Box(-1, 2, 3, 5).area_m2 == 12
