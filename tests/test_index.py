"""The exact index against a plain matrix product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.index import ExactIndex


def unit_vectors(count: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 8), st.integers(0, 2**16), st.floats(0, 1))
def test_search_equals_brute_force_within_any_selection(
    count: int, k: int, seed: int, share: float
) -> None:
    vectors = unit_vectors(count, 16, seed).astype(np.float16)
    queries = unit_vectors(3, 16, seed + 1).astype(np.float32)
    selected = np.random.default_rng(seed).random(count) < share
    scores, rows = ExactIndex(vectors).search(queries, k, selected)

    products = queries @ vectors.astype(np.float32).T
    products[:, ~selected] = -np.inf
    expected = np.sort(products, axis=1)[:, ::-1][:, : min(k, selected.sum())]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert selected[rows].all()
    np.testing.assert_allclose(np.take_along_axis(products, rows, axis=1), scores, atol=1e-5)


def test_ties_come_in_the_order_of_rows() -> None:
    vectors = np.repeat(unit_vectors(1, 8, 0), 5, axis=0).astype(np.float16)
    _, rows = ExactIndex(vectors).search(vectors[:1].astype(np.float32), 5)
    assert rows.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("k", [1, 10])
def test_an_empty_prior_gives_no_candidates(k: int) -> None:
    vectors = unit_vectors(4, 8, 0).astype(np.float16)
    scores, rows = ExactIndex(vectors).search(
        vectors.astype(np.float32), k, np.zeros(4, dtype=bool)
    )
    assert scores.shape == rows.shape == (4, 0)
