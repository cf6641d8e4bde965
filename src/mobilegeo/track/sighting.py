"""From an alignment to the filter's likelihood: the heatmap's peaks as camera positions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.fix import Fix
from mobilegeo.geo import wrap_deg
from mobilegeo.locate.align import Alignment
from mobilegeo.locate.records import Trace
from mobilegeo.locate.scan import Heatmap
from mobilegeo.locate.template import aimed_at, visible_centre
from mobilegeo.metadata.telemetry import RANGES, Telemetry
from mobilegeo.track.mixture import MAX_PROBABILITY, Peak
from mobilegeo.track.motion import Array, Measurement, to_the_right, unit_vector

RIVAL_SHARE = 0.7
"""Peaks of the heatmap of at least this share of the highest are taken along."""

MAX_RIVALS = 3
RIVAL_DISTANCE_M = 32.0
RIVALS_BELIEF = 0.5
"""Share of the doubt in the highest peak that goes to its rivals; the rest doubts the frame."""

WORST_FACTOR = 3.0
"""The spread of a peak that was not accepted is this many times the spread it would have."""

JITTER_DEG = 0.4
"""Standard deviation of the line of sight from frame to frame, in both directions."""


@dataclass(frozen=True)
class Sighting:
    """What one frame says of where its camera was.

    Attributes:
        peaks: places that fit, at least one, the best first, with their probabilities.
        seen: true heading, height and field of view at which the best fits.
        alignment: all that was found.
        offset_m: from the camera to the ground in the middle of the view, float64 [2].
    """

    peaks: list[Peak]
    seen: Telemetry
    alignment: Alignment
    offset_m: Array


def sighting_of(trace: Trace, convergence_deg: float) -> Sighting | None:
    """The sighting that a located frame gives; `None` for one that shows nothing to match.

    Args:
        trace: the outcome of locating it.
        convergence_deg: from true north to the frame's north, at the place.
    """
    found = trace.alignment
    if found is None:
        return None
    best = found.best
    offset = np.array(aimed_at(best.view))
    probability = min(trace.fix.confidence, MAX_PROBABILITY)
    covariance = _covariance(trace.fix)
    tilt = _tilt(best.view, offset)
    covariance = covariance + JITTER_DEG**2 * tilt @ tilt.T
    peaks = [
        Peak(Measurement(np.array([best.x_m, best.y_m]) - offset, covariance, tilt), probability)
    ]
    shares = _rivals(found.heatmap, best.x_m, best.y_m)
    total = sum(share for _, share in shares)
    for place, share in shares:
        part = RIVALS_BELIEF * (1 - probability) * share / total
        # Not refined: known to the grid's cells, and with the heading of the best.
        wide = covariance + 16.0 * np.eye(2)
        peaks.append(Peak(Measurement(place - offset, wide, tilt), part))
    seen = Telemetry(
        heading_deg=wrap_deg(best.view.heading_deg + convergence_deg),
        agl_m=float(np.clip(best.view.agl_m, *RANGES["agl_m"][:2])),
        hfov_deg=best.view.hfov_deg,
    )
    return Sighting(peaks, seen, found, offset)


def _covariance(fix: Fix) -> Array:
    """Of the best place, float64 [2, 2], m², as the localizer tells it."""
    east_m, north_m = fix.details["sigma_east_m"], fix.details["sigma_north_m"]
    mixed = fix.details["correlation_east_north"] * east_m * north_m
    factor = 1.0 if fix.status == "fix" else WORST_FACTOR**2
    return factor * np.array([[east_m**2, mixed], [mixed, north_m**2]])


def _tilt(view: GroundView, offset: Array) -> Array:
    """How the middle of the view moves for a degree up and for one to the right, metres.

    Returns:
        float64 [2, 2], a column for each.
    """
    raised = visible_centre(replace(view, pitch_deg=view.pitch_deg + 1.0))
    up = np.zeros(2) if raised is None else np.array(raised) - offset
    slant_m = math.hypot(view.agl_m, *offset)
    right = slant_m * math.radians(1.0) * to_the_right(unit_vector(view.heading_deg))
    return np.stack([up, right], axis=1)


def _rivals(heatmap: Heatmap, x_m: float, y_m: float) -> list[tuple[Array, float]]:
    """Other peaks of the heatmap, highest first, with weights that rise with their scores."""
    scores = heatmap.scores.astype(np.float64)
    box = heatmap.box
    x = np.linspace(box.west, box.east, scores.shape[1])
    y = np.linspace(box.north, box.south, scores.shape[0])
    remaining = scores.copy()
    least = RIVAL_SHARE * float(scores.max())
    near = _near(x, y, x_m, y_m)
    found: list[tuple[Array, float]] = []
    while len(found) < MAX_RIVALS:
        remaining[near] = -1.0
        row, column = np.unravel_index(int(remaining.argmax()), remaining.shape)
        score = float(remaining[row, column])
        if score < max(least, 1e-6):
            break
        place = np.array([x[column], y[row]])
        found.append((place, math.exp(20.0 * (score - float(scores.max())))))
        near = _near(x, y, *place)
    return found


def _near(x: Array, y: Array, x_m: float, y_m: float) -> NDArray[np.bool_]:
    """Cells around a place, bool [rows, columns]."""
    near: NDArray[np.bool_] = np.hypot(x[None] - x_m, y[:, None] - y_m) <= RIVAL_DISTANCE_M
    return near
