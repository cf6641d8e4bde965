"""The joint optimum over east, north, heading and log scale around one place, and its covariance.

The photo is encoded under one view, and its cells are compared with the map around them
(`likeness`), which gives the scores of five views (as told, heading and scale a step either way)
at all corners around the place. A quadratic is fitted to the 3 × 3 corners around the best of
each, 45 samples in four parameters:

    score(θ) ≈ p − ½ (θ − θ₀)ᵀ H (θ − θ₀),        θ = (east, north, heading, log scale)

Heading and scale are taken as uncorrelated with each other, not with the position: about the
middle of a template, turning and stretching move its descriptors at right angles. The samples step
on while a neighbour is higher. The photo is then encoded under the view of the vertex, anew while
that lies far from the view encoded before, and at last shifted so that its cells fall on the map's;
the peak is interpolated between corners, and the rest of heading and scale taken from the same fit.

Covariance. The heatmap around a peak is the peak plus noise of standard deviation s. The noise's
slope displaces the vertex by H⁻¹ ∇ε. As both peak and noise are correlations of the same
descriptors, the noise is as smooth as the peak, so that its slope has the covariance s² H / p:

    covariance = H⁻¹ (s² H / p) H⁻¹ = (s² / p) H⁻¹

which along one axis is the familiar (width · s / p)² of a matched filter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.locate.peak import interpolate

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

HEADING_STEP_DEG = 5.0
LOG_SCALE_STEP = 0.08
"""Spacing of the samples. Steps of 4° and 6 % place photos no better and cost a tenth more."""

MAX_MOVES = 1
"""How often the samples may step on before the photo is encoded anew."""

MAX_LOOKS = 3
"""How often it is: up to 30° of heading and a half of the scale away."""

NEAR_STEPS = 1.0
"""A vertex nearer than this to the view that was encoded is where the last look is taken."""

STAR = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""The views sampled, in steps of heading and log scale."""

FLAT = 1e-3
"""Least relative curvature, per step squared, so that a flat direction has a finite spread."""

Scores = Callable[[float, float], Float32]
"""Scores, float32 [R, C], at the corners around a place, −1 where not allowed, of a photo whose
heading and log scale are changed by (degrees, 1)."""

Look = Callable[[GroundView, tuple[float, float]], Scores]
"""Encodes the photo under a view, the template's centre moved from `visible_centre` by (east,
north) metres."""


@dataclass(frozen=True)
class Optimum:
    """The vertex of the fit.

    Attributes:
        row, column: of the corner grid, fractional.
        corner: row and column of the corner on which the last template's middle lay.
        score: at the vertex.
        view: with the heading and scale of the vertex.
        spread: float64 [4, 4], H⁻¹ · p over (east m, north m, heading deg, log scale): times
            (s / p)² it is the covariance.
        width_m: distance at which the peak has fallen by its half, from its mean curvature.
    """

    row: float
    column: float
    corner: tuple[int, int]
    score: float
    view: GroundView
    spread: Float64
    width_m: float


def refine(view: GroundView, look: Look, cell_m: float) -> Optimum:
    """Finds the joint optimum around a view and the middle of a corner grid.

    Args:
        view: where to begin.
        look: see `Look`.
        cell_m: spacing of the corners.
    """
    for _ in range(MAX_LOOKS):
        middle, samples = _climbed(look(view, (0.0, 0.0)))
        east, north, turn, rise = (float(value) for value in fit(samples)[0])
        heading, scale = middle[0] + turn, middle[1] + rise
        view = _stepped(view, heading, scale)
        if max(abs(heading), abs(scale)) <= NEAR_STEPS:
            break
    # With the template moved against the peak's offset, their cells coincide.
    scores = look(view, (-east * cell_m, -north * cell_m))
    row, column, score = interpolate(scores(0.0, 0.0))
    (_, _, turn, rise), curvature = fit(_star(scores, 0, 0))
    steps = np.array([cell_m, cell_m, HEADING_STEP_DEG, LOG_SCALE_STEP])
    spread = np.asarray(np.linalg.inv(curvature) * np.outer(steps, steps), dtype=np.float64)
    return Optimum(
        row=row - north,
        column=column + east,
        corner=(round(row), round(column)),
        score=score,
        view=_stepped(view, float(turn), float(rise)),
        spread=spread,
        width_m=cell_m * math.sqrt(4 * math.log(2) / (curvature[0, 0] + curvature[1, 1])),
    )


