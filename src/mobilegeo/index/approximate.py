"""Approximate search over all tiles of one footprint, with exact re-ranking.

An inverted file: tiles lie in cells around centroids, and a query looks into the nearest cells
only, at compressed vectors (faiss). The best of those are scored again with the pack's own vectors,
so that scores are exact and only what was not looked at can be missed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MissingExtraError, PackError
from mobilegeo.index.base import Found
from mobilegeo.index.exact import ExactIndex

KINDS = {"ivf-pq": "IVF{lists},PQ{quarter}x4fs", "ivf-sq8": "IVF{lists},SQ8"}
"""By name, the faiss factory: codes of 4 bits for every 4 dimensions, or of 8 bits for each."""


class ApproximateIndex:
    """Finds most of the best tiles of one footprint without looking at all.

    Args:
        inverted: a faiss index of the footprint's tiles, numbered from 0.
        first_row: of the footprint in the pack.
        exact: over all of the pack's vectors.
        probes: cells to look into.
        reranked: how many tiles to score again exactly for a query.
    """

    def __init__(
        self, inverted: Any, first_row: int, exact: ExactIndex, probes: int, reranked: int
    ) -> None:
        self._inverted = inverted
        self._first_row = first_row
        self._exact = exact
        self._inverted.nprobe = probes
        self._reranked = reranked

    def search(self, queries: NDArray[np.float32], k: int) -> list[Found]:
        """The best k tiles for each query, float32 [Q, D], of those that were looked at."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        _, places = self._inverted.search(queries, max(k, self._reranked))
        rows = [np.sort(found[found >= 0]) + self._first_row for found in places]
        return self._exact.search_rows(queries, k, rows)


def read_inverted(path: Path) -> Any:
    """A faiss index from its file.

    Raises:
        PackError: this faiss cannot read it.
        MissingExtraError: faiss is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError(
            path,
            "is an approximate index and needs faiss, which is not installed",
            "run: pip install faiss-cpu; or drop the index with `mobilegeo map index --remove`",
        ) from error

    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise PackError(
            path,
            f"is an index that faiss {faiss.__version__} cannot read ({str(error)[:100]})",
            "make it again with `mobilegeo map index`, or drop it with --remove",
        ) from error
