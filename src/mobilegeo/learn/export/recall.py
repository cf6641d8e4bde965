"""Whether a change of precision costs recall on ground that it was not made for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import Encoder
from mobilegeo.errors import ResourceError
from mobilegeo.learn.datasets.catalogue import read_benchmark
from mobilegeo.learn.datasets.records import D2S
from mobilegeo.learn.datasets.simulated import SEPARATION, Pair, SimulatedPairs
from mobilegeo.learn.evaluation.embedding import ViewEmbedder
from mobilegeo.learn.evaluation.networks import EncoderNetwork
from mobilegeo.learn.evaluation.search import embed_search

LARGEST_DROP = 0.005
QUERIES = 1500
"""Simulated queries. Where 2 % of them change from right to wrong or back, the standard error of
the drop is 0.37 points."""

Progress = Callable[[str, int, int], None]
Hits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RecallChange:
    """Recall@1 of the same queries with two encoders.

    Attributes:
        queries: how many.
        before, after: shares found at rank 1, 0 … 1.
        standard_error: of the difference, from the queries that only one of both finds.
    """

    queries: int
    before: float
    after: float
    standard_error: float

    @classmethod
    def of(cls, before: Hits, after: Hits) -> RecallChange:
        """From what each query found, bool [Q] each."""
        change = after.astype(np.float64) - before
        error = float(change.std() / np.sqrt(len(change)))
        return cls(len(change), float(before.mean()), float(after.mean()), error)

    @property
    def drop(self) -> float:
        """Share of queries lost on balance; negative where more are found."""
        return self.before - self.after


def recall_on_pairs(
    encoders: Sequence[Encoder], views: SimulatedPairs, queries: int, progress: Progress
) -> list[Hits]:
    """Which simulated photos have their own tile as nearest, bool [Q] for each encoder.

    Tiles that show half of the same ground do not count as wrong answers. Images are drawn once
    and are not kept.
    """
    embedded: list[list[NDArray[np.float32]]] = [[] for _ in encoders]
    places: list[tuple[int, float, float, float]] = []
    number = 0
    while len(places) < queries and number < queries:
        pairs = views.group(number)
        number += 1
        if pairs:
            places += [_place(pair) for pair in pairs]
            images = np.stack([image for pair in pairs for image in (pair.query, pair.tile)])
            for parts, encoder in zip(embedded, encoders, strict=True):
                parts.append(encoder.embed(images))
        progress("held-out views", min(len(places), queries), queries)
    near = _overlapping(np.array(places))
    return [_own_is_nearest(np.concatenate(parts), near) for parts in embedded]


def recall_on_dataset(encoder: Encoder, folder: Path, progress: Progress) -> Hits:
    """Which drone views of a folder of `learn simulate` find their satellite view, bool [Q].

    Raises:
        DatasetError: the folder is no such dataset.
        ResourceError: an image cannot be read.
    """
    retrieval = read_benchmark("simulated", folder).retrieval(D2S)
    search = embed_search(retrieval, ViewEmbedder(EncoderNetwork(encoder), progress=progress))
    for problem in search.unreadable.values():
        raise ResourceError(problem.where, problem.problem, problem.cure)
    nearest = search.ranking(1).top[:, 0]
    return np.array([row in search.matches.of(query) for query, row in enumerate(nearest)])


def require_recall(change: RecallChange, out: Path) -> None:
    """Makes sure that recall does not drop by more than `LARGEST_DROP`.

    Raises:
        ResourceError: it does; says by how much.
    """
    if change.drop > LARGEST_DROP:
        raise ResourceError(
            out,
            f"loses {100 * change.drop:.2f} ± {100 * change.standard_error:.2f} points of recall@1 "
            f"({100 * change.before:.2f} to {100 * change.after:.2f} % of {change.queries} "
            f"queries), more than {100 * LARGEST_DROP:g}; it was not kept",
            "calibrate on imagery like that of your maps, or use --precision float16",
        )


def _place(pair: Pair) -> tuple[int, float, float, float]:
    return pair.source, pair.square.x_m, pair.square.y_m, pair.square.side_m


def _overlapping(places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Other tiles of the same ground, bool [Q, Q]; `places` as source, x, y, side."""
    source, x, y, side = places.T
    apart = np.maximum(abs(x[:, None] - x), abs(y[:, None] - y))
    near = (source[:, None] == source) & (apart < SEPARATION * np.maximum(side[:, None], side))
    np.fill_diagonal(near, val=False)
    return np.asarray(near, dtype=np.bool_)


def _own_is_nearest(embedded: NDArray[np.float32], ignored: NDArray[np.bool_]) -> Hits:
    """Of rows query, tile, query, tile …: whether a query's own tile is most similar."""
    similarity = embedded[0::2] @ embedded[1::2].T
    similarity[ignored] = -np.inf
    return np.asarray(similarity.argmax(axis=1) == np.arange(len(similarity)))
