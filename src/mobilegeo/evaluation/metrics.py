"""Figures of merit of a set of fixes.

Denominators. *All photos* are the rows of the truth with a position: a photo without a record, an
unreadable one and a `no_fix` all count as not found. *Fixes* are the fixes of such photos.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.evaluation.matching import match_photos
from mobilegeo.evaluation.reliability import (
    COVERAGES,
    ReliabilityBin,
    Risk,
    calibration_error,
    reliability,
    risk_at_coverage,
)
from mobilegeo.evaluation.truth import Truth
from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, distance_m, wrap_deg

Array = NDArray[np.float64]

RADII_M = (10, 25, 50, 100)
DEFAULT_WRONG_M = 50.0


@dataclass(frozen=True, slots=True)
class Within:
    """How many fixes fall within a radius of the truth.

    Attributes:
        radius_m: the radius.
        of_photos: fraction of all photos; None without photos.
        of_fixes: fraction of the fixes; None without fixes.
    """

    radius_m: int
    of_photos: float | None
    of_fixes: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether `sigma_m` is honest, over the fixes that state it; None without any.

    For an isotropic normal error with standard deviation sigma along each axis the error's length
    follows a Rayleigh distribution: a radius of sigma · √(−2 ln(1 − p)) holds the fraction p.

    Attributes:
        fixes: fixes with a positive sigma.
        within_1_sigma: fraction of errors up to sigma; nominally 0.393.
        within_2_sigma: fraction of errors up to 2 sigma; nominally 0.865.
        coverage_68: fraction of errors up to 1.510 sigma; nominally 0.68.
        coverage_95: fraction of errors up to 2.448 sigma; nominally 0.95.
        median_error_sigma: median of error / sigma; nominally 1.177.
    """

    fixes: int
    within_1_sigma: float | None
    within_2_sigma: float | None
    coverage_68: float | None
    coverage_95: float | None
    median_error_sigma: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `mobilegeo evaluate` reports; fractions are 0 … 1, None where there is nothing to count.

    Attributes:
        photos: rows of the truth with a position.
        fixes: how many of them got a fix.
        fix_rate: fixes / photos.
        median_error_m, mean_error_m, p90_error_m: over the fixes.
        within: by radius, over all photos and over the fixes.
        calibration: of sigma.
        wrong_m: a fix with a larger error is wrong.
        wrong_fixes: wrong fixes; any fix of a photo taken outside the map is one.
        wrong_fix_rate: wrong_fixes / (fixes + outside_wrong_fixes).
        confidence_auroc: probability that a right fix has a higher confidence than a wrong one,
            ties counting half; None unless there are both.
        reliability: share of right fixes by confidence, those of photos taken outside included.
        risk: wrong-fix rates when only the surest photos are answered.
        headings: fixes with a heading whose truth states one.
        median_heading_error_deg: over those.
        outside_photos: rows of the truth without a position: taken outside the map.
        outside_wrong_fixes: how many of them got a fix all the same.
        photos_without_record: rows of the truth that the fixes do not name.
        photos_without_truth: photos among the fixes that the truth does not name; left out.
    """

    photos: int
    fixes: int
    fix_rate: float | None
    median_error_m: float | None
    mean_error_m: float | None
    p90_error_m: float | None
    within: tuple[Within, ...]
    calibration: Calibration
    wrong_m: float
    wrong_fixes: int
    wrong_fix_rate: float | None
    confidence_auroc: float | None
    reliability: tuple[ReliabilityBin, ...]
    risk: tuple[Risk, ...]
    headings: int
    median_heading_error_deg: float | None
    outside_photos: int
    outside_wrong_fixes: int
    photos_without_record: tuple[str, ...]
    photos_without_truth: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """One JSON object; `within_25m` counts all photos, `within_25m_of_fixes` the fixes."""
        return {
            "photos": self.photos,
            "fixes": self.fixes,
            "fix_rate": self.fix_rate,
            "median_error_m": self.median_error_m,
            "mean_error_m": self.mean_error_m,
            "p90_error_m": self.p90_error_m,
            **{f"within_{item.radius_m}m": item.of_photos for item in self.within},
            **{f"within_{item.radius_m}m_of_fixes": item.of_fixes for item in self.within},
            "sigma_fixes": self.calibration.fixes,
            "within_1_sigma": self.calibration.within_1_sigma,
            "within_2_sigma": self.calibration.within_2_sigma,
            "coverage_68": self.calibration.coverage_68,
            "coverage_95": self.calibration.coverage_95,
            "median_error_sigma": self.calibration.median_error_sigma,
            "wrong_m": self.wrong_m,
            "wrong_fixes": self.wrong_fixes,
            "wrong_fix_rate": self.wrong_fix_rate,
            "confidence_auroc": self.confidence_auroc,
            "calibration_error": calibration_error(self.reliability),
            "reliability": [asdict(item) for item in self.reliability],
            "risk_at_coverage": [asdict(item) for item in self.risk],
            "headings": self.headings,
            "median_heading_error_deg": self.median_heading_error_deg,
            "outside_photos": self.outside_photos,
            "outside_wrong_fixes": self.outside_wrong_fixes,
            "photos_without_record": list(self.photos_without_record),
            "photos_without_truth": list(self.photos_without_truth),
        }


def evaluate(
    fixes: Sequence[Fix], truth: Sequence[Truth], *, wrong_m: float = DEFAULT_WRONG_M
) -> Evaluation:
    """Compares fixes with the truth.

    Args:
        fixes: records of any status.
        truth: true positions, matched by path, else by file name.
        wrong_m: a fix with a larger error counts as wrong.

    Raises:
        UsageError: the two sides share no photo, or which row is meant cannot be told.
    """
    if not 0 < wrong_m < math.inf:
        raise UsageError(f"wrong_m {wrong_m}", "is not a positive length", "give metres")
    matching = match_photos(fixes, truth)
    if fixes and truth and not matching.pairs:
        raise UsageError(
            "truth",
            f"names none of the fixes' photos ({truth[0].photo} …, {fixes[0].photo} …)",
            "use the same file names in both files",
        )
    found = [(fix, row) for fix, row in matching.pairs if fix.status == "fix"]
    every_error = np.array([error_m(fix, row.position) for fix, row in found])
    right = every_error <= wrong_m
    wrong = int((~right).sum())
    inside = [(fix, row) for fix, row in found if row.position is not None]
    confidence = np.array([fix.confidence for fix, _ in found], dtype=np.float64)
    on_map = np.isfinite(every_error)
    errors = every_error[on_map]
    photos = sum(row.position is not None for row in truth)
    headings = _heading_errors(inside)
    return Evaluation(
        photos=photos,
        fixes=len(inside),
        fix_rate=_ratio(len(inside), photos),
        median_error_m=_quantile(errors, 0.5),
        mean_error_m=float(errors.mean()) if len(errors) else None,
        p90_error_m=_quantile(errors, 0.9),
        within=tuple(_within(errors, radius_m, photos) for radius_m in RADII_M),
        calibration=_calibrate([fix for fix, _ in inside], errors),
        wrong_m=wrong_m,
        wrong_fixes=wrong,
        wrong_fix_rate=_ratio(wrong, len(found)),
        confidence_auroc=auroc(confidence, right),
        reliability=reliability(confidence, right),
        risk=tuple(
            risk_at_coverage(confidence, right, on_map, photos, share) for share in COVERAGES
        ),
        headings=len(headings),
        median_heading_error_deg=_quantile(headings, 0.5),
        outside_photos=len(truth) - photos,
        outside_wrong_fixes=len(found) - len(inside),
        photos_without_record=matching.without_fix,
        photos_without_truth=matching.without_truth,
    )


def error_m(fix: Fix, position: LatLon | None) -> float:
    """Metres from a fix to the true position; infinite where that is outside the map."""
    if position is None:
        return math.inf
    if fix.lat is None or fix.lon is None:
        raise UsageError(f"fix of {fix.photo}", "has no position", "locate the photo again")
    return distance_m(LatLon(fix.lat, fix.lon), position)


def radius_in_sigmas(probability: float) -> float:
    """Radius, in sigmas, of the circle that holds a fraction of a round 2-D normal error."""
    return math.sqrt(-2.0 * math.log1p(-probability))


def auroc(scores: Array, right: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve.

    Args:
        scores: float64 [N], higher meaning more probably right.
        right: bool [N].

    Returns:
        The probability that a right one scores higher than a wrong one, ties counting half; None
        unless there are both.
    """
    positive, negative = scores[right], np.sort(scores[~right])
    if not len(positive) or not len(negative):
        return None
    below = np.searchsorted(negative, positive, side="left")
    not_above = np.searchsorted(negative, positive, side="right")
    return float((below + not_above).mean() / (2 * len(negative)))


