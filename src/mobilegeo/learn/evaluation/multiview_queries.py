"""One query a place from its many drone views: some are chosen, their embeddings fused."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.records import Subset
from mobilegeo.learn.evaluation.embedding import Embedded
from mobilegeo.locate.views import (
    SELECTORS,
    RandomViews,
    Selector,
    embedded,
    fuse,
    importance,
    selector_named,
)

MEAN = "mean"
"""All views with equal weights; the other methods weigh by importance."""
METHODS = (*SELECTORS, MEAN)
_CHOOSE_UNSEEN = frozenset({"even", "random"})
"""Methods that choose before the network has seen anything, so that it encodes k views only."""


@dataclass(frozen=True, slots=True)
class MultiView:
    """How many views make a query, and how they are chosen.

    Attributes:
        k: views to choose at most.
        method: one of `METHODS`.
        seed: of the random choice.
    """

    k: int
    method: str = "msrm"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"multi-view {self.k}", "is not positive", "give 1 or more views")
        if self.method != MEAN:
            selector_named(self.method)

    def __str__(self) -> str:
        number = "" if self.method in ("all", MEAN) else f" {self.k}"
        return f"{self.method}{number}"

    def selector(self, place: str) -> Selector:
        """Chooses the views of a place."""
        if self.method == "random":
            return RandomViews(zlib.crc32(place.encode()) ^ self.seed)
        return SELECTORS["all" if self.method == MEAN else self.method]


@dataclass(frozen=True)
class FusedQueries:
    """One query a place.

    Attributes:
        vectors: float32 [P, D], L2-normalised; zeros where no view of the place can be read.
        unreadable: bool [P].
        fused: views in a query, mean over the places.
        encoded: views of a place that went through the network for it, mean over the places.
    """

    vectors: NDArray[np.float32]
    unreadable: NDArray[np.bool_]
    fused: float
    encoded: float


def check_choice(subset: Subset) -> None:
    """Makes sure that there are views to choose from.

    Raises:
        UsageError: every place has a single view.
    """
    if all(len(place.views) == 1 for place in subset.places):
        raise UsageError(
            subset.name,
            "has a single view of every place, so that there is nothing to choose from",
            "leave out --multi-view",
        )


def fuse_places(subset: Subset, views: Embedded, multi: MultiView) -> FusedQueries:
    """Fuses the views of each place of a query subset.

    Unreadable views are left out; the choice is among the others.

    Args:
        subset: the queries; `views` holds the embeddings of `subset.views`.
        views: one row a view.
        multi: how many and how.
    """
    vectors = np.zeros((len(subset.places), views.vectors.shape[1]), dtype=np.float32)
    fused = np.zeros(len(subset.places))
    encoded = np.zeros(len(subset.places))
    end = 0
    for row, place in enumerate(subset.places):
        start, end = end, end + len(place.views)
        candidates = views.vectors[start:end][views.readable[start:end]]
        if not len(candidates):
            continue
        chosen = multi.selector(place.id)(embedded(candidates), multi.k)
        unseen = multi.method in _CHOOSE_UNSEEN
        vectors[row] = fuse(candidates[chosen], _weights(candidates, chosen, multi.method))
        fused[row] = len(chosen)
        encoded[row] = len(chosen) if unseen else len(candidates)
    return FusedQueries(vectors, fused == 0, float(fused.mean()), float(encoded.mean()))


def _weights(
    candidates: NDArray[np.float32], chosen: list[int], method: str
) -> NDArray[np.float64]:
    """Importance of the chosen views among those that the network has seen, float64 [k]."""
    if method == MEAN:
        return np.zeros(len(chosen))
    if method in _CHOOSE_UNSEEN:
        return importance(candidates[chosen])
    return importance(candidates)[chosen]
