"""Exact search in half precision, restricted to a selection while it scans."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ExactIndex:
    """Brute-force inner products over float16 vectors (faiss), skipping tiles not selected.

    Args:
        vectors: float16 [N, D], L2-normalised up to rounding.
    """

    def __init__(self, vectors: NDArray[np.float16]) -> None:
        import faiss

        count, dim = vectors.shape
        self._count = count
        self._index = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        # faiss's fp16 codes are the halves themselves: copying them in spares a round trip
        # through float32.
        codes = np.ascontiguousarray(vectors).view(np.uint8).reshape(-1)
        faiss.copy_array_to_vector(codes, self._index.codes)
        self._index.ntotal = count
        self._index.is_trained = True

    def search(
        self, queries: NDArray[np.float32], k: int, selected: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `TileIndex.search`."""
        import faiss

        allowed = self._count if selected is None else int(np.count_nonzero(selected))
        k = min(k, allowed)
        if k == 0:
            empty = (len(queries), 0)
            return np.zeros(empty, dtype=np.float32), np.zeros(empty, dtype=np.int64)
        parameters = None
        if selected is not None:
            bitmap = np.packbits(selected, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))
        scores, rows = self._index.search(
            np.ascontiguousarray(queries, dtype=np.float32), k, params=parameters
        )
        order = np.lexsort((rows, -scores), axis=1)
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