def turned(view: GroundView, turn_deg: float, log_scale: float) -> GroundView:
    """The view with another heading and height."""
    return replace(
        view,
        heading_deg=view.heading_deg + turn_deg,
        agl_m=view.agl_m * math.exp(log_scale),
    )


def _stepped(view: GroundView, heading: float, scale: float) -> GroundView:
    """The view, turned and raised by steps."""
    return turned(view, heading * HEADING_STEP_DEG, scale * LOG_SCALE_STEP)


def _climbed(scores: Scores) -> tuple[tuple[int, int], Float32]:
    """The star's middle, in steps, and its scores, float32 [5, R, C]; moved while it climbs."""
    heading = scale = 0
    for moves in range(MAX_MOVES + 1):
        samples = _star(scores, heading, scale)
        middle, left, right, lower, higher = samples.max(axis=(1, 2)).tolist()
        turn, rise = _uphill(left, middle, right), _uphill(lower, middle, higher)
        if turn == rise == 0 or moves == MAX_MOVES:
            break
        heading, scale = heading + turn, scale + rise
    return (heading, scale), samples


def _star(scores: Scores, heading: int, scale: int) -> Float32:
    """Scores of the five views around a middle, in steps."""
    return np.stack(
        [scores((heading + h) * HEADING_STEP_DEG, (scale + s) * LOG_SCALE_STEP) for h, s in STAR]
    )


def _uphill(before: float, at: float, after: float) -> int:
    """Which of −1, 0, 1 is highest; 0 if none is higher than it."""
    if at >= max(before, after):
        return 0
    return 1 if after > before else -1


def fit(samples: Float32) -> tuple[Float64, Float64]:
    """Fits the quadratic to a star of scores.

    Args:
        samples: float32 [5, R, C], in the order of `STAR`; −1 where not allowed.

    Returns:
        The vertex, float64 [4], within a step either way of the middle view's highest corner, and
        H / p, float64 [4, 4], positive definite; both in steps (corners east and north, heading,
        log scale).
    """
    columns = samples.shape[2]
    row, column = divmod(int(samples[0].argmax()), columns)
    around = np.full((5, 3, 3), -1.0)
    top, left = max(0, row - 1), max(0, column - 1)
    near = samples[:, top : row + 2, left : column + 2]
    top, left = top - (row - 1), left - (column - 1)
    around[:, top : top + near.shape[1], left : left + near.shape[2]] = near
    values = around.ravel()
    allowed = values > -1.0
    peak = max(float(around[0, 1, 1]), 1e-6)
    weights = np.exp(-0.25 * (_PLACES**2).sum(axis=1)) * allowed
    found = np.linalg.lstsq(_DESIGN * weights[:, None], values * weights / peak, rcond=None)[0]
    hessian = np.zeros((4, 4))
    for (i, j), value in zip(_PAIRS, found[5:], strict=True):
        hessian[i, j] = hessian[j, i] = -value
    strengths, axes = np.linalg.eigh(hessian)
    curvature = axes @ np.diag(np.maximum(strengths, FLAT)) @ axes.T
    if strengths[0] < FLAT:
        # Without a maximum along some direction, the highest sample is as good a guess as any.
        return np.zeros(4), curvature
    return np.clip(np.linalg.solve(hessian, found[1:5]), -1.0, 1.0), curvature


_PLACES = np.array(
    [(east, -south, *view) for view in STAR for south in (-1, 0, 1) for east in (-1, 0, 1)],
    dtype=np.float64,
)
"""The samples in steps of the four parameters, float64 [45, 4], in the order of `fit`."""

_PAIRS = [(i, j) for i in range(4) for j in range(i, 4) if (i, j) != (2, 3)]

_DESIGN = np.column_stack(
    [
        np.ones(len(_PLACES)),
        _PLACES,
        *((0.5 if i == j else 1.0) * _PLACES[:, i] * _PLACES[:, j] for i, j in _PAIRS),
    ]
)
"""1, θ and the quadratic terms ½ θᵢ², θᵢ θⱼ of each sample, float64 [45, 14]."""
