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
        strength: score · √cells, with which modes of unlike templates are compared: by chance,
            the mean over n cells scatters as 1 / √n.
        view: the view that gave it.
    """

    x_m: float
    y_m: float
    score: float
    strength: float
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
    """What every hypothesis scores at the corners of a block.

    Attributes:
        values: float32 [hypotheses, height + 1, width + 1]; −1 where the map has too little data.
        allowed: bool, of the same shape: where the prior lets the camera be.
        weights: float32 [hypotheses], √cells of each template.
        block: the block.
    """

    values: Float32
    allowed: NDArray[np.bool_]
    weights: Float32
    block: Block

    @property
    def open(self) -> NDArray[np.bool_]:
        """Places with data inside the prior, bool of the shape of `values`."""
        return self.allowed & (self.values > -1.0)

    @property
    def strengths(self) -> Float32:
        """Values · weights, float32 of the shape of `values`."""
        return self.values * self.weights[:, None, None]


class Scan:
    """Gathers what the blocks of a coarse search found."""

    def __init__(self) -> None:
        self.modes: list[Mode] = []
        self.trials = 0
        self._count = 0
        self._sum = 0.0
        self._squares = 0.0
        self._heatmaps: list[Heatmap] = []

    def add(self, scores: Scores, views: Sequence[GroundView]) -> None:
        """Takes a block's statistics and its modes."""
        strengths = scores.strengths
        measured = strengths[scores.values > -1.0].astype(np.float64)
        self._count += len(measured)
        self._sum += float(measured.sum())
        self._squares += float((measured**2).sum())
        reachable = scores.open
        if not reachable.any():
            return
        self.trials += int(np.count_nonzero(reachable))
        x, y = scores.block.corners()
        best = np.where(reachable, scores.values, np.float32(-1.0)).max(axis=0)
        self._heatmaps.append(Heatmap(best, Box(x[0], y[-1], x[-1], y[0])))
        strengths[~reachable] = -np.inf
        found = list(_modes(scores, strengths, views))
        self.modes = _distinct(sorted(self.modes + found, key=lambda m: -m.strength))

    def noise(self) -> tuple[float, float]:
        """Mean and standard deviation of all strengths, allowed or not."""
        mean = self._sum / self._count
        return mean, math.sqrt(max(self._squares / self._count - mean**2, 1e-12))

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


def _modes(scores: Scores, strengths: Float32, views: Sequence[GroundView]) -> Iterator[Mode]:
    """The strongest places of a block, at least `MODE_DISTANCE_M` apart, strongest first."""
    which = strengths.argmax(axis=0)
    remaining = strengths.max(axis=0)
    x, y = scores.block.corners()
    reach = math.ceil(MODE_DISTANCE_M / scores.block.cell_m)
    for _ in range(MAX_MODES):
        row, column = np.unravel_index(int(remaining.argmax()), remaining.shape)
        strength = float(remaining[row, column])
        if strength == -np.inf:
            return
        number = int(which[row, column])
        score = float(scores.values[number, row, column])
        yield Mode(float(x[column]), float(y[row]), score, strength, views[number])
        rows = slice(max(0, row - reach), row + reach + 1)
        remaining[rows, max(0, column - reach) : column + reach + 1] = -np.inf


def _distinct(modes: Sequence[Mode]) -> list[Mode]:
    """Drops modes that lie within `MODE_DISTANCE_M` of a better one."""
    kept: list[Mode] = []
    for mode in modes:
        if all(mode.distance_m(other) > MODE_DISTANCE_M for other in kept):
            kept.append(mode)
        if len(kept) == MAX_MODES:
            break
    return kept
