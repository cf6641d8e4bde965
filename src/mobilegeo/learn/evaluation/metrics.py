"""Retrieval metrics: recall and average precision, from exact ranks.

A *rank* is the zero-based place of a gallery item in the list sorted by falling similarity. All
metrics of this module follow from the ranks of each query's right answers, so the list itself is
never kept.

Public evaluators leave the order of equal similarities to an unstable sort. Here an item that
shares its similarity with a right answer counts as ranked before it, so that an encoder that maps
all images to one point scores nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError

Array = NDArray[np.float64]
Index = NDArray[np.int64]

JUNK = -1
"""Label of gallery items that are neither right nor wrong."""
SCORE_BYTES = 64 * 2**20
"""Size of the block of similarities that is held at a time."""


@dataclass(frozen=True)
class Matches:
    """The right answers of each query, as compressed rows.

    Attributes:
        items: int64 [M], rows of the gallery.
        starts: int64 [Q + 1]; those of query q are `items[starts[q]:starts[q + 1]]`.
    """

    items: Index
    starts: Index

    def of(self, query: int) -> Index:
        """Rows of the gallery that are right for one query, int64 [n]."""
        return self.items[self.starts[query] : self.starts[query + 1]]


def match_labels(query_labels: NDArray[Any], gallery_labels: NDArray[Any]) -> Matches:
    """Right answers are the gallery items with the query's label.

    Args:
        query_labels: integer [Q], none negative.
        gallery_labels: integer [N]; −1 is junk and matches nothing.
    """
    if np.any(query_labels < 0):
        first = int(np.flatnonzero(query_labels < 0)[0])
        raise UsageError(
            f"query {first}", f"has the label {query_labels[first]}", "give labels from 0 upwards"
        )
    order = np.argsort(gallery_labels, kind="stable")
    ordered = gallery_labels[order]
    left = np.searchsorted(ordered, query_labels, side="left")
    counts = np.searchsorted(ordered, query_labels, side="right") - left
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    places = np.arange(starts[-1]) + np.repeat(left - starts[:-1], counts)
    return Matches(order[places].astype(np.int64), starts)


def match_pairs(pairs: Sequence[Sequence[int]], gallery_size: int) -> Matches:
    """Right answers are listed for each query; a repeated one counts once.

    Args:
        pairs: for each query the rows of the gallery that are right; may be empty.
        gallery_size: items in the gallery.
    """
    rows = [np.unique(np.asarray(right, dtype=np.int64)) for right in pairs]
    for query, right in enumerate(rows):
        if len(right) and not (right[0] >= 0 and right[-1] < gallery_size):
            raise UsageError(
                f"query {query}",
                f"has right answers in rows {right[0]} … {right[-1]} of {gallery_size}",
                "number the gallery's items from 0",
            )
    starts = np.cumsum([0, *(len(right) for right in rows)], dtype=np.int64)
    return Matches(np.concatenate([*rows, np.zeros(0, np.int64)]), starts)


def restricted(matches: Matches, queries: NDArray[np.bool_], items: NDArray[np.bool_]) -> Matches:
    """Right answers of some queries among some items.

    Args:
        matches: of all.
        queries: bool [Q]; the others lose their right answers, but stay.
        items: bool [N]; the others leave, and those that stay are numbered anew.
    """
    if queries.all() and items.all():
        return matches
    query = np.repeat(np.arange(len(queries)), np.diff(matches.starts))
    kept = queries[query] & items[matches.items]
    counts = np.bincount(query[kept], minlength=len(queries))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Matches((np.cumsum(items) - 1)[matches.items[kept]], starts)


@dataclass(frozen=True)
class Ranking:
    """Where a gallery's items came for each query.

    Attributes:
        ranks: int64 [M], zero-based ranks of the right answers, rising within each query.
        starts: int64 [Q + 1], as in `Matches`.
        top: int64 [Q, K], the K most similar rows of the gallery, best first.
    """

    ranks: Index
    starts: Index
    top: Index

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.starts) - 1

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Queries with at least one right answer in the gallery, bool [Q]."""
        return np.diff(self.starts) > 0

    @property
    def first(self) -> Index:
        """Rank of the first right answer, int64 [Q'], of queries that have one."""
        return self.ranks[self.starts[:-1][self.matched]]


def rank(
    query: NDArray[Any],
    gallery: NDArray[Any],
    matches: Matches,
    top: int = 0,
    score_bytes: int = SCORE_BYTES,
) -> Ranking:
    """Ranks the gallery for each query by inner product.

    Args:
        query: floating [Q, D]; L2-normalised, where cosine similarity is meant.
        gallery: floating [N, D], without junk.
        matches: right answers.
        top: how many of the most similar items to name; the first of equal ones wins.
        score_bytes: memory for similarities; queries are taken in blocks that fit.

    Returns:
        Exact ranks; a tied item counts as before a right answer.
    """
    _check(query, gallery, matches, top)
    ranks = np.empty(len(matches.items), dtype=np.int64)
    best = np.empty((len(query), top), dtype=np.int64)
    for start, scores in _score_blocks(query, gallery, score_bytes):
        for row, similarity in enumerate(scores, start=start):
            best[row] = _most_similar(similarity, top)
            ranks[matches.starts[row] : matches.starts[row + 1]] = _ranks_of(
                similarity, matches.of(row)
            )
    return Ranking(ranks, matches.starts, best)


