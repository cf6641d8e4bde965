"""One fix out of the fixes of several views of a place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, LocalFrame

AGREEMENT = 3.0
"""Fixes within this many standard deviations of the surest are averaged with it."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A fix that agrees with the surest.

    Attributes:
        x_m, y_m: its position, metres east and north of the surest.
        sigma_m: its standard deviation along each axis.
        doubt: probability that it is wrong.
    """

    x_m: float
    y_m: float
    sigma_m: float
    doubt: float


def agreeing(fixes: Sequence[Fix]) -> list[Vote]:
    """The surest of at least one fix and those that agree with it; none if there is no fix."""
    surest = _surest(fixes)
    if surest.lat is None or surest.lon is None or surest.sigma_m is None:
        return []
    frame = LocalFrame(LatLon(surest.lat, surest.lon))
    votes = []
    for fix in fixes:
        if fix.lat is None or fix.lon is None or fix.sigma_m is None:
            continue
        x_m, y_m = frame.xy(LatLon(fix.lat, fix.lon))
        if math.hypot(x_m, y_m) <= AGREEMENT * math.hypot(fix.sigma_m, surest.sigma_m):
            votes.append(Vote(x_m, y_m, fix.sigma_m, 1.0 - fix.confidence))
    return votes


def agree(fixes: Sequence[Fix]) -> Fix:
    """One fix from the aligned fixes of several views.

    The surest fix and those that agree with it are averaged by their inverse variances. Views do
    not point at quite the same spot, so the spread of the fixes enters the standard deviation.
    Confidence is the probability that not all of them are wrong, as if views erred independently;
    views of one place that err in the same way make it too high.

    Args:
        fixes: at least one.

    Returns:
        The surest fix with the average in place of its position; a `no_fix` if there is no fix.
    """
    surest, votes = _surest(fixes), agreeing(fixes)
    if surest.lat is None or surest.lon is None or not votes:
        return surest
    frame = LocalFrame(LatLon(surest.lat, surest.lon))
    xy = np.array([(vote.x_m, vote.y_m) for vote in votes])
    sigmas = np.array([vote.sigma_m for vote in votes])
    weights = 1.0 / sigmas**2
    weights /= weights.sum()
    mean = weights @ xy
    spread = math.sqrt(float(weights @ ((xy - mean) ** 2).sum(axis=1)) / 2 / len(xy))
    formal = math.sqrt(float(weights**2 @ sigmas**2))
    place = frame.point(float(mean[0]), float(mean[1]))
    return replace(
        surest,
        lat=place.lat,
        lon=place.lon,
        sigma_m=math.hypot(formal, spread),
        confidence=1.0 - math.prod(vote.doubt for vote in votes),
    )


def _surest(fixes: Sequence[Fix]) -> Fix:
    return max(fixes, key=lambda fix: (fix.status == "fix", fix.confidence))
