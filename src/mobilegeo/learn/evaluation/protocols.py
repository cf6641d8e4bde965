"""Evaluation protocols by name: who is ranked against what, and by which formulas.

The same embeddings give different numbers under different public evaluators; `docs/protocols.md`
says how they differ. A result always names its protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.learn.evaluation.distances import (
    DENSEUAV_DEPTHS,
    GAME4LOC_DEPTHS,
    denseuav_metrics,
    game4loc_metrics,
    visloc_metrics,
)
from mobilegeo.learn.evaluation.embedded_set import EmbeddedSet, Positions
from mobilegeo.learn.evaluation.metrics import (
    JUNK,
    Matches,
    Ranking,
    match_labels,
    rank,
    recall_at,
    recall_at_one_percent,
    restricted,
    step_ap,
    trapezoidal_ap,
)

__all__ = [
    "PROTOCOLS",
    "DistanceRule",
    "EmbeddedSet",
    "Protocol",
    "Result",
    "evaluate",
    "find_protocol",
]

View = Literal["drone", "satellite"]
DEPTHS = (1, 5, 10)
"""Ranks at which recall is told."""
DEGREES, METRES = "(lat, lon) in degrees", "(x, y) in metres"
"""What positions are given in: on the earth, or in a dataset's own flat frame."""


@dataclass(frozen=True)
class DistanceRule:
    """How a protocol measures metres or degrees.

    Attributes:
        depth: how many of the most similar items it looks at.
        unit: of the positions, `DEGREES` or `METRES`.
        measure: positions of queries [Q, 2] and of their most similar items [Q, depth, 2] to
            metrics by name.
    """

    depth: int
    unit: str
    measure: Callable[[Positions, Positions], dict[str, float]]


@dataclass(frozen=True)
class Protocol:
    """One public evaluator's rules.

    Attributes:
        name: its key in `PROTOCOLS`.
        query: the view that asks.
        gallery: the view that is searched.
        drops_distractors: whether gallery items whose place no query shows are junk.
        average_precision: its AP.
        paired: whether right answers are listed for each query instead of following from labels.
        distances: how it measures distances, if it does.
    """

    name: str
    query: View
    gallery: View
    drops_distractors: bool = False
    average_precision: Callable[[Ranking], float] = trapezoidal_ap
    paired: bool = False
    distances: DistanceRule | None = None


@dataclass(frozen=True)
class Result:
    """Metrics under one protocol.

    Attributes:
        protocol: its name.
        queries: how many were asked; the denominator.
        unmatched_queries: those without a right answer in the gallery; they count as missed.
        gallery: items ranked.
        junk: items of the gallery left out.
        metrics: by name; fractions 0 … 1, but `dis@K` in metres.
        unreadable_queries: queries that could not be read; they count as missed.
        unreadable_gallery: items that could not be read; they are left out of the gallery.
    """

    protocol: str
    queries: int
    unmatched_queries: int
    gallery: int
    junk: int
    metrics: dict[str, float]
    unreadable_queries: int = 0
    unreadable_gallery: int = 0

    def to_record(self) -> dict[str, str | float]:
        """One row of a table; fractions become percent, and headings state units."""
        return {
            "protocol": self.protocol,
            "queries": self.queries,
            "gallery": self.gallery,
            **self._unreadable(),
            **dict(_in_table_units(name, value) for name, value in self.metrics.items()),
        }

    def _unreadable(self) -> dict[str, int]:
        if not (self.unreadable_queries or self.unreadable_gallery):
            return {}
        return {
            "unreadable queries": self.unreadable_queries,
            "unreadable gallery": self.unreadable_gallery,
        }


def _in_metres(name: str) -> bool:
    return name.startswith("dis@")


def _in_table_units(name: str, value: float) -> tuple[str, float]:
    return (f"{name} (m)", value) if _in_metres(name) else (f"{name} (%)", 100.0 * value)


def _recall(dataset: str) -> tuple[Protocol, Protocol]:
    """Drone to satellite and back as University-1652's evaluator has it."""
    return (
        Protocol(f"{dataset}-d2s", query="drone", gallery="satellite"),
        Protocol(f"{dataset}-s2d", query="satellite", gallery="drone"),
    )


def _both_galleries(dataset: str) -> tuple[Protocol, ...]:
    """Both directions, with all of the gallery and with Sample4Geo's part of it."""
    official = _recall(dataset)
    dropping = (
        replace(protocol, name=f"{protocol.name}-sample4geo", drops_distractors=True)
        for protocol in official
    )
    return (*official, *dropping)


def _graded(dataset: str, rule: DistanceRule) -> tuple[Protocol, Protocol]:
    """Listed right answers and scikit-learn's AP as in Game4Loc; distances of tiles only."""
    there, back = (
        replace(protocol, average_precision=step_ap, paired=True) for protocol in _recall(dataset)
    )
    return replace(there, name=dataset, distances=rule), back


