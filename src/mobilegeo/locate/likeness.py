"""How every cell of a template resembles the map around where it lies: a cost volume.

One encoding of the photo gives, for each of its cells n and each displacement (dy, dx) of up to
`REACH_CELLS` cells, the cosine

    c(dy, dx, n) = ⟨t(n), m(place(n) + (dy, dx))⟩

of the cell's descriptor with the map's. From these numbers alone follow the score of the template
at every corner nearby; the score of the same photo turned and stretched by a little, since turning
and stretching only displace its cells; and where each cell, asked alone, would rather lie
(`verify`). Descriptors themselves are taken as unchanged: a network's features hardly turn with a
few degrees, which the joint fit allows for by looking again at what it found (`refine`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from mobilegeo.locate.correlate import MIN_OVERLAP, Template

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Cell = TypeVar("Cell", bound=np.generic)

CORNERS = 2
"""Corners either way of the middle at which scores are given."""

REACH_CELLS = 5
"""How far a cell looks: `CORNERS`, the displacement of the outermost cells of a template of 24 by
6° and 10 %, and one more to interpolate."""


@dataclass(frozen=True)
class Likeness:
    """Cosines of a template's cells with the map around them.

    Attributes:
        values: float32 [2R + 1, 2R + 1, n], by displacement south and east, for the template's n
            valid cells; 0 where the map has no data.
        known: bool of that shape, where the map has data; `None` where it has everywhere.
        south, east: float64 [n], cells from the template's middle to each cell's centre.
    """

    values: Float32
    known: NDArray[np.bool_] | None
    south: Float64
    east: Float64

    def scores(self, turn_deg: float = 0.0, log_scale: float = 0.0) -> Float32:
        """Scores at the corners around the middle, the photo turned and stretched.

        Args:
            turn_deg: added to the heading, clockwise.
            log_scale: added to the logarithm of the height.

        Returns:
            float32 [2 · `CORNERS` + 1, 2 · `CORNERS` + 1], masked cosines as in `correlate`; −1
            where the map covers less than `MIN_OVERLAP` of the template.
        """
        angle, stretch = math.radians(turn_deg), math.exp(log_scale)
        cos, sin = stretch * math.cos(angle), stretch * math.sin(angle)
        down = self.south * cos + self.east * sin - self.south
        right = self.east * cos - self.south * sin - self.east
        count = len(self.south)
        sums, reached = _interpolated_sum(self.values, down, right)
        if self.known is None:
            overlap = np.full(sums.shape, reached, dtype=np.float32)
        else:
            overlap, _ = _interpolated_sum(self.known.astype(np.float32), down, right)
        enough = overlap >= max(1.0, MIN_OVERLAP * count) - 1e-3
        scale = np.sqrt(np.maximum(overlap, 1.0) * max(count, 1))
        return np.where(enough, sums / scale, np.float32(-1.0)).astype(np.float32)


def likeness(
    template: Template, cells: Float32, valid: NDArray[np.bool_], row: int, column: int
) -> Likeness:
    """Compares every cell of a template with the map around it.

    Args:
        template: the photo's descriptors [h, w, C], sides even.
        cells: float32 [H, W, C], the map's unit descriptors, zero without data.
        valid: bool [H, W], where the map has data.
        row: of the corner of the map's grid on which the template's middle lies.
        column: of that corner.
    """
    height, width = template.valid.shape
    reach = REACH_CELLS
    span = 2 * reach + 1
    top, left = row - height // 2 - reach, column - width // 2 - reach
    around = _cut(cells, top, left, height + 2 * reach, width + 2 * reach)
    covered = _cut(valid[..., None], top, left, height + 2 * reach, width + 2 * reach)[..., 0]
    values = np.empty((span, span, height, width), dtype=np.float32)
    for line in range(height):
        strip = around[line : line + span].reshape(-1, around.shape[2])
        values[:, :, line] = _diagonals(template.cells[line] @ strip.T, span)
    rows, columns = np.nonzero(template.valid)
    known = None
    if not covered.all():
        windows = sliding_window_view(covered, (height, width))
        known = np.ascontiguousarray(windows[:, :, rows, columns])
    return Likeness(
        np.ascontiguousarray(values[:, :, rows, columns]),
        known,
        rows + 0.5 - height / 2,
        columns + 0.5 - width / 2,
    )


def _diagonals(products: Float32, span: int) -> Float32:
    """A row of cells against a strip of map, [w, span · (w + span − 1)], by displacement.

    Returns:
        float32 [span, span, w], a view.
    """
    width = len(products)
    line, item = products.strides[0], products.itemsize
    strides = ((width + span - 1) * item, item, line + item)
    return as_strided(products, (span, span, width), strides, writeable=False)


def _cut(grid: NDArray[Cell], top: int, left: int, height: int, width: int) -> NDArray[Cell]:
    """A window of a grid [H, W, C], zero where it lies outside."""
    window = np.zeros((height, width, grid.shape[2]), dtype=grid.dtype)
    rows = slice(max(0, top), max(0, top + height))
    columns = slice(max(0, left), max(0, left + width))
    part = grid[rows, columns]
    y, x = rows.start - top, columns.start - left
    window[y : y + part.shape[0], x : x + part.shape[1]] = part
    return window


def _interpolated_sum(values: Float32, down: Float64, right: Float64) -> tuple[Float32, int]:
    """Sum over cells of their values at displacements, for all corners; cubic convolution.

    Args:
        values: float32 [2R + 1, 2R + 1, n].
        down: float64 [n], displacement of each cell to the south.
        right: to the east.

    Returns:
        float32 [2 · `CORNERS` + 1, 2 · `CORNERS` + 1], and how many cells are in the sum: those for
        which all that interpolation asks for lies within `REACH_CELLS`.
    """
    y, x = np.floor(down).astype(np.intp), np.floor(right).astype(np.intp)
    tall, wide = _cubic(down - y), _cubic(right - x)
    # Four taps for each of the corners, which are a cell apart.
    taps, corners, span = 2 * CORNERS + 4, 2 * CORNERS + 1, len(values)
    top, left = (first - CORNERS - 1 + REACH_CELLS for first in (y, x))
    last = span - taps
    near = np.flatnonzero((top >= 0) & (top <= last) & (left >= 0) & (left <= last))
    first = (top * span + left)[near]
    steps = (span * np.arange(taps)[:, None] + np.arange(taps)).reshape(-1, 1)
    asked = values.reshape(span * span, -1)[first + steps, near].reshape(taps, taps, -1)
    across = _weighted(asked.swapaxes(0, 1), wide[:, near], corners).swapaxes(0, 1)
    total = _weighted(across, tall[:, near], corners)
    return np.asarray(total.sum(axis=2), dtype=np.float32), len(near)


def _weighted(samples: Float32, weights: Float32, count: int) -> Float32:
    """Sums of four neighbours along the first axis, weighted.

    Args:
        samples: float32 [count + 3, m, n].
        weights: float32 [4, n].
        count: of sums.

    Returns:
        float32 [count, m, n].
    """
    total: Float32 = samples[:count] * weights[0]
    for tap in range(1, 4):
        total += samples[tap : tap + count] * weights[tap]
    return total


def _cubic(t: Float64) -> Float32:
    """Weights of the four samples around a point a share t past the second, float32 [4, n].

    Keys, Cubic convolution interpolation for digital image processing (1981), a = −1/2.
    """
    return np.stack(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ]
    ).astype(np.float32)
