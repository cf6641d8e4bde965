"""Peaks between samples: along one parameter, and on a grid of scores."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

MAX_STEPS = 2
"""How often a climb may step on beyond its first three samples."""


def climb(score: Callable[[list[float]], list[float]], step: float) -> float:
    """The offset with the highest score, by steps from 0 and a parabola through the best three.

    Of equal scores the one nearest to 0 counts.
    """
    offsets = [-step, 0.0, step]
    scores = score(offsets)
    for _ in range(MAX_STEPS):
        best = _highest(offsets, scores)
        if best == 0:
            offsets.insert(0, offsets[0] - step)
            scores[:0] = score(offsets[:1])
        elif best == len(offsets) - 1:
            offsets.append(offsets[-1] + step)
            scores += score(offsets[-1:])
        else:
            break
    best = _highest(offsets, scores)
    if best in (0, len(offsets) - 1):
        return offsets[best]
    return offsets[best] + step * _vertex(*scores[best - 1 : best + 2])[0]


def _highest(offsets: list[float], scores: list[float]) -> int:
    return max(range(len(scores)), key=lambda i: (scores[i], -abs(offsets[i])))


def _vertex(before: float, at: float, after: float) -> tuple[float, float]:
    """Vertex of the parabola through values at −1, 0, 1: its place (within ±½) and curvature."""
    curvature = before - 2 * at + after
    if not curvature < -1e-9:  # flat, or a neighbour is NaN
        return 0.0, 0.0
    return float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)), curvature


def interpolate(scores: Float32) -> tuple[float, float, float, float]:
    """Row, column and height of the peak between cells, and its half width in cells.

    The peak's half width is that of a Gaussian with its height and mean curvature.
    """
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    peak = float(scores[row, column])
    # Beyond the edge, and where no score is allowed, nothing is known of the peak's slope.
    padded = np.pad(np.where(scores > -1.0, scores, np.nan), 1, mode="reflect")
    d_row, down = _vertex(*(float(v) for v in padded[row : row + 3, column + 1]))
    d_column, across = _vertex(*(float(v) for v in padded[row + 1, column : column + 3]))
    height = peak - 0.5 * (down * d_row**2 + across * d_column**2)
    curvature = max(1e-6, -(down + across) / 2)
    width = math.sqrt(2 * math.log(2) * max(height, 1e-6) / curvature)
    return row + d_row, column + d_column, height, width
