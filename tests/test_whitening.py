"""Embeddings as one map sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.maps.whitening import LEAST_TILES, SHRINKAGE, Whitening


def embeddings(seed: int, count: int = 400, dim: int = 12) -> np.ndarray:
    """Unit vectors that share a direction and vary mostly along a few others."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(0, 1, (count, dim)) * np.geomspace(2.0, 0.05, dim)
    vectors = spread + 3.0 * rng.normal(0, 1, dim)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_the_matrix_is_the_inverse_root_of_the_shrunk_covariance() -> None:
    vectors = embeddings(1)
    found = Whitening.fitted(vectors)
    covariance = np.cov(vectors.astype(float).T)
    shrunk = covariance + SHRINKAGE * np.trace(covariance) / 12 * np.eye(12)
    matrix = found.matrix.astype(float)
    np.testing.assert_allclose(matrix @ shrunk @ matrix, np.eye(12), atol=1e-4)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0), atol=1e-6)


@given(st.integers(0, 50), st.integers(LEAST_TILES, 300))
@settings(max_examples=15, deadline=None)
def test_whitened_embeddings_have_unit_length_and_no_common_direction(
    seed: int, count: int
) -> None:
    vectors = embeddings(seed, count)
    white = Whitening.fitted(vectors).apply(vectors)
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1.0, atol=1e-5)
    assert np.linalg.norm(white.mean(axis=0)) < 0.5 * np.linalg.norm(vectors.mean(axis=0))


def test_few_tiles_and_tiles_all_alike_stay_as_they_are() -> None:
    few = embeddings(2, LEAST_TILES - 1)
    alike = np.repeat(few[:1], 200, axis=0)
    for vectors in (few, few[:1], alike):
        np.testing.assert_allclose(Whitening.fitted(vectors).apply(vectors), vectors, atol=1e-6)


def test_it_comes_back_from_its_file_and_from_half_precision(tmp_path: Path) -> None:
    vectors = embeddings(3)
    found = Whitening.fitted(vectors.astype(np.float16))
    np.save(tmp_path / "whitening.npy", found.to_array())
    again = Whitening.load(tmp_path / "whitening.npy")
    np.testing.assert_array_equal(again.apply(vectors), found.apply(vectors))
    np.testing.assert_allclose(
        found.apply(vectors), Whitening.fitted(vectors).apply(vectors), atol=0.02
    )


def test_a_blurred_place_is_found_among_alike_ones() -> None:
    """Noise along the map's strong directions, as a season adds, hides the weak ones that tell."""
    tiles = embeddings(4, 1000)
    rng = np.random.default_rng(5)
    strong = np.linalg.svd(tiles - tiles.mean(axis=0), full_matrices=False)[2][:3]
    photos = tiles + 0.08 * rng.normal(0, 1, (1000, 3)).astype(np.float32) @ strong
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    white = Whitening.fitted(tiles)

    def found(queries: np.ndarray, gallery: np.ndarray) -> float:
        return float(((queries @ gallery.T).argmax(axis=1) == np.arange(len(gallery))).mean())

    assert found(white.apply(photos), white.apply(tiles)) > found(photos, tiles) + 0.1
