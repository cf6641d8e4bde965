"""Whether confidence can be believed: the reliability curve, and risk against coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS = 10
COVERAGES = (0.5, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The fixes whose confidence lies in one interval; a calibrated one has both means equal.

    Attributes:
        low, high: the interval; `high` belongs to the last one only.
        fixes: how many, at least one.
        mean_confidence: of those fixes.
        right: the share of them that is right.
    """

    low: float
    high: float
    fixes: int
    mean_confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Risk:
    """What answering only the surest photos costs in wrong fixes.

    Attributes:
        coverage: share of the photos with a true position that is answered.
        confidence: the bar that answers so many; None where there are fewer fixes.
        wrong_fix_rate: wrong among all fixes above the bar, those of photos taken outside the map
            included; None where there are fewer fixes.
    """

    coverage: float
    confidence: float | None
    wrong_fix_rate: float | None


def reliability(confidence: Array, right: Flags) -> tuple[ReliabilityBin, ...]:
    """The reliability curve in `BINS` equal intervals, empty ones left out.

    Args:
        confidence: float64 [N], 0 … 1.
        right: bool [N].
    """
    number = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    return tuple(
        ReliabilityBin(
            low=float(n / BINS),
            high=float((n + 1) / BINS),
            fixes=int((number == n).sum()),
            mean_confidence=float(confidence[number == n].mean()),
            right=float(right[number == n].mean()),
        )
        for n in np.unique(number)
    )


def calibration_error(bins: tuple[ReliabilityBin, ...]) -> float | None:
    """Mean distance between confidence and share of right fixes, weighted by fixes; None if empty.

    The expected calibration error of Guo et al., 2017 (arXiv 1706.04599).
    """
    total = sum(item.fixes for item in bins)
    if not total:
        return None
    return sum(item.fixes * abs(item.mean_confidence - item.right) for item in bins) / total


def risk_at_coverage(
    confidence: Array, right: Flags, inside: Flags, photos: int, coverage: float
) -> Risk:
    """The wrong-fix rate when the surest fixes answer a share of the photos.

    Args:
        confidence: float64 [N], of all fixes.
        right: bool [N].
        inside: bool [N], whether the photo was taken on the map; only those count as answered.
        photos: how many photos were taken on the map, with or without a fix.
        coverage: share of `photos` to be answered, 0 … 1.
    """
    needed = max(1, math.ceil(coverage * photos - 1e-9))
    surest = np.sort(confidence[inside])[::-1]
    if len(surest) < needed:
        return Risk(coverage, None, None)
    bar = float(surest[needed - 1])
    return Risk(coverage, bar, float((~right[confidence >= bar]).mean()))
