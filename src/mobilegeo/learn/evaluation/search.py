"""One search of a benchmark, embedded: which rows are right, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.geo import LatLon
from mobilegeo.learn.datasets.records import PlanePoint, Retrieval, View
from mobilegeo.learn.evaluation.embedded_set import EmbeddedSet, Positions
from mobilegeo.learn.evaluation.embedding import Embedded, ViewEmbedder
from mobilegeo.learn.evaluation.images import CLEAN, Condition
from mobilegeo.learn.evaluation.metrics import Matches, Ranking, match_pairs, rank
from mobilegeo.learn.evaluation.multiview_queries import FusedQueries, MultiView, fuse_places
from mobilegeo.learn.evaluation.protocols import DEGREES, METRES, Protocol, Result, evaluate


@dataclass(frozen=True)
class Search:
    """Queries and gallery of one task under one condition.

    Attributes:
        retrieval: the task.
        condition: in which drone views were seen.
        query, gallery: embeddings of `retrieval.query.views` and `retrieval.gallery.views`.
    """

    retrieval: Retrieval
    condition: Condition
    query: Embedded
    gallery: Embedded

    @cached_property
    def unreadable(self) -> dict[Path, PhotoError]:
        """Files that could not be read, of both sides."""
        sides = ((self.retrieval.query, self.query), (self.retrieval.gallery, self.gallery))
        return {
            subset.views[row].path: problem
            for subset, embedded in sides
            for row, problem in embedded.unreadable.items()
        }

    def measure(self, protocol: Protocol) -> Result:
        """Each query view by itself, under a protocol that fits the task."""
        views = self.retrieval.query.views
        query = self._set(protocol, views, self.query.vectors, ~self.query.readable)
        pairs = self.matches if protocol.paired else None
        return evaluate(protocol, query, self._gallery_set(protocol), pairs)

    def measure_fused(self, protocol: Protocol, multi: MultiView) -> tuple[Result, FusedQueries]:
        """One query a place, of several views; it lies where the place's first view does."""
        fused = fuse_places(self.retrieval.query, self.query, multi)
        places = self.retrieval.query.places
        first = [place.views[0] for place in places]
        query = self._set(protocol, first, fused.vectors, fused.unreadable)
        pairs = None
        if protocol.paired:
            rows = np.cumsum([0, *(len(place.views) for place in places[:-1])])
            right = [self.matches.of(int(row)).tolist() for row in rows]
            pairs = match_pairs(right, len(self.gallery.vectors))
        return evaluate(protocol, query, self._gallery_set(protocol), pairs), fused

    def ranking(self, top: int) -> Ranking:
        """Ranks in the whole gallery, for pictures; an unreadable image has similarity 0."""
        return rank(self.query.vectors, self.gallery.vectors, self.matches, top)

    @cached_property
    def matches(self) -> Matches:
        """Right answers of every query view."""
        right = [rows.tolist() for rows in self.retrieval.relevant()]
        return match_pairs(right, len(self.gallery.vectors))

    def _gallery_set(self, protocol: Protocol) -> EmbeddedSet:
        views = self.retrieval.gallery.views
        return self._set(protocol, views, self.gallery.vectors, ~self.gallery.readable)

    def _set(
        self,
        protocol: Protocol,
        views: Sequence[View],
        vectors: NDArray[np.float32],
        unreadable: NDArray[np.bool_],
    ) -> EmbeddedSet:
        labels = self._labels(protocol, views)
        return EmbeddedSet(vectors, labels, _positions(protocol, views), unreadable)

    def _labels(self, protocol: Protocol, views: Sequence[View]) -> NDArray[np.int64] | None:
        """Numbers of the views' places, int64 [N]; None where right answers are listed."""
        if protocol.paired:
            return None
        return np.array([self._place_numbers[view.place] for view in views], dtype=np.int64)

    @cached_property
    def _place_numbers(self) -> dict[str, int]:
        ids = self.retrieval.query.place_ids | self.retrieval.gallery.place_ids
        return {place: number for number, place in enumerate(sorted(ids))}


def check_fit(retrieval: Retrieval, protocol: Protocol) -> None:
    """Makes sure that a task has what a protocol needs, before anything is embedded.

    Raises:
        UsageError: it has not.
    """
    if retrieval.matches is not None and not protocol.paired:
        raise UsageError(
            f"protocol {protocol.name}",
            "needs places that match one to one, this dataset lists right answers",
            "choose gta-uav, gta-uav-s2d, uav-visloc or uav-visloc-s2d",
        )
    for subset in (retrieval.query, retrieval.gallery):
        _positions(protocol, subset.views)


def embed_search(
    retrieval: Retrieval, embedder: ViewEmbedder, condition: Condition = CLEAN
) -> Search:
    """Embeds both sides of a task."""
    query, gallery = (
        embedder.embed(subset.views, f"{retrieval.name} {subset.name} {condition}", condition)
        for subset in (retrieval.query, retrieval.gallery)
    )
    return Search(retrieval, condition, query, gallery)


def _positions(protocol: Protocol, views: Sequence[View]) -> Positions | None:
    """Where the views lie in the protocol's units, float64 [N, 2]."""
    rule = protocol.distances
    if rule is None:
        return None
    pairs = []
    for view in views:
        pair = _pair(view, rule.unit)
        if pair is None:
            raise UsageError(
                view.path,
                f"has no position {rule.unit}, which the protocol {protocol.name} measures with",
                "add the dataset's file of positions, or choose a protocol that measures recall",
            )
        pairs.append(pair)
    return np.array(pairs, dtype=np.float64)


def _pair(view: View, unit: str) -> tuple[float, float] | None:
    """A view's position in `unit`; None where it has none such."""
    position = view.position
    if unit == DEGREES and isinstance(position, LatLon):
        return position.lat, position.lon
    if unit == METRES and isinstance(position, PlanePoint):
        return position.x_m, position.y_m
    return None
