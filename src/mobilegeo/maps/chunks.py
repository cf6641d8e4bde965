"""Grids that are stored in square chunks: which chunks a window touches, and the window itself.

Cell (cx, cy) of a grid lies in chunk (cy // side, cx // side). Indices grow to the east and to the
*north*, while arrays are images, whose row 0 is the northernmost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def fill_window(
    window: Array,
    x0: int,
    y0: int,
    side: int,
    chunks: Collection[tuple[int, int]],
    load: Callable[[int, int], Array],
) -> None:
    """Lays chunks into a window of their grid; what no chunk covers stays as it is.

    Args:
        window: [H, W, ...], row 0 the northernmost; written to.
        x0: westernmost column of the window, in cells.
        y0: southernmost row of the window, in cells.
        side: cells along a side of a chunk.
        chunks: (row, column) of the chunks that exist.
        load: gives a chunk by row and column, [side, side, ...], row 0 the northernmost.
    """
    height, width = window.shape[:2]
    for row, to_y, from_y in _pieces(y0, y0 + height, side):
        for column, to_x, from_x in _pieces(x0, x0 + width, side):
            if (row, column) in chunks:
                # Arrays count rows from the north, pieces from the south.
                window[::-1][to_y, to_x] = load(row, column)[::-1][from_y, from_x]


def _pieces(first: int, last: int, side: int) -> list[tuple[int, slice, slice]]:
    """Chunks along one axis that cells [first, last) touch, and where they lie in both."""
    pieces = []
    for chunk in range(first // side, (last - 1) // side + 1):
        start, stop = max(first, chunk * side), min(last, (chunk + 1) * side)
        inside = slice(start - chunk * side, stop - chunk * side)
        pieces.append((chunk, slice(start - first, stop - first), inside))
    return pieces
