"""The filter: several peaks, clutter, dark spells, wrong locks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mobilegeo.track.mixture import MAX_COMPONENTS, Mixture
from mobilegeo.track.motion import unit_vector
from track_kit import legs, peak

REGION_M2 = 1e6
WINDOW_M2 = 1e4
NOWHERE = np.zeros(2)


def place_of(mixture):
    return mixture.estimate().state.mean[:2]


def test_nothing_is_known_at_first() -> None:
    mixture = Mixture(REGION_M2)
    assert mixture.estimate() is None
    assert mixture.circle(4.0) is None
    assert mixture.history() == []
    assert mixture.elsewhere == 1.0


def test_posterior_of_a_single_frame_is_the_probability_it_was_given() -> None:
    for probability in (0.3, 0.9, 0.99):
        mixture = Mixture(REGION_M2)
        mixture.update(0, [peak(10.0, 20.0, probability)], REGION_M2)
        assert mixture.estimate().probability == pytest.approx(probability)
        assert mixture.elsewhere == pytest.approx(1 - probability)


def test_a_search_of_half_the_region_leaves_the_other_half() -> None:
    mixture = Mixture(REGION_M2)
    mixture.update(0, [peak(10.0, 20.0, 0.9)], REGION_M2 / 2)
    # Inside: 0.5 · 0.3 · (1 + 9); outside: 0.5.
    assert mixture.estimate().probability == pytest.approx(0.5 * 0.3 * 9 / (0.5 * 3.0 + 0.5))


def test_two_peaks_stay_until_the_next_frame_decides() -> None:
    mixture = Mixture(REGION_M2)
    mixture.update(0, [peak(0.0, 0.0, 0.5), peak(300.0, 0.0, 0.45)], REGION_M2)
    assert mixture.estimate().probability < 0.6
    _, _, radius_m = mixture.circle(4.0)
    assert radius_m > 150.0
    mixture.predict(1.0, NOWHERE)
    mixture.update(1, [peak(308.0, 0.0, 0.5), peak(120.0, 400.0, 0.45)], REGION_M2)
    np.testing.assert_allclose(place_of(mixture), [308.0, 0.0], atol=4.0)
    assert mixture.estimate().probability > 0.95
    assert [link.step for link in mixture.history()] == [0, 1]


def test_a_strong_outlier_does_not_move_the_track() -> None:
    mixture = Mixture(REGION_M2)
    for step in range(8):
        mixture.predict(1.0 if step else 0.0, NOWHERE)
        mixture.update(step, [peak(10.0 * step, 0.0)], WINDOW_M2 if step else REGION_M2)
    mixture.predict(1.0, NOWHERE)
    mixture.update(8, [peak(80.0, 45.0, 0.8)], WINDOW_M2)
    np.testing.assert_allclose(place_of(mixture), [80.0, 0.0], atol=4.0)
    assert mixture.estimate().seen_step == 7
    mixture.predict(1.0, NOWHERE)
    mixture.update(9, [peak(90.0, 0.0)], WINDOW_M2)
    assert [link.step for link in mixture.history()] == [*range(8), 9]


def test_frames_that_match_nothing_end_a_wrong_lock() -> None:
    mixture = Mixture(REGION_M2)
    mixture.update(0, [peak(0.0, 0.0, 0.97)], REGION_M2)
    misses = 0
    while mixture.circle(4.0) is not None:
        misses += 1
        mixture.predict(1.0, NOWHERE)
        mixture.update(misses, [], WINDOW_M2)
        assert misses < 10
    assert misses >= 2
    mixture.update(20, [peak(500.0, 500.0)], REGION_M2)
    mixture.predict(1.0, NOWHERE)
    mixture.update(21, [peak(505.0, 500.0)], REGION_M2)
    np.testing.assert_allclose(place_of(mixture), [505.0, 500.0], atol=4.0)


def test_a_sure_history_is_kept_through_a_loss() -> None:
    mixture = Mixture(REGION_M2)
    for step in range(5):
        mixture.predict(1.0, NOWHERE)
        mixture.update(step, [peak(10.0 * step, 0.0)], WINDOW_M2 if step else REGION_M2)
    for step in range(5, 25):
        mixture.predict(1.0, NOWHERE)
        mixture.update(step, [], WINDOW_M2)
    assert mixture.elsewhere > 0.5
    assert [link.step for link in mixture.history()] == list(range(5))
    for step in (25, 26):
        mixture.predict(1.0, NOWHERE)
        mixture.update(step, [peak(800.0 + step, 100.0)], REGION_M2)
    assert [link.step for link in mixture.history()] == [*range(5), 25, 26]


def test_dark_spell_with_a_turn_is_followed_by_the_heading() -> None:
    times, places, headings = legs()
    mixture = Mixture(REGION_M2)
    units = [unit_vector(h) for h in headings]
    for n in range(len(times)):
        if n:
            mixture.predict(1.0, (units[n - 1] + units[n]) / 2)
        if not 72 <= n < 92:
            mixture.update(n, [peak(*places[n])], WINDOW_M2 if n else REGION_M2)
        elif n == 91:
            dark = place_of(mixture)
    assert math.dist(dark, places[91]) < 25.0
    assert math.dist(place_of(mixture), places[-1]) < 4.0
    assert mixture.elsewhere < 0.01


def test_components_stay_few() -> None:
    rng = np.random.default_rng(3)
    mixture = Mixture(REGION_M2)
    for step in range(60):
        mixture.predict(1.0, NOWHERE)
        peaks = [peak(*rng.uniform(0, 1000, 2), 0.2) for _ in range(4)]
        mixture.update(step, peaks, REGION_M2)
        assert len(mixture._components) <= MAX_COMPONENTS
        total = mixture.elsewhere + sum(c.weight for c in mixture._components)
        assert total == pytest.approx(1.0)
    assert mixture.elsewhere > 0.05
