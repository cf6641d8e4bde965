"""The coarse search: blocks of the map, the scores over them, and the places that stand out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.locate.prior import Box

Float32 = NDArray[np.float32]

BLOCK_CELLS = 200
"""Side of the blocks in which a large area is correlated; bounds the memory."""

MODE_DISTANCE_M = 32.0
"""Peaks nearer than this to a higher one belong to it."""

MAX_MODES = 4
"""How many of the highest places are kept."""


@dataclass(frozen=True)
class Mode:
    """A place where the photo fits the map.

    Attributes:
        x_m, y_m: `visible_centre` of the view, in the map's frame.
        score: masked cosine similarity, −1 … 1.
        view: the view that gave it.
    """

    x_m: float
    y_m: float
    score: float
    view: GroundView

    def distance_m(self, other: Mode) -> float:
        """Distance on the ground."""
        return math.hypot(self.x_m - other.x_m, self.y_m - other.y_m)


@dataclass(frozen=True)
class Heatmap:
    """Best score over all hypotheses at each place of one block.

    Attributes:
        scores: float32 [R, C], row 0 in the north; −1 where not allowed.
        box: outermost template centres, metres.
    """

    scores: Float32
    box: Box


@dataclass(frozen=True)
class Block:
    """Grid cells x0 … x0 + width, y0 … y0 + height; its corners are the places compared."""

    x0: int
    y0: int
    width: int
    height: int
    cell_m: float

    def corners(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give x of the columns and y of the rows of corners, metres; row 0 in the north."""
        x = (self.x0 + np.arange(self.width + 1.0)) * self.cell_m
        y = (self.y0 + self.height - np.arange(self.height + 1.0)) * self.cell_m
        return x, y


@dataclass(frozen=True)
class Scores:
    """Scores float32 [hypotheses, height + 1, width + 1] at the corners of a block."""

    values: Float32
    block: Block


class Scan:
    """Gathers what the blocks of a coarse search found."""

    def __init__(self) -> None:
        self.modes: list[Mode] = []
        self.count = 0
        self._sum = 0.0
        self._squares = 0.0
        self._heatmaps: list[Heatmap] = []

    def add(self, scores: Scores, views: Sequence[GroundView]) -> None:
        """Takes a block's statistics and its modes."""
        allowed = scores.values[scores.values > -1.0].astype(np.float64)
        if len(allowed) == 0:
            return
        self.count += len(allowed)
        self._sum += float(allowed.sum())
        self._squares += float((allowed**2).sum())
        x, y = scores.block.corners()
        self._heatmaps.append(Heatmap(scores.values.max(axis=0), Box(x[0], y[-1], x[-1], y[0])))
        found = list(_modes(scores, views))
        self.modes = _distinct(sorted(self.modes + found, key=lambda m: -m.score))

    def noise(self) -> tuple[float, float]:
        """Mean and standard deviation of all scores."""
        mean = self._sum / self.count
        return mean, math.sqrt(max(self._squares / self.count - mean**2, 1e-12))

    def heatmap_around(self, mode: Mode) -> Heatmap:
        """The heatmap whose box is nearest to a mode."""

        def outside(heatmap: Heatmap) -> float:
            b = heatmap.box
            dx = max(b.west - mode.x_m, 0.0, mode.x_m - b.east)
            dy = max(b.south - mode.y_m, 0.0, mode.y_m - b.north)
            return math.hypot(dx, dy)

        return min(self._heatmaps, key=outside)


def blocks(areas: Sequence[Box], cell_m: float) -> Iterator[Block]:
    """Cuts areas, widened to whole cells, into blocks of at most `BLOCK_CELLS` a side."""
    for area in areas:
        west, south = math.floor(area.west / cell_m), math.floor(area.south / cell_m)
        east, north = math.ceil(area.east / cell_m), math.ceil(area.north / cell_m)
        for y0 in range(south, north, BLOCK_CELLS):
            for x0 in range(west, east, BLOCK_CELLS):
                width, height = min(BLOCK_CELLS, east - x0), min(BLOCK_CELLS, north - y0)
                yield Block(x0, y0, width, height, cell_m)


def _modes(scores: Scores, views: Sequence[GroundView]) -> Iterator[Mode]:
    """The highest places of a block, at least `MODE_DISTANCE_M` apart, best first."""
    best = scores.values.max(axis=0)
    which = scores.values.argmax(axis=0)
    x, y = scores.block.corners()
    reach = math.ceil(MODE_DISTANCE_M / scores.block.cell_m)
    remaining = best.copy()
    for _ in range(MAX_MODES):
        row, column = np.unravel_index(int(remaining.argmax()), remaining.shape)
        if remaining[row, column] <= -1.0:
            return
        view = views[int(which[row, column])]
        yield Mode(float(x[column]), float(y[row]), float(best[row, column]), view)
        remaining[
            max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
        ] = -1.0


def _distinct(modes: Sequence[Mode]) -> list[Mode]:
    """Drops modes that lie within `MODE_DISTANCE_M` of a better one."""
    kept: list[Mode] = []
    for mode in modes:
        if all(mode.distance_m(other) > MODE_DISTANCE_M for other in kept):
            kept.append(mode)
        if len(kept) == MAX_MODES:
            break
    return kept