def recall_at(ranking: Ranking, k: int) -> float:
    """Share of all queries with a right answer among the first k (the CMC at rank k), 0 … 1."""
    return float(np.count_nonzero(ranking.first < k)) / ranking.queries


def recall_at_one_percent(ranking: Ranking, gallery_size: int) -> float:
    """The CMC at the zero-based index round(0.01 · N), as public evaluators read it, 0 … 1.

    That is one item more than 1 % of the gallery. `gallery_size` counts junk too, and halves are
    rounded to even.
    """
    return recall_at(ranking, round(gallery_size * 0.01) + 1)


def trapezoidal_ap(ranking: Ranking) -> float:
    """Mean over all queries of the area below precision over recall, by trapezoids, 0 … 1.

    With the i-th of n right answers (from 0) at rank r: Σ ½ (i / r + (i + 1) / (r + 1)) / n, where
    i / r is 1 at r = 0. A query without a right answer counts as 0.
    """
    order = _order_within(ranking)
    ranks = ranking.ranks
    before = np.divide(order, ranks, out=np.ones(len(ranks)), where=ranks > 0)
    areas = (before + (order + 1) / (ranks + 1)) / 2.0
    return float(_mean_of_matches(ranking, areas).sum()) / ranking.queries


def step_ap(ranking: Ranking) -> float:
    """Mean average precision as scikit-learn defines it, over queries with a right answer, 0 … 1.

    With the i-th of n right answers (from 0) at rank r: Σ (i + 1) / (r + 1) / n. NaN when no query
    has a right answer.
    """
    precision = (_order_within(ranking) + 1) / (ranking.ranks + 1)
    matched = int(ranking.matched.sum())
    return float(_mean_of_matches(ranking, precision).sum()) / matched if matched else float("nan")


def _order_within(ranking: Ranking) -> Index:
    counts = np.diff(ranking.starts)
    return np.arange(len(ranking.ranks)) - np.repeat(ranking.starts[:-1], counts)


def _mean_of_matches(ranking: Ranking, values: Array) -> Array:
    counts = np.diff(ranking.starts)
    query = np.repeat(np.arange(ranking.queries), counts)
    sums = np.bincount(query, weights=values, minlength=ranking.queries)
    return np.asarray(sums / np.maximum(counts, 1), dtype=np.float64)


def _score_blocks(
    query: NDArray[Any], gallery: NDArray[Any], score_bytes: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    items = np.asarray(gallery, dtype=np.float32).T
    step = max(1, score_bytes // (4 * len(gallery)))
    for start in range(0, len(query), step):
        yield start, np.asarray(query[start : start + step], dtype=np.float32) @ items


def _ranks_of(similarity: NDArray[np.float32], right: Index) -> Index:
    """Rising ranks of the right answers; sorts `similarity` in place."""
    own = np.sort(similarity[right])
    similarity.sort()
    at_least = len(similarity) - np.searchsorted(similarity, own, side="left")
    right_at_least = len(own) - np.searchsorted(own, own, side="left")
    wrong_before = (at_least - right_at_least)[::-1]
    return np.asarray(wrong_before + np.arange(len(own)), dtype=np.int64)


def _most_similar(similarity: NDArray[np.float32], top: int) -> Index:
    if not top:
        return np.zeros(0, dtype=np.int64)
    least = np.partition(similarity, len(similarity) - top)[len(similarity) - top]
    candidates = np.flatnonzero(similarity >= least)
    order = np.argsort(-similarity[candidates], kind="stable")[:top]
    return np.asarray(candidates[order], dtype=np.int64)


def _check(query: NDArray[Any], gallery: NDArray[Any], matches: Matches, top: int) -> None:
    for name, side in (("query", query), ("gallery", gallery)):
        if side.ndim != 2 or not len(side):
            raise UsageError(
                f"{name} embeddings", f"have the shape {list(side.shape)}", "give [N, D], N > 0"
            )
        if not np.isfinite(side).all():
            raise UsageError(f"{name} embeddings", "contain NaN or infinity", "check the encoder")
    if query.shape[1] != gallery.shape[1]:
        raise UsageError(
            "embeddings",
            f"have {query.shape[1]} dimensions on the query side, {gallery.shape[1]} on the other",
            "embed both with one encoder",
        )
    if len(matches.starts) != len(query) + 1:
        raise UsageError(
            "matches",
            f"are given for {len(matches.starts) - 1} queries of {len(query)}",
            "give one entry a query",
        )
    if top > len(gallery):
        raise UsageError(
            "gallery", f"has {len(gallery)} items, too few for the top {top}", "use a larger one"
        )
