"""The peak between the samples of a grid of scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def interpolate(scores: Float32) -> tuple[float, float, float]:
    """Row, column and height of the peak between corners, by a parabola along either axis."""
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    # Beyond the edge, and where no score is allowed, nothing is known of the peak's slope.
    padded = np.pad(np.where(scores > -1.0, scores, np.nan), 1, constant_values=np.nan)
    d_row, down = _vertex(*(float(v) for v in padded[row : row + 3, column + 1]))
    d_column, across = _vertex(*(float(v) for v in padded[row + 1, column : column + 3]))
    height = float(scores[row, column]) - 0.5 * (down * d_row**2 + across * d_column**2)
    return row + d_row, column + d_column, height


def _vertex(before: float, at: float, after: float) -> tuple[float, float]:
    """Vertex of the parabola through values at −1, 0, 1: its place (within ±½) and curvature."""
    curvature = before - 2 * at + after
    if not curvature < -1e-9:  # flat, or a neighbour is NaN
        return 0.0, 0.0
    return float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)), curvature
