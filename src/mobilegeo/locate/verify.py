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

from mobilegeo.locate.likeness import REACH_CELLS as KNOWN_CELLS
from mobilegeo.locate.likeness import Likeness

REACH_CELLS = 3
"""How far a cell looks for its match: 24 m with cells of 8 m."""

NEAR_CELLS = 1
"""Votes for at most this displacement agree: a cell's match is rarely sharper."""

CHANCE = ((2 * NEAR_CELLS + 1) / (2 * REACH_CELLS + 1)) ** 2
"""Share of agreeing votes when matches fall anywhere."""

DOUBT_CELLS = 9.0
"""As many votes by chance are added to those counted, so that a template of a few cells, whose
agreement means little, cannot be sure of itself."""


def agreement(seen: Likeness, south: int = 0, east: int = 0) -> float:
    """Share of the template's cells that agree with a place, 0 … 1; `CHANCE` without any.

    Args:
        seen: the template's cells, each compared with the map around it.
        south: of the place, in cells from the middle of what was compared; at most
            `likeness.CORNERS` either way.
        east: likewise.
    """
    middle = KNOWN_CELLS + np.array([south, east])
    rows, columns = (slice(m - REACH_CELLS, m + REACH_CELLS + 1) for m in middle)
    likeness = seen.values[rows, columns]
    if seen.known is not None:
        likeness = likeness[:, :, seen.known[tuple(middle)]]
    side = 2 * REACH_CELLS + 1
    down, right = np.divmod(likeness.reshape(side * side, -1).argmax(axis=0), side)
    away = np.maximum(abs(down - REACH_CELLS), abs(right - REACH_CELLS))
    votes = np.count_nonzero(away <= NEAR_CELLS)
    return float((votes + DOUBT_CELLS * CHANCE) / (len(away) + DOUBT_CELLS))
