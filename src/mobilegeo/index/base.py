"""What an index over tile embeddings does."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TileIndex(Protocol):
    """Finds the tiles whose embeddings are nearest to a query's, by cosine similarity."""

    def search(
        self, queries: NDArray[np.float32], k: int, selected: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The best tiles for each query.

        Args:
            queries: float32 [Q, D], L2-normalised.
            k: how many tiles to return at most.
            selected: bool [N], the tiles allowed (a geographic prior, one footprint);
                all when `None`.

        Returns:
            scores float32 [Q, m] and rows int64 [Q, m], m = min(k, number allowed), best first,
            equal scores in the order of their rows. m is 0 when no tile is allowed.
        """
        ...
