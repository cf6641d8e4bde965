"""Evidence and spread against closed forms and simulated noise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locate_kit import a_view
from maps_kit import HERE
from mobilegeo.geo import LocalFrame
from mobilegeo.locate.align import Alignment
from mobilegeo.locate.calibration import shipped
from mobilegeo.locate.confidence import (
    covariance_m2,
    excess,
    heading_sigma_deg,
    logistic,
    margin,
    probability,
    retrieval_answer,
    retrieval_evidence,
    sigma_m,
)
from mobilegeo.locate.prior import Box
from mobilegeo.locate.retrieve import Match
from mobilegeo.locate.scan import Heatmap, Mode
from mobilegeo.maps.tiletable import TileLevel, TileTable, grid_keys

ALIGNED, RETRIEVED = shipped().aligned, shipped().retrieved


def an_alignment(peak=0.5, second=0.1, mean=0.0, std=0.05, trials=40_000, width_m=6.0, agreed=0.7):
    """Of a round peak, as high as it is strong, as if its template had one cell."""
    heatmap = Heatmap(np.zeros((2, 2), np.float32), Box(0, 0, 1, 1))
    best = Mode(0.0, 0.0, peak, peak, a_view())
    spread = np.diag([width_m**2, width_m**2, 8.0**2, 0.1**2])
    return Alignment(best, second, mean, std, trials, width_m, heatmap, spread, agreed)


scores = st.floats(-1.0, 1.0)
alignments = st.builds(
    an_alignment, scores, scores, st.floats(-0.2, 0.2), st.floats(1e-6, 0.5),
    st.integers(1, 10**9), st.floats(0.0, 1e4), st.floats(0.0, 1.0),
)  # fmt: skip


@settings(deadline=None)
@given(alignments)
def test_figures_stay_in_their_ranges(alignment):
    assert 0.0 <= probability(alignment, ALIGNED) <= 1.0
    assert 0.0 <= margin(alignment) <= 1.0
    assert math.isfinite(sigma_m(alignment, ALIGNED))
    assert sigma_m(alignment, ALIGNED) >= ALIGNED.floor_m


@settings(deadline=None)
@given(alignments, st.floats(0.0, 0.5))
def test_a_higher_peak_is_never_less_sure(alignment, more):
    best = alignment.best
    higher = replace(alignment, best=replace(best, strength=best.strength + more))
    assert probability(higher, ALIGNED) >= probability(alignment, ALIGNED)
    agreed = replace(alignment, agreement=alignment.agreement + more)
    assert probability(agreed, ALIGNED) >= probability(alignment, ALIGNED)
    assert sigma_m(higher, ALIGNED) <= sigma_m(alignment, ALIGNED)


@settings(deadline=None)
@given(alignments, st.floats(0.0, 0.5))
def test_a_higher_rival_is_never_surer(alignment, more):
    rivalled = replace(alignment, second=alignment.second + more)
    assert probability(rivalled, ALIGNED) <= probability(alignment, ALIGNED)


def test_probability_tells_a_clear_peak_from_chance():
    assert probability(an_alignment(peak=0.6, second=0.15), ALIGNED) > 0.95
    # As photos of elsewhere have it in the median (`benchmarks/outside.py --split calibrate`).
    assert probability(an_alignment(peak=0.11, second=0.1, agreed=0.25), ALIGNED) < 0.01
    # A row of equal houses: far above chance, and no margin.
    assert probability(an_alignment(peak=0.6, second=0.6), ALIGNED) < probability(
        an_alignment(peak=0.6), ALIGNED
    )


def test_excess_by_hand():
    found = excess(an_alignment(peak=0.5, mean=0.1, std=0.05, trials=4000))
    assert found == pytest.approx(8.0 - math.sqrt(2 * math.log(1000)))


@pytest.mark.parametrize("trials", [1, 2, 8])
def test_excess_of_a_handful_of_places_is_finite(trials):
    expected = 10.0 - math.sqrt(2 * math.log(2))
    assert excess(an_alignment(trials=trials)) == pytest.approx(expected)


def test_excess_of_pure_noise_does_not_grow_with_the_number_of_trials():
    rng = np.random.default_rng(0)
    means = []
    for count, repeats in ((100, 2000), (3000, 300), (100_000, 60)):
        highest = rng.normal(size=(repeats, count)).max(axis=1)
        # Neighbours are correlated: four scores count as one.
        found = [excess(an_alignment(peak=p, mean=0.0, std=1.0, trials=4 * count)) for p in highest]
        means.append(float(np.mean(found)))
    # Gumbel's leading term is a little high, alike for any number; the peak itself grows by 1.9.
    assert np.abs(means).max() < 0.7
    assert np.ptp(means) < 0.25


def test_margin_by_hand():
    assert margin(an_alignment(peak=0.5, second=0.3)) == pytest.approx(0.4)
    assert margin(an_alignment(peak=0.5, second=0.6)) == 0.0
    assert margin(an_alignment(peak=-0.1, second=-0.5)) == 0.0


def test_without_a_rival_chance_is_the_rival():
    by_chance = 0.05 * math.sqrt(2 * math.log(1000))
    expected = (0.5 - by_chance) / 0.5
    for second in (-math.inf, 0.0, 0.9 * by_chance):
        found = margin(an_alignment(peak=0.5, second=second, trials=4000))
        assert found == pytest.approx(expected)


def test_sigma_by_hand():
    found = sigma_m(an_alignment(peak=0.5, std=0.1, width_m=20.0), ALIGNED)
    assert found == pytest.approx(math.hypot(ALIGNED.floor_m, ALIGNED.spread * 20.0 * 0.2))
    other = replace(ALIGNED, floor_m=3.0, spread=2.0)
    found = sigma_m(an_alignment(peak=0.5, std=0.1, width_m=20.0), other)
    assert found == pytest.approx(math.hypot(3.0, 8.0))


def test_covariance_by_hand():
    alignment = an_alignment(peak=0.5, std=0.1)
    spread = np.diag([400.0, 100.0, 25.0, 0.04])
    spread[0, 1] = spread[1, 0] = 60.0
    alignment = replace(alignment, spread=spread)
    np.testing.assert_allclose(alignment.covariance, [[16.0, 2.4], [2.4, 4.0]])
    assert alignment.heading_sigma_deg == pytest.approx(5.0 * 0.2)
    assert alignment.log_scale_sigma == pytest.approx(0.2 * 0.2)
    other = replace(ALIGNED, floor_m=3.0, spread=2.0, heading_spread=2.0, heading_floor_deg=1.5)
    np.testing.assert_allclose(covariance_m2(alignment, other), [[73.0, 9.6], [9.6, 25.0]])
    assert sigma_m(alignment, other) == pytest.approx(7.0)
    assert heading_sigma_deg(alignment, other) == pytest.approx(2.5)


def test_a_flat_peak_without_height_is_wide_and_finite():
    assert 1e3 < sigma_m(an_alignment(peak=0.0, std=0.1, width_m=20.0), ALIGNED) < 1e5


@settings(deadline=None)
@given(st.floats(-1e6, 1e6))
def test_the_logistic_function_does_not_overflow(x):
    y = logistic(x)
    assert 0.0 <= y <= 1.0
    if abs(x) < 30:
        assert y == pytest.approx(1 / (1 + math.exp(-x)), abs=1e-12)


def tiles_at(*points, footprint_m=100.0, stride_m=25.0):
    i, j = np.array(points).T // 25 - round(footprint_m / 2 / stride_m)
    level = TileLevel(footprint_m, footprint_m / 64, stride_m, 0, len(points))
    return TileTable(LocalFrame(HERE), [level], grid_keys(i, j))


def matches_of(*scores):
    return [Match(row, score, a_view()) for row, score in enumerate(scores)]


def test_retrieval_averages_the_tiles_around_the_best_by_their_scores():
    tiles = tiles_at((0, 0), (25, 0), (0, 200), (0, -25))
    answer = retrieval_answer(matches_of(0.8, 0.8, 0.79, 0.7), tiles, RETRIEVED)
    weights = np.array([1.0, 1.0, math.exp(-0.1 * RETRIEVED.sharpness)])
    weights /= weights.sum()
    # The third, two footprints away, does not count.
    assert answer.x_m == pytest.approx(25 * weights[1])
    assert answer.y_m == pytest.approx(-25 * weights[2])
    assert answer.sigma_m == pytest.approx(RETRIEVED.spread * 100.0)


def test_retrieval_leads_over_the_best_tile_elsewhere():
    tiles = tiles_at((0, 0), (25, 0), (0, 200), (300, 0))
    score, lead = retrieval_evidence(matches_of(0.8, 0.75, 0.6, 0.5), tiles)
    assert (score, lead) == pytest.approx((0.8, 0.2))
    answer = retrieval_answer(matches_of(0.8, 0.75, 0.6, 0.5), tiles, RETRIEVED)
    c = RETRIEVED
    assert answer.probability == pytest.approx(logistic(c.bias + c.score * 0.8 + c.lead * 0.2))


@pytest.mark.parametrize("others", [(), (0.7,), (0.7, -0.2)])
def test_without_a_rival_elsewhere_the_lead_is_the_score(others):
    tiles = tiles_at((0, 0), (25, 0), (0, 200))
    _, lead = retrieval_evidence(matches_of(0.8, *others), tiles)
    assert lead == pytest.approx(0.8)


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=3), st.floats(0, 0.5))
def test_retrieval_is_surer_of_a_better_match(values, more):
    tiles = tiles_at((0, 0), (25, 0), (0, 200))
    values = sorted(values, reverse=True)
    before = retrieval_answer(matches_of(*values), tiles, RETRIEVED)
    after = retrieval_answer(matches_of(values[0] + more, *values[1:]), tiles, RETRIEVED)
    assert 0.0 <= before.probability <= after.probability <= 1.0


def test_the_thresholds_are_probabilities():
    for accept in (ALIGNED.accept, RETRIEVED.accept):
        assert 0.0 < accept < 1.0
