"""Correlation by FFT against the sum written out, and peaks against parabolas and Gaussians."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.locate.correlate import MIN_OVERLAP, MapSpectrum, Template
from mobilegeo.locate.peak import climb, interpolate


def unit_cells(rng, height, width, share=1.0, channels=3):
    """Random unit descriptors, zero where there is no data."""
    cells = rng.normal(size=(height, width, channels))
    cells /= np.linalg.norm(cells, axis=2, keepdims=True)
    valid = rng.random((height, width)) < share
    return (cells * valid[..., None]).astype(np.float32), valid


def brute_force(cells, valid, template):
    """The definition: at every corner, the cosine of the two masked grids."""
    height, width = template.valid.shape
    pad = ((height, height), (width, width))
    cells, valid = np.pad(cells, (*pad, (0, 0))), np.pad(valid, pad)
    total = template.valid.sum()
    rows, columns = valid.shape[0] - 2 * height, valid.shape[1] - 2 * width
    scores = np.full((rows + 1, columns + 1), -1.0)
    overlaps = np.zeros_like(scores)
    for r in range(rows + 1):
        for c in range(columns + 1):
            top, left = r + height - height // 2, c + width - width // 2
            under = np.s_[top : top + height, left : left + width]
            overlap = (valid[under] & template.valid).sum()
            overlaps[r, c] = overlap
            if overlap >= max(1, MIN_OVERLAP * total):
                scores[r, c] = (cells[under] * template.cells).sum() / np.sqrt(overlap * total)
    return scores, overlaps


sides = st.integers(1, 4).map(lambda half: 2 * half)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 13),
    st.integers(1, 13),
    sides,
    sides,
    st.sampled_from([0.0, 0.4, 0.8, 1.0]),
    st.sampled_from([0.1, 0.6, 1.0]),
    st.integers(0, 999),
)
def test_correlation_is_the_masked_cosine(h, w, th, tw, map_share, share, seed):
    rng = np.random.default_rng(seed)
    cells, valid = unit_cells(rng, h, w, map_share)
    template = Template(*unit_cells(rng, th, tw, share))
    scores = MapSpectrum(cells, valid, max(th, tw)).correlate(template)
    assert scores.shape == (h + 1, w + 1)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, brute_force(cells, valid, template)[0], atol=2e-5)


def test_one_spectrum_serves_templates_of_several_sizes():
    rng = np.random.default_rng(0)
    cells, valid = unit_cells(rng, 11, 8)
    spectrum = MapSpectrum(cells, valid, 12)
    for side in (2, 12, 6):
        template = Template(*unit_cells(rng, side, side))
        np.testing.assert_allclose(
            spectrum.correlate(template), brute_force(cells, valid, template)[0], atol=2e-5
        )


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(0, 24), st.integers(0, 999))
def test_a_piece_of_the_map_scores_one_at_its_centre_and_nowhere_else(row, column, seed):
    rng = np.random.default_rng(seed)
    cells, valid = unit_cells(rng, 26, 30)
    piece = Template(cells[row : row + 6, column : column + 6], np.ones((6, 6), bool))
    scores = MapSpectrum(cells, valid, 6).correlate(piece)
    assert np.unravel_index(scores.argmax(), scores.shape) == (row + 3, column + 3)
    assert scores.max() == pytest.approx(1.0, abs=1e-5)
    scores[row + 3, column + 3] = 0
    assert scores.max() < 0.9


def test_contrast_does_not_matter_and_the_opposite_scores_minus_one():
    rng = np.random.default_rng(0)
    cells, valid = unit_cells(rng, 10, 10)
    opposite = Template(-cells[2:6, 2:6], np.ones((4, 4), bool))
    score = MapSpectrum(cells, valid, 4).correlate(opposite)[4, 4]
    assert score == pytest.approx(-1.0, abs=1e-5)


def test_half_of_the_template_has_to_lie_on_the_map():
    cells, valid = np.ones((8, 8, 1), np.float32), np.ones((8, 8), bool)
    template = Template(np.ones((4, 4, 1), np.float32), np.ones((4, 4), bool))
    scores = MapSpectrum(cells, valid, 4).correlate(template)
    # On an edge exactly half overlaps: allowed. In a corner a quarter: not.
    np.testing.assert_array_equal(scores[[0, 0, 8, 8], [0, 8, 0, 8]], -1)
    edge = scores[0, 2:7]
    # √(8 · 16) of 8 equal cells: hanging over the edge is not favoured.
    np.testing.assert_allclose(edge, 8 / math.sqrt(8 * 16), atol=1e-5)
    np.testing.assert_allclose(scores[2:7, 2:7], 1, atol=1e-5)


@pytest.mark.parametrize("empty", ["map", "template"])
def test_without_data_there_is_no_score(empty):
    rng = np.random.default_rng(0)
    cells, valid = unit_cells(rng, 9, 9, share=0.0 if empty == "map" else 1.0)
    template = Template(*unit_cells(rng, 4, 4, share=0.0 if empty == "template" else 1.0))
    np.testing.assert_array_equal(MapSpectrum(cells, valid, 4).correlate(template), -1)


@settings(deadline=None, max_examples=30)
@given(st.floats(-2.4, 2.4), st.floats(0.01, 5.0), st.sampled_from([0.1, 6.0]))
def test_a_climb_finds_the_top_of_a_parabola(place, curvature, step):
    asked = []

    def score(offsets):
        asked.extend(offsets)
        return [1.0 - curvature * (o / step - place) ** 2 for o in offsets]

    assert climb(score, step) == pytest.approx(place * step, abs=1e-5 * step)
    assert len(asked) == len(set(asked)) <= 5


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_climb_gives_up_after_its_last_step(sign):
    def score(offsets):
        return [sign * o for o in offsets]

    assert climb(score, 2.0) == sign * 6.0


def test_a_climb_on_a_plain_stays():
    assert climb(lambda offsets: [0.5] * len(offsets), 6.0) == 0.0


@settings(deadline=None)
@given(st.floats(2.51, 6.49), st.floats(2.51, 6.49), st.floats(0.01, 0.1), st.floats(0.01, 0.1))
def test_a_paraboloid_is_interpolated_exactly(row, column, down, across):
    rows, columns = np.indices((10, 10))
    scores = 0.9 - down * (rows - row) ** 2 - across * (columns - column) ** 2
    found = interpolate(scores.astype(np.float32))
    assert found[0] == pytest.approx(row, abs=1e-4)
    assert found[1] == pytest.approx(column, abs=1e-4)
    assert found[2] == pytest.approx(0.9, abs=1e-5)
    curvature = down + across
    assert found[3] == pytest.approx(math.sqrt(2 * math.log(2) * 0.9 / curvature), rel=1e-2)


@settings(deadline=None)
@given(st.floats(3.0, 6.0), st.floats(3.0, 6.0), st.floats(2.0, 4.0))
def test_a_gaussian_is_found_with_its_height_and_half_width(row, column, sigma):
    rows, columns = np.indices((10, 10))
    scores = 0.7 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2 / sigma**2)
    found = interpolate(scores.astype(np.float32))
    assert found[:2] == pytest.approx((row, column), abs=0.04)
    assert found[2] == pytest.approx(0.7, rel=0.01)
    # A Gaussian has fallen by half at σ √(2 ln 2).
    assert found[3] == pytest.approx(sigma * math.sqrt(2 * math.log(2)), rel=0.15)


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


def test_a_plain_has_no_width_to_speak_of_but_no_nan_either():
    found = interpolate(np.full((5, 5), 0.3, np.float32))
    assert np.isfinite(found).all()
    assert found[2] == pytest.approx(0.3)
    assert found[3] > 100
