"""A second opinion on an aligned place: does each cell of the photo, asked alone, say the same?

The peak of an alignment is a sum over hundreds of cells, in which a few strong ones, or a mild
resemblance of all (rows of houses, fields), can outweigh the rest. Here every cell of the template
looks for its own best match within `REACH_CELLS` of where the alignment puts it, and votes for the
displacement found. At the right place most cells vote for none; at a wrong one the votes scatter,
and by chance nine of 49 fall within a cell of it. The vote needs nothing that the pack does not
hold, no second network and no imagery, and tells right from wrong places better than the peak, its
margin, or parts of the template larger than a cell (`docs/results/calibration.md`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mobilegeo.locate.correlate import Template

Float32 = NDArray[np.float32]

REACH_CELLS = 3
"""How far a cell looks for its match: 24 m with cells of 8 m."""

NEAR_CELLS = 1
"""Votes for at most this displacement agree: a cell's match is rarely sharper."""

CHANCE = ((2 * NEAR_CELLS + 1) / (2 * REACH_CELLS + 1)) ** 2
"""Share of agreeing votes when matches fall anywhere."""

DOUBT_CELLS = 9.0
"""As many votes by chance are added to those counted, so that a template of a few cells, whose
agreement means little, cannot be sure of itself."""


def agreement(
    template: Template,
    cells: Float32,
    valid: NDArray[np.bool_],
    row: int,
    column: int,
) -> float:
    """Share of the template's cells that agree with its place, 0 … 1; `CHANCE` without any.

    Args:
        template: the photo's descriptors [h, w, C].
        cells: float32 [H, W, C], the map's unit descriptors, zero without data.
        valid: bool [H, W], where the map has data.
        row: of the corner of the map's grid on which the template's middle lies.
        column: of that corner.
    """
    height, width = template.valid.shape
    top, left = row - height // 2, column - width // 2
    known = _cut(valid[..., None].astype(np.float32), top, left, height, width)[..., 0]
    asked = template.valid & (known > 0)
    own = template.cells[asked]
    reach = range(-REACH_CELLS, REACH_CELLS + 1)
    shifts = [(down, right) for down in reach for right in reach]
    likeness = np.empty((len(shifts), len(own)), dtype=np.float32)
    for number, (down, right) in enumerate(shifts):
        there = _cut(cells, top + down, left + right, height, width)[asked]
        np.einsum("nc,nc->n", own, there, out=likeness[number])
    voted = likeness.argmax(axis=0)
    agreeing = [max(abs(down), abs(right)) <= NEAR_CELLS for down, right in shifts]
    votes = float(np.array(agreeing)[voted].sum())
    return (votes + DOUBT_CELLS * CHANCE) / (len(own) + DOUBT_CELLS)


def _cut(grid: Float32, top: int, left: int, height: int, width: int) -> Float32:
    """A window of a grid [H, W, C], zero where it lies outside."""
    window = np.zeros((height, width, grid.shape[2]), dtype=np.float32)
    rows = slice(max(0, top), max(0, top + height))
    columns = slice(max(0, left), max(0, left + width))
    part = grid[rows, columns]
    y, x = rows.start - top, columns.start - left
    window[y : y + part.shape[0], x : x + part.shape[1]] = part
    return window
