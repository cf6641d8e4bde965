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
)
from mobilegeo.learn.evaluation.metrics import (
    JUNK,
    Matches,
    Ranking,
    match_labels,
    rank,
    recall_at,
    recall_at_one_percent,
    step_ap,
    trapezoidal_ap,
)

View = Literal["drone", "satellite"]
Positions = NDArray[np.float64]
DEPTHS = (1, 5, 10)
"""Ranks at which recall is told."""


@dataclass(frozen=True)
class EmbeddedSet:
    """The queries, or the gallery.

    Attributes:
        embeddings: floating [N, D], L2-normalised.
        labels: integer [N], the place each image shows; −1 in a gallery is junk. None where the
            protocol takes lists of right answers instead.
        positions: float64 [N, 2], in the protocol's units; None where it measures no distances.
    """

    embeddings: NDArray[np.floating]
    labels: NDArray[np.int64] | None = None
    positions: Positions | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "positions"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.embeddings):
                raise UsageError(
                    name,
                    f"number {len(values)} for {len(self.embeddings)} embeddings",
                    "give one an image",
                )


@dataclass(frozen=True)
class DistanceRule:
    """How a protocol measures metres or degrees.

    Attributes:
        depth: how many of the most similar items it looks at.
        unit: of the positions, for messages.
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
    """

    protocol: str
    queries: int
    unmatched_queries: int
    gallery: int
    junk: int
    metrics: dict[str, float]

    def to_record(self) -> dict[str, str | float]:
        """One row of a table; fractions become percent, and headings state units."""
        return {
            "protocol": self.protocol,
            "queries": self.queries,
            "gallery": self.gallery,
            **dict(_in_table_units(name, value) for name, value in self.metrics.items()),
        }


def _in_table_units(name: str, value: float) -> tuple[str, float]:
    return (f"{name} (m)", value) if name.startswith("dis@") else (f"{name} (%)", 100.0 * value)


def _both_directions(dataset: str) -> tuple[Protocol, ...]:
    """Drone to satellite and back, with all of the gallery and with Sample4Geo's part of it."""
    official = (
        Protocol(f"{dataset}-d2s", query="drone", gallery="satellite"),
        Protocol(f"{dataset}-s2d", query="satellite", gallery="drone"),
    )
    dropping = (
        replace(protocol, name=f"{protocol.name}-sample4geo", drops_distractors=True)
        for protocol in official
    )
    return (*official, *dropping)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        *_both_directions("university1652"),
        *_both_directions("sues200"),
        Protocol(
            "denseuav",
            query="drone",
            gallery="satellite",
            distances=DistanceRule(max(DENSEUAV_DEPTHS), "(lat, lon) in degrees", denseuav_metrics),
        ),
        Protocol(
            "gta-uav",
            query="drone",
            gallery="satellite",
            average_precision=step_ap,
            paired=True,
            distances=DistanceRule(max(GAME4LOC_DEPTHS), "(x, y) in metres", game4loc_metrics),
        ),
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
    if not len(query.embeddings):
        raise UsageError("queries", "are none", "check the query folder")
    searched = gallery if protocol.paired else _without_junk(protocol, query, gallery)
    matches = _matches(protocol, query, searched, pairs)
    rule = protocol.distances
    _check_positions(protocol, query, searched)
    ranking = rank(query.embeddings, searched.embeddings, matches, rule.depth if rule else 0)
    metrics = {f"R@{k}": recall_at(ranking, k) for k in DEPTHS}
    metrics["R@1%"] = recall_at_one_percent(ranking, len(gallery.embeddings))
    metrics["AP"] = protocol.average_precision(ranking)
    if rule and query.positions is not None and searched.positions is not None:
        metrics |= rule.measure(query.positions, searched.positions[ranking.top])
    return Result(
        protocol.name,
        queries=ranking.queries,
        unmatched_queries=int((~ranking.matched).sum()),
        gallery=len(searched.embeddings),
        junk=len(gallery.embeddings) - len(searched.embeddings),
        metrics=metrics,
    )


def _without_junk(protocol: Protocol, query: EmbeddedSet, gallery: EmbeddedSet) -> EmbeddedSet:
    query_labels, labels = _labels(protocol, query, gallery)
    kept = labels != JUNK
    if protocol.drops_distractors:
        kept &= np.isin(labels, query_labels)
    if kept.all():
        return gallery
    if not kept.any():
        raise UsageError(
            "gallery", f"is all junk under the protocol {protocol.name}", "check its labels"
        )
    positions = None if gallery.positions is None else gallery.positions[kept]
    return EmbeddedSet(gallery.embeddings[kept], labels[kept], positions)


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
