"""Queries on which the recall of an approximate index is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mobilegeo.index.base import Found
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.tiletable import TileLevel

QUERIES = 400
LIKENESS = 0.7
"""Cosine of a trial query with the tile that it is made of."""
SEED = 5


def trial_queries(pack: MapPack, level: TileLevel) -> NDArray[np.float32]:
    """Perturbed tiles of one footprint, float32 [QUERIES, D], L2-normalised; the same every time.

    A query is `LIKENESS` of a tile plus a perturbation at a right angle to it: the difference of
    two other tiles, drawn at random, so that it varies as the map's embeddings do. Photos are
    further from their tiles in ways that no perturbation of the map imitates: the recall found with
    these queries is that of the index on queries as far from the tiles, not a rate of fixes.
    """
    rng = np.random.default_rng(SEED)
    rows = rng.integers(level.start, level.stop, (3, QUERIES))
    tile, one, other = (pack.read_vectors(some).astype(np.float32) for some in rows)
    noise = one - other
    noise -= (noise * tile).sum(axis=1, keepdims=True) * tile
    noise /= np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-6)
    queries = LIKENESS * tile + np.sqrt(1 - LIKENESS**2) * noise
    return np.asarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), np.float32)


def recall(found: Sequence[Found], wanted: Sequence[Found], k: int) -> float:
    """Share of the best k rows wanted that are among the best k found, over all queries."""
    shares = [
        len(np.intersect1d(some.rows[:k], right.rows[:k])) / len(right.rows[:k])
        for some, right in zip(found, wanted, strict=True)
    ]
    return float(np.mean(shares))
