"""Exact search in half precision, within selections, out of a memory map.

The rows that any query may have are read once, in blocks that fit the processor's cache: gathered,
widened to float32 and multiplied with all queries. Blocks are shared out among threads, each with
matrix products of its own: threads inside so small a product would mostly wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from mobilegeo.index.base import Found, best_of, exact_scores
from mobilegeo.maps.runs import Runs

BLOCK_ROWS = 1024
"""Vectors that are multiplied at once: 1 MB of float32 at 256 dimensions, which caches hold."""

CHUNK_ROWS = 1 << 16
"""Vectors whose scores are held at once by a thread, at most."""

WORTH_A_THREAD = 4096
"""Fewer vectors than this are not shared out among threads."""

Scores = NDArray[np.float32]


class ExactIndex:
    """Brute-force inner products over float16 vectors, recall 1.

    Products of blocks only sieve: the rows that can be among the best, whatever the rounding of
    float32, are scored again by `exact_scores`, which does not depend on where a row lies.

    Args:
        vectors_of: gives the vectors of the whole map, float16 [N, D], L2-normalised up to
            rounding, of which the rows named are about to be read.
    """

    def __init__(self, vectors_of: Callable[[Runs], NDArray[np.float16]]) -> None:
        self._vectors_of = vectors_of

    def search(self, queries: Scores, k: int, selected: Sequence[Runs]) -> list[Found]:
        """See `TileIndex.within`."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        distinct = list({id(runs): runs for runs in selected}.values())
        union = distinct[0] if len(distinct) == 1 else Runs.union(distinct)
        allowed = {id(runs): None if runs is union else runs.within(union) for runs in distinct}
        vectors, slack = self._vectors_of(union), _slack(queries.shape[1])
        masks = [allowed[id(runs)] for runs in selected]
        chunk = min(CHUNK_ROWS, max(WORTH_A_THREAD, -(-len(union) // _threads())))
        spans = [(first, first + chunk) for first in range(0, len(union), chunk)]

        def sieve(span: tuple[int, int]) -> list[tuple[Scores, NDArray[np.int64]]]:
            rows = union.rows(*span)
            scores = _products(queries, vectors, rows)
            kept = []
            for line, mask in zip(scores, masks, strict=True):
                if mask is not None:
                    line[~mask[span[0] : span[0] + len(rows)]] = -np.inf
                places = _high(line, k, slack)
                kept.append((line[places], rows[places]))
            return kept

        with _one_thread_a_product():
            pieces = list(_pool().map(sieve, spans)) if len(spans) > 1 else [*map(sieve, spans)]
        return [
            _best(query, vectors, k, [piece[number] for piece in pieces])
            for number, query in enumerate(queries)
        ]

    def search_rows(
        self, queries: Scores, k: int, rows: Sequence[NDArray[np.int64]]
    ) -> list[Found]:
        """The best for each query, [Q, D], of a few rows given one by one, int64 [n] a query."""
        vectors = self._vectors_of(Runs.of_rows(np.concatenate(rows)))
        return [
            best_of(exact_scores(query, vectors[some]), some, k)
            for query, some in zip(queries, rows, strict=True)
        ]


def _products(queries: Scores, vectors: NDArray[np.float16], rows: NDArray[np.int64]) -> Scores:
    """Inner products of queries, [Q, D], with some rows, float32 [Q, len(rows)]."""
    halves = np.empty((min(BLOCK_ROWS, len(rows)), vectors.shape[1]), np.float16)
    wide = np.empty(halves.shape, np.float32)
    scores = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        half, full = halves[: len(block)], wide[: len(block)]
        np.take(vectors, block, axis=0, out=half, mode="clip")
        cv2.convertFp16(half.view(np.int16), full)  # several times as fast as numpy's
        scores[:, start : start + len(block)] = queries @ full.T
    return scores


def _best(
    query: Scores,
    vectors: NDArray[np.float16],
    k: int,
    pieces: Sequence[tuple[Scores, NDArray[np.int64]]],
) -> Found:
    """The best of what was kept of every chunk, scored again."""
    if not pieces:
        return Found(np.zeros(0, np.float32), np.zeros(0, np.int64))
    scores, rows = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    rows = rows[_high(scores, k, _slack(len(query)))]
    return best_of(exact_scores(query, vectors[rows]), rows, k)


def _slack(dim: int) -> np.float32:
    """Twice the largest error of a float32 product of unit vectors, D · 2⁻²⁴ (Higham 2002, 3.1).

    Rounding to float16 makes a vector less than 1 % longer than 1.
    """
    return np.float32(2.02 * dim * 2.0**-24)


def _high(scores: Scores, k: int, slack: np.float32) -> NDArray[np.intp]:
    """Where the k highest scores are, and those at most `slack` below; never where −∞."""
    if len(scores) <= k:
        return np.flatnonzero(scores > -np.inf)
    # k groups have a maximum above this, so at least k scores have: a bound found by maxima alone.
    # Then few are left to be sorted.
    size = max(1, len(scores) // (4 * k))
    groups = scores[: len(scores) // size * size].reshape(-1, size).max(axis=1)
    bound = max(np.partition(groups, -k)[-k] - slack, np.finfo(np.float32).min)
    places = np.flatnonzero(scores >= bound)
    if len(places) > k:
        bound = np.partition(scores[places], -k)[-k] - slack
        places = places[scores[places] >= bound]
    return places


_alone = Lock()


@contextmanager
def _one_thread_a_product() -> Iterator[None]:
    """Keeps matrix products to the thread that asks for them; one search at a time.

    The setting belongs to the process: two searches side by side could leave it as it is here.
    """
    with _alone, _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), thread_name_prefix="search")


def _threads() -> int:
    return os.cpu_count() or 1
