"""Selection and fusion of views against hand calculations and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.locate import views
from mobilegeo.locate.views.selectors import NOISE, greedy_log_det, information, log_det, msrm


def unit(*rows):
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_views(count, seed, dim=8):
    rng = np.random.default_rng(seed)
    return views.embedded(unit(*rng.normal(size=(count, dim))))


def test_importance_is_the_mean_of_both_min_max_surrogates():
    embeddings = np.array([[0, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, 4]], dtype=np.float32)
    spans = np.array([2.0, 1.0, 4.0])
    entropies = np.log(spans)  # ½ ln var = ln span + constant, as all rows have one shape
    expected = ((spans - 1) / 3 + (entropies - entropies.min()) / np.ptp(entropies)) / 2
    np.testing.assert_allclose(views.importance(embeddings), expected, rtol=1e-6)


def test_equal_views_are_equally_unimportant():
    np.testing.assert_array_equal(views.importance(np.ones((3, 4), np.float32)), 0)


def test_pose_distance_wraps_around_north():
    distances = views.pose_distances(np.array([100.0, 100.0]), np.array([350.0, 10.0]))
    assert distances[0, 1] == pytest.approx(20 / 180)


def test_one_ring_of_the_spiral_counts_two():
    distances = views.pose_distances(np.array([256.0, 256.0 - 67.25]), np.zeros(2))
    assert distances[0, 1] == pytest.approx(2.0)


poses = st.lists(
    st.tuples(st.floats(50, 300), st.floats(-360, 360)), min_size=2, max_size=12, unique=True
)


@given(poses)
def test_likeness_of_poses_is_a_gram_matrix(known):
    agl_m, heading_deg = np.array(known).T
    likeness = views.pose_likeness(views.pose_distances(agl_m, heading_deg))
    np.testing.assert_allclose(likeness, likeness.T)
    np.testing.assert_allclose(np.diag(likeness), 1.0)
    assert np.linalg.eigvalsh(likeness).min() > -1e-9


def test_the_papers_choice_by_hand():
    distances = np.array([[0.0, 0.1, 1.5], [0.1, 0.0, 1.4], [1.5, 1.4, 0.0]])
    known = views.Views(np.array([1.0, 0.9, 0.1]), distances, np.eye(3))
    # First 0; then view 1 gains .45 + .05, view 2 gains .05 + .75.
    assert msrm(known, 2) == [0, 2]


def test_the_paper_starts_with_the_most_important():
    known = views.Views(np.array([0.2, 0.9, 0.1]), np.zeros((3, 3)), np.eye(3))
    assert msrm(known, 3) == [1, 0, 2]


@pytest.mark.parametrize("name", views.SELECTORS)
@given(count=st.integers(1, 12), k=st.integers(1, 15), seed=st.integers(0, 999))
def test_every_selector_chooses_distinct_views(name, count, k, seed):
    chosen = views.selector_named(name)(random_views(count, seed), k)
    assert len(chosen) == len(set(chosen)) == (count if name == "all" else min(k, count))
    assert set(chosen) <= set(range(count))


def test_an_unknown_selector_is_refused():
    with pytest.raises(UsageError, match="'best': is not known; choose one of msrm, logdet, even"):
        views.selector_named("best")


def test_evenly_spaced_views_are_the_middles_of_equal_stretches():
    known = random_views(54, 0)
    assert views.SELECTORS["even"](known, 3) == [9, 27, 45]
    assert views.SELECTORS["even"](known, 1) == [27]
    assert views.SELECTORS["even"](known, 54) == list(range(54))


def test_random_views_follow_their_seed():
    known = random_views(54, 0)
    assert views.RandomViews(1)(known, 5) == views.RandomViews(1)(known, 5)
    assert views.RandomViews(1)(known, 5) != views.RandomViews(2)(known, 5)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 999))
def test_greedy_log_det_gains_most_at_every_step(count, k, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 5)) * rng.uniform(0.2, 3.0, (count, 1))
    gram = vectors @ vectors.T
    expected: list[int] = []
    for _ in range(min(k, count)):
        rest = [number for number in range(count) if number not in expected]
        expected.append(max(rest, key=lambda n: information(gram, [*expected, n])))
    chosen = greedy_log_det(gram, k)
    assert information(gram, chosen) == pytest.approx(information(gram, expected), abs=1e-9)


@given(st.integers(2, 8), st.integers(1, 4), st.integers(0, 999))
def test_greedy_log_det_keeps_its_bound(count, k, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3)) * rng.uniform(0.2, 3.0, (count, 1))
    gram = vectors @ vectors.T
    subsets = itertools.combinations(range(count), min(k, count))
    best = max(information(gram, list(subset)) for subset in subsets)
    assert information(gram, greedy_log_det(gram, k)) >= (1 - 1 / math.e) * best - 1e-12


def test_information_of_unlike_views_adds_up():
    gram = np.diag([1.0, 4.0])
    expected = 0.5 * (math.log(1 + 1 / NOISE**2) + math.log(1 + 4 / NOISE**2))
    assert information(gram, [0, 1]) == pytest.approx(expected)


def test_log_det_takes_no_copy_before_something_new():
    likeness = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    known = views.Views(np.array([1.0, 0.9, 0.6]), np.zeros((3, 3)), likeness)
    assert log_det(known, 2) == [0, 2]


def test_log_det_weighs_what_a_view_is_worth():
    known = views.Views(np.array([0.1, 0.5, 1.0]), np.zeros((3, 3)), np.eye(3))
    assert log_det(known, 3) == [2, 1, 0]


def test_fusion_of_one_view_is_that_view():
    embedding = unit([3.0, 4.0])
    np.testing.assert_allclose(views.fuse(embedding, np.array([0.3])), embedding[0], atol=1e-7)


def test_fusion_weighs_by_softmax():
    fused = views.fuse(unit([1, 0], [0, 1]), np.array([np.log(3.0), 0.0]))
    np.testing.assert_allclose(fused, np.array([3, 1]) / np.sqrt(10), atol=1e-6)
