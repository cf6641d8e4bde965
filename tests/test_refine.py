"""The peak between samples and the joint optimum, against quadratics and Gaussians."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locate_kit import a_view
from mobilegeo.locate.peak import interpolate
from mobilegeo.locate.refine import (
    FLAT,
    HEADING_STEP_DEG,
    LOG_SCALE_STEP,
    MAX_LOOKS,
    MAX_MOVES,
    STAR,
    fit,
    refine,
)

CELL_M = 8.0
MIDDLE = 4
"""Row and column of the middle of a 9 × 9 grid of corners."""


@settings(deadline=None)
@given(st.floats(2.51, 6.49), st.floats(2.51, 6.49), st.floats(0.01, 0.1), st.floats(0.01, 0.1))
def test_a_paraboloid_is_interpolated_exactly(row, column, down, across):
    rows, columns = np.indices((10, 10))
    scores = 0.9 - down * (rows - row) ** 2 - across * (columns - column) ** 2
    found = interpolate(scores.astype(np.float32))
    assert found[0] == pytest.approx(row, abs=1e-4)
    assert found[1] == pytest.approx(column, abs=1e-4)
    assert found[2] == pytest.approx(0.9, abs=1e-5)


@settings(deadline=None)
@given(st.floats(3.0, 6.0), st.floats(3.0, 6.0), st.floats(2.0, 4.0))
def test_a_gaussian_is_found_with_its_height(row, column, sigma):
    rows, columns = np.indices((10, 10))
    scores = 0.7 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2 / sigma**2)
    found = interpolate(scores.astype(np.float32))
    assert found[:2] == pytest.approx((row, column), abs=0.04)
    assert found[2] == pytest.approx(0.7, rel=0.01)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (8, 8), (5, 8)])
def test_a_peak_on_the_edge_stays_on_the_grid(row, column):
    rows, columns = np.indices((9, 9))
    scores = 0.9 - 0.02 * ((rows - row) ** 2 + (columns - column) ** 2)
    found = interpolate(scores.astype(np.float32))
    assert found[:2] == pytest.approx((row, column), abs=1e-6)
    assert found[2] == pytest.approx(0.9)


@pytest.mark.parametrize("shut", [np.s_[:, 5:], np.s_[:4, :], np.s_[:, :4]])
def test_places_that_are_not_allowed_do_not_lift_or_move_the_peak(shut):
    rows, columns = np.indices((9, 9))
    scores = (0.3 - 0.01 * ((rows - 4) ** 2 + (columns - 4) ** 2)).astype(np.float32)
    scores[shut] = -1.0
    found = interpolate(scores)
    assert found[:2] == pytest.approx((4, 4), abs=1e-6)
    assert found[2] == pytest.approx(0.3)


def test_a_plain_has_a_peak_without_a_slope():
    found = interpolate(np.full((5, 5), 0.3, np.float32))
    assert np.isfinite(found).all()
    assert found[2] == pytest.approx(0.3)


def corner_grid():
    """Corners east and north of the middle of the grid, each [9, 9]."""
    rows, columns = np.indices((2 * MIDDLE + 1, 2 * MIDDLE + 1))
    return columns - MIDDLE, MIDDLE - rows


def paraboloid(vertex, curvature, peak=0.6):
    """Scores of a star for a quadratic in steps; float32 [5, 9, 9]."""
    east, north = corner_grid()
    star = []
    for turn, rise in STAR:
        away = np.stack(np.broadcast_arrays(east, north, turn, rise), axis=-1) - vertex
        star.append(peak * (1 - 0.5 * np.einsum("rci,ij,rcj->rc", away, curvature, away)))
    return np.stack(star).astype(np.float32)


CURVATURE = np.array(
    [
        [0.30, 0.04, 0.06, -0.03],
        [0.04, 0.25, 0.02, 0.05],
        [0.06, 0.02, 0.20, 0.00],
        [-0.03, 0.05, 0.00, 0.22],
    ]
)


@settings(deadline=None)
@given(st.tuples(*[st.floats(-0.3, 0.3)] * 4))
def test_a_quadratic_in_four_parameters_is_fitted_exactly(vertex):
    found, curvature = fit(paraboloid(np.array(vertex), CURVATURE))
    np.testing.assert_allclose(found, vertex, atol=2e-4)
    # Curvatures are relative to the highest sample, which lies a little below the vertex.
    np.testing.assert_allclose(curvature, CURVATURE, rtol=0.25, atol=2e-3)
    exact = fit(paraboloid(np.zeros(4), CURVATURE))[1]
    np.testing.assert_allclose(exact, CURVATURE, atol=1e-4)


def test_the_vertex_stays_within_a_step():
    found, _ = fit(paraboloid(np.array([0.0, 0.0, 3.0, -2.0]), np.diag([0.3, 0.3, 0.02, 0.02])))
    np.testing.assert_allclose(found[2:], [1.0, -1.0])


@pytest.mark.parametrize("flat", range(4))
def test_a_ridge_has_a_finite_spread_along_it(flat):
    curvature = np.diag([0.3, 0.3, 0.2, 0.2])
    curvature[flat, flat] = 0.0
    vertex, found = fit(paraboloid(np.zeros(4), curvature))
    np.testing.assert_allclose(vertex, 0.0, atol=1e-3)
    assert found[flat, flat] == pytest.approx(FLAT, rel=0.1)
    assert np.linalg.eigvalsh(found).min() >= 0.99 * FLAT


def test_a_saddle_is_no_vertex():
    vertex, found = fit(paraboloid(np.full(4, 0.2), np.diag([0.3, 0.3, 0.2, -0.1])))
    np.testing.assert_array_equal(vertex, 0.0)
    assert np.linalg.eigvalsh(found).min() >= 0.99 * FLAT


@pytest.mark.parametrize("shut", [np.s_[:, :, 5:], np.s_[:, :4, :]])
def test_places_that_are_not_allowed_are_left_out_of_the_fit(shut):
    samples = paraboloid(np.zeros(4), np.diag([0.3, 0.3, 0.2, 0.2]))
    samples[shut] = -1.0
    vertex, curvature = fit(samples)
    assert np.isfinite(vertex).all()
    assert np.abs(vertex[2:]).max() < 0.2
    assert np.linalg.eigvalsh(curvature).min() >= 0.99 * FLAT


def test_without_any_place_allowed_nothing_moves():
    vertex, curvature = fit(np.full((5, 9, 9), -1.0, np.float32))
    np.testing.assert_array_equal(vertex, 0.0)
    assert np.isfinite(curvature).all()


class Peak:
    """Scores with a Gaussian peak at a heading, a height and a place; counts what is asked."""

    def __init__(self, heading_deg, agl_m, east_m, north_m):
        self.heading_deg, self.agl_m = heading_deg, agl_m
        self.east_m, self.north_m = east_m, north_m
        self.views = []

    def __call__(self, view, offset_m):
        self.views.append(view)
        east, north = corner_grid()

        def scores(turn_deg, log_scale):
            turn = (view.heading_deg + turn_deg - self.heading_deg) / 12.0
            rise = (math.log(view.agl_m / self.agl_m) + log_scale) / 0.18
            # A template that is centred elsewhere finds its peak elsewhere.
            x = (east * CELL_M - offset_m[0] - self.east_m) / 12.0
            y = (north * CELL_M - offset_m[1] - self.north_m) / 12.0
            peak = 0.6 * np.exp(-0.5 * (turn**2 + rise**2 + x**2 + y**2))
            return peak.astype(np.float32)

        return scores


@settings(deadline=None, max_examples=40)
@given(st.floats(-9, 9), st.floats(-0.13, 0.13), st.floats(-10, 10), st.floats(-10, 10))
def test_the_joint_optimum_of_a_gaussian_is_found(turn_deg, log_scale, east_m, north_m):
    view = a_view(heading_deg=60.0)
    peak = Peak(60.0 + turn_deg, 100.0 * math.exp(log_scale), east_m, north_m)
    found = refine(view, peak, CELL_M)
    assert found.view.heading_deg == pytest.approx(peak.heading_deg, abs=0.5)
    assert math.log(found.view.agl_m / peak.agl_m) == pytest.approx(0.0, abs=0.01)
    assert (found.column - MIDDLE) * CELL_M == pytest.approx(east_m, abs=0.3)
    assert (MIDDLE - found.row) * CELL_M == pytest.approx(north_m, abs=0.3)
    assert found.score == pytest.approx(0.6, abs=0.005)
    # A second look unless the first was far off, and never more than agreed.
    assert 2 <= len(peak.views) <= MAX_LOOKS + 1


def test_the_spread_is_that_of_the_peak():
    """A Gaussian's H / p is the inverse of its variances, so that the spread is these."""
    found = refine(a_view(), Peak(0.0, 100.0, 0.0, 0.0), CELL_M)
    sigmas = np.sqrt(np.diag(found.spread))
    # A parabola over a step either way of a Gaussian is a little too wide.
    np.testing.assert_allclose(sigmas, [12.0, 12.0, 12.0, 0.18], rtol=0.2)
    assert (sigmas > [12.0, 12.0, 12.0, 0.18]).all()
    assert found.width_m == pytest.approx(12.0 * math.sqrt(2 * math.log(2)), rel=0.2)
    np.testing.assert_allclose(found.spread - np.diag(np.diag(found.spread)), 0.0, atol=1e-3)


def test_the_search_stops_after_its_last_step():
    peak = Peak(90.0, 100.0, 0.0, 0.0)
    found = refine(a_view(), peak, CELL_M)
    most = (MAX_LOOKS * (MAX_MOVES + 1) + 1) * HEADING_STEP_DEG
    assert 0.0 < found.view.heading_deg <= most
    assert found.view.agl_m == pytest.approx(100.0, rel=LOG_SCALE_STEP)


def test_on_a_plain_nothing_moves():
    view = a_view()
    found = refine(view, lambda *_: lambda *_: np.full((9, 9), 0.3, np.float32), CELL_M)
    assert found.view == view
    assert found.score == pytest.approx(0.3)
    assert np.isfinite(found.spread).all()
    assert found.width_m > 100.0
