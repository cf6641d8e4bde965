"""Where to look on a large map: the map at half resolution, in two thirds of the directions.

Descriptors of 2 × 2 cells are added up, in the directions in which the map itself varies most; a
template likewise. The masked cosine correlation over all of the map
then costs a small part of it, and its best places are where alignment looks closely. The true place
was always among the best 16 (`docs/results/whole_map.md`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.locate.correlate import MapSpectrum, Template, threads
from mobilegeo.locate.prior import Box
from mobilegeo.locate.scan import MODE_DISTANCE_M, Block, blocks
from mobilegeo.maps.cells import CHUNK_CELLS, CellBox
from mobilegeo.maps.descriptors import DescriptorBasis, unit_cells

Float32 = NDArray[np.float32]

POOL = 2
"""Cells along a side that become one."""

CHANNELS = 32
"""Directions kept, the strongest."""

PLACES = 16
"""Places that are looked at closely: on 26 km² eight would do, on 105 km² one photo of 73 had its
place between the ninth and the sixteenth."""

REACH_M = 64.0
"""How far around each of them: the pooled peak's blur, and enough else to measure chance on."""

Allowed = Callable[[int, Block], NDArray[np.bool_]]
"""For a template's number and a block: the corners at which it may lie, bool [h + 1, w + 1]."""


class Descriptors(Protocol):
    """The part of a map pack that is read here."""

    spec: ImageSpec
    basis: DescriptorBasis
    feature_extent: CellBox
    feature_chunks: frozenset[tuple[int, int]]

    def features(
        self, x0_cell: int, y0_cell: int, width: int, height: int
    ) -> tuple[Float32, NDArray[np.bool_]]:
        """See `MapPack.features`."""
        ...


@dataclass(frozen=True)
class Place:
    """A corner of the pooled grid that is worth a closer look.

    Attributes:
        x_m, y_m: in the map's frame.
        strength: score · √cells of the best template there, both pooled.
        number: which template that is.
    """

    x_m: float
    y_m: float
    strength: float
    number: int

    @property
    def box(self) -> Box:
        """What to look at closely."""
        x, y = self.x_m, self.y_m
        return Box(x - REACH_M, y - REACH_M, x + REACH_M, y + REACH_M)


