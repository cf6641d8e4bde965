"""MSRM against hand calculations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.locate import views


def unit(*rows: list[float]) -> np.ndarray:
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_importance_is_the_mean_of_both_min_max_surrogates() -> None:
    embeddings = np.array([[0, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, 4]], dtype=np.float32)
    spans = np.array([2.0, 1.0, 4.0])
    entropies = np.log(spans)  # ½ ln var = ln span + constant, as all rows have one shape
    expected = ((spans - 1) / 3 + (entropies - entropies.min()) / np.ptp(entropies)) / 2
    np.testing.assert_allclose(views.importance(embeddings), expected, rtol=1e-6)


def test_equal_views_are_equally_unimportant() -> None:
    np.testing.assert_array_equal(views.importance(np.ones((3, 4), np.float32)), 0)


def test_pose_distance_wraps_around_north() -> None:
    distances = views.pose_distances(np.array([100.0, 100.0]), np.array([350.0, 10.0]))
    assert distances[0, 1] == pytest.approx(20 / 180)


def test_one_ring_of_the_spiral_counts_two() -> None:
    distances = views.pose_distances(np.array([256.0, 256.0 - 67.25]), np.zeros(2))
    assert distances[0, 1] == pytest.approx(2.0)


def test_greedy_choice_by_hand() -> None:
    weights = np.array([1.0, 0.9, 0.1])
    distances = np.array([[0.0, 0.1, 1.5], [0.1, 0.0, 1.4], [1.5, 1.4, 0.0]])
    # First 0; then view 1 gains .45 + .05, view 2 gains .05 + .75.
    assert views.select(weights, distances, k=2) == [0, 2]


@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 999))
def test_choice_is_a_set_of_distinct_views(count: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(count, 8)).astype(np.float32)
    chosen = views.select(views.importance(embeddings), views.feature_distances(embeddings), k)
    assert len(chosen) == len(set(chosen)) == min(k, count)


def test_fusion_of_one_view_is_that_view() -> None:
    embedding = unit([3.0, 4.0])
    np.testing.assert_allclose(views.fuse(embedding, np.array([0.3])), embedding[0], atol=1e-7)


def test_fusion_weighs_by_softmax() -> None:
    fused = views.fuse(unit([1, 0], [0, 1]), np.array([np.log(3.0), 0.0]))
    np.testing.assert_allclose(fused, np.array([3, 1]) / np.sqrt(10), atol=1e-6)