def _within(errors: Array, radius_m: int, photos: int) -> Within:
    count = int((errors <= radius_m).sum())
    return Within(radius_m, of_photos=_ratio(count, photos), of_fixes=_ratio(count, len(errors)))


def _calibrate(fixes: Sequence[Fix], errors: Array) -> Calibration:
    sigmas = np.array([fix.sigma_m or math.nan for fix in fixes])
    stated = sigmas > 0
    ratios = errors[stated] / sigmas[stated]

    def covered(radius: float) -> float | None:
        return _ratio(int((ratios <= radius).sum()), len(ratios))

    return Calibration(
        fixes=len(ratios),
        within_1_sigma=covered(1.0),
        within_2_sigma=covered(2.0),
        coverage_68=covered(radius_in_sigmas(0.68)),
        coverage_95=covered(radius_in_sigmas(0.95)),
        median_error_sigma=_quantile(ratios, 0.5),
    )


def _heading_errors(found: Sequence[tuple[Fix, Truth]]) -> Array:
    return np.array(
        [
            abs(wrap_deg(fix.heading_deg - row.heading_deg))
            for fix, row in found
            if fix.heading_deg is not None and row.heading_deg is not None
        ]
    )


def _ratio(count: int, total: int) -> float | None:
    return count / total if total else None


def _quantile(values: Array, fraction: float) -> float | None:
    return float(np.quantile(values, fraction)) if len(values) else None