_DEPTH = max(GAME4LOC_DEPTHS)
_DENSEUAV = DistanceRule(max(DENSEUAV_DEPTHS), DEGREES, denseuav_metrics)
_GTA = DistanceRule(_DEPTH, METRES, game4loc_metrics)
_VISLOC = DistanceRule(_DEPTH, DEGREES, visloc_metrics)

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        *_both_galleries("university1652"),
        *_both_galleries("sues200"),
        Protocol("denseuav", query="drone", gallery="satellite", distances=_DENSEUAV),
        *_recall("denseuav"),
        *_graded("gta-uav", _GTA),
        *_graded("uav-visloc", _VISLOC),
        *_recall("folder"),
    )
}
"""All protocols by name."""


def find_protocol(name: str) -> Protocol:
    """The protocol of that name."""
    if name not in PROTOCOLS:
        raise UsageError(f"protocol {name}", "is not known", f"choose from {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def evaluate(
    protocol: Protocol, query: EmbeddedSet, gallery: EmbeddedSet, pairs: Matches | None = None
) -> Result:
    """Ranks the gallery for each query and measures as the protocol says.

    Args:
        protocol: from `PROTOCOLS`.
        query: what asks.
        gallery: what is searched, distractors and junk included.
        pairs: right answers, for a protocol that takes them listed.

    Returns:
        R@1, R@5, R@10, R@1%, AP, and the protocol's distances.
    """
    _check_readable(query, gallery)
    ranked = _not_junk(protocol, query, gallery)
    searched = ranked & gallery.readable
    matches = restricted(_matches(protocol, query, gallery, pairs), query.readable, searched)
    rule = protocol.distances
    _check_positions(protocol, query, gallery)
    items = gallery.embeddings if searched.all() else gallery.embeddings[searched]
    ranking = rank(query.embeddings, items, matches, rule.depth if rule else 0)
    metrics = {f"R@{k}": recall_at(ranking, k) for k in DEPTHS}
    metrics["R@1%"] = recall_at_one_percent(ranking, len(gallery.embeddings))
    metrics["AP"] = protocol.average_precision(ranking)
    if rule and query.positions is not None and gallery.positions is not None:
        answers = gallery.positions[searched][ranking.top]
        metrics |= _distances(rule, query.positions, answers, query.readable)
    return Result(
        protocol.name,
        queries=ranking.queries,
        unmatched_queries=int((~ranking.matched).sum()),
        gallery=len(items),
        junk=int((~ranked).sum()),
        metrics=metrics,
        unreadable_queries=int((~query.readable).sum()),
        unreadable_gallery=int((ranked & ~gallery.readable).sum()),
    )


def _check_readable(query: EmbeddedSet, gallery: EmbeddedSet) -> None:
    if not len(query.embeddings):
        raise UsageError("queries", "are none", "check the query folder")
    for name, side in (("queries", query), ("gallery", gallery)):
        if len(side.embeddings) and not side.readable.any():
            raise UsageError(name, "hold no readable image", "unpack the dataset again")


def _not_junk(protocol: Protocol, query: EmbeddedSet, gallery: EmbeddedSet) -> NDArray[np.bool_]:
    """Items that the protocol ranks, bool [N]."""
    if protocol.paired:
        return np.ones(len(gallery.embeddings), dtype=np.bool_)
    query_labels, labels = _labels(protocol, query, gallery)
    kept: NDArray[np.bool_] = labels != JUNK
    if protocol.drops_distractors:
        kept &= np.isin(labels, query_labels)
    if not (kept & gallery.readable).any():
        raise UsageError(
            "gallery", f"is all junk under the protocol {protocol.name}", "check its labels"
        )
    return kept


def _distances(
    rule: DistanceRule, query: Positions, answers: Positions, readable: NDArray[np.bool_]
) -> dict[str, float]:
    """Metrics of the readable queries; where they are shares, the others count as missed."""
    share = float(readable.mean())
    measured = rule.measure(query[readable], answers[readable])
    return {name: value if _in_metres(name) else value * share for name, value in measured.items()}


def _labels(
    protocol: Protocol, query: EmbeddedSet, gallery: EmbeddedSet
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if query.labels is None or gallery.labels is None:
        raise UsageError(f"protocol {protocol.name}", "needs the labels of both sides", "give them")
    return query.labels, gallery.labels


def _matches(
    protocol: Protocol, query: EmbeddedSet, gallery: EmbeddedSet, pairs: Matches | None
) -> Matches:
    if protocol.paired != (pairs is not None):
        wanted = "lists of right answers" if protocol.paired else "labels, not lists"
        raise UsageError(f"protocol {protocol.name}", f"takes {wanted}", "give what it takes")
    return pairs if pairs is not None else match_labels(*_labels(protocol, query, gallery))


def _check_positions(protocol: Protocol, query: EmbeddedSet, gallery: EmbeddedSet) -> None:
    rule = protocol.distances
    if rule and (query.positions is None or gallery.positions is None):
        raise UsageError(
            f"protocol {protocol.name}",
            "needs the positions of both sides",
            f"give them as {rule.unit}",
        )
