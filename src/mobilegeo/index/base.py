"""What an index over tile embeddings does, and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.maps.runs import Runs


@dataclass(frozen=True, slots=True)
class Found:
    """The best tiles for one query, best first, equal scores in the order of their rows.

    Attributes:
        scores: cosine similarities, float32 [m].
        rows: of the tiles in the pack, int64 [m].
    """

    scores: NDArray[np.float32]
    rows: NDArray[np.int64]


class TileIndex(Protocol):
    """Finds the tiles whose embeddings are nearest to a query's, by cosine similarity."""

    def within(self, queries: NDArray[np.float32], k: int, selected: Sequence[Runs]) -> list[Found]:
        """The best tiles for each query among those selected for it: exact.

        Args:
            queries: float32 [Q, D], L2-normalised.
            k: how many tiles to return at most.
            selected: the tiles allowed (a geographic prior, one footprint), a selection a query.

        Returns:
            One entry a query, of min(k, number of tiles allowed) tiles.
        """
        ...

    def anywhere(self, queries: NDArray[np.float32], k: int, footprint_m: float) -> list[Found]:
        """The best tiles of one footprint for each query, wherever they lie.

        Args:
            queries: float32 [Q, D], L2-normalised.
            k: how many tiles to return at most.
            footprint_m: one of the pack's.
        """
        ...


def best_of(scores: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Found:
    """The k highest of some scores, float32 [n], of rows, int64 [n]."""
    order = np.lexsort((rows, -scores))[:k]
    return Found(scores[order], rows[order])


def exact_scores(query: NDArray[np.float32], vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Inner products of a query, [D], with each of [n, D], float32 [n].

    Summed in float64, so that equal vectors have equal scores wherever they lie in memory.
    """
    products = vectors.astype(np.float64) * query.astype(np.float64)
    return np.asarray(products.sum(axis=1), dtype=np.float32)