class CoarseMap:
    """A whole map, pooled; made once and used for any number of photos.

    Takes 32 · 4 bytes for each pooled cell: 50 MB for 100 km² in cells of 8 m.

    Args:
        descriptors: the map.
    """

    def __init__(self, descriptors: Descriptors) -> None:
        self._map = descriptors
        self._cell_m = POOL * descriptors.spec.cell_m
        extent = descriptors.feature_extent
        # Chunks begin at multiples of 64 cells, so that pools never straddle them.
        self._x0, self._y0 = extent.x0 // POOL, extent.y0 // POOL
        self._height, self._width = extent.height // POOL, extent.width // POOL
        self._channels = min(CHANNELS, descriptors.basis.channels)
        self._cells = np.zeros((self._height, self._width, self._channels), np.float32)
        self._valid = np.zeros((self._height, self._width), np.bool_)
        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(self._fill, sorted(descriptors.feature_chunks)))

    def places(
        self,
        templates: Sequence[Template],
        areas: Sequence[Box],
        allowed: Allowed,
        count: int = PLACES,
    ) -> list[Place]:
        """The most promising places for any of some templates.

        Args:
            templates: of one photo, on the map's own cells.
            areas: where to look.
            allowed: where each template may lie.
            count: how many places.

        Returns:
            At most `count`, the most promising first, more than `MODE_DISTANCE_M` apart.
        """
        pooled = [self._pooled(template) for template in templates]
        with ThreadPoolExecutor(threads()) as pool:
            found = pool.map(
                lambda block: self._places(block, pooled, allowed, count),
                blocks(areas, self._cell_m),
            )
            ranked = sorted((p for some in found for p in some), key=lambda p: -p.strength)
        chosen: list[Place] = []
        for place in ranked:
            near = (math.hypot(place.x_m - c.x_m, place.y_m - c.y_m) for c in chosen)
            if all(distance > MODE_DISTANCE_M for distance in near):
                chosen.append(place)
            if len(chosen) == count:
                break
        return chosen

    def _fill(self, chunk: tuple[int, int]) -> None:
        row, column = chunk
        cells, valid = self._map.features(
            column * CHUNK_CELLS, row * CHUNK_CELLS, CHUNK_CELLS, CHUNK_CELLS
        )
        side = CHUNK_CELLS // POOL
        top = self._height - (row * side - self._y0) - side
        left = column * side - self._x0
        place = np.s_[top : top + side, left : left + side]
        self._cells[place], self._valid[place] = self._pool(cells, valid)

    def _pool(self, cells: Float32, valid: NDArray[np.bool_]) -> tuple[Float32, NDArray[np.bool_]]:
        """Pools of a grid of even sides, of unit length, and those that are half valid."""
        rows, columns = valid.shape[0] // POOL, valid.shape[1] // POOL
        squares = cells[..., : self._channels].reshape(rows, POOL, columns, POOL, -1)
        known = valid.reshape(rows, POOL, columns, POOL).sum(axis=(1, 3)) >= POOL * POOL / 2
        return unit_cells(squares.sum(axis=(1, 3)), known), known

    def _pooled(self, template: Template) -> Template:
        """A template on the pooled grid, padded to an even side alike on all sides."""
        height, width = template.valid.shape
        pad = [(-side % (2 * POOL) // 2,) * 2 for side in (height, width)]
        cells = np.pad(template.cells, (*pad, (0, 0)))
        valid = np.pad(template.valid, pad)
        return Template(*self._pool(cells, valid))

    def _places(
        self, block: Block, templates: Sequence[Template], allowed: Allowed, count: int
    ) -> list[Place]:
        """The strongest places of a block, at most `count`."""
        margin = max(max(t.valid.shape) for t in templates) // 2
        cells, valid = self._window(block, margin)
        if not valid.any():
            return []
        spectrum = MapSpectrum(cells, valid, 2 * margin)
        inner = (slice(margin, margin + block.height + 1), slice(margin, margin + block.width + 1))
        best = np.full((block.height + 1, block.width + 1), -np.inf, np.float32)
        which = np.zeros(best.shape, np.int32)
        for number, template in enumerate(templates):
            scores = spectrum.correlate(template)[inner]
            reachable = (scores > -1.0) & allowed(number, block)
            weight = np.float32(math.sqrt(template.valid.sum()))
            better = reachable & (scores * weight > best)
            best[better], which[better] = scores[better] * weight, number
        return _highest(best, which, block, count)

    def _window(self, block: Block, margin: int) -> tuple[Float32, NDArray[np.bool_]]:
        """Cells of a block and its margin, zero outside of the map; row 0 in the north."""
        height, width = block.height + 2 * margin, block.width + 2 * margin
        top = self._y0 + self._height - (block.y0 - margin + height)
        left = block.x0 - margin - self._x0
        rows = slice(max(0, top), max(0, min(self._height, top + height)))
        columns = slice(max(0, left), max(0, min(self._width, left + width)))
        cells = np.zeros((height, width, self._cells.shape[2]), np.float32)
        valid = np.zeros((height, width), np.bool_)
        to = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        if rows.start < rows.stop and columns.start < columns.stop:
            cells[to], valid[to] = self._cells[rows, columns], self._valid[rows, columns]
        return cells, valid


def _highest(strengths: Float32, which: NDArray[np.int32], block: Block, count: int) -> list[Place]:
    """The highest corners at least `MODE_DISTANCE_M` apart; the strengths are used up."""
    x, y = block.corners()
    reach = math.ceil(MODE_DISTANCE_M / block.cell_m)
    places: list[Place] = []
    while len(places) < count:
        row, column = np.unravel_index(int(strengths.argmax()), strengths.shape)
        strength = float(strengths[row, column])
        if strength == -math.inf:
            break
        number = int(which[row, column])
        places.append(Place(float(x[column]), float(y[row]), strength, number))
        rows = slice(max(0, row - reach), row + reach + 1)
        strengths[rows, max(0, column - reach) : column + reach + 1] = -np.inf
    return places
