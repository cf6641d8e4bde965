"""Where a pack's tiles lie: eight bytes a tile, read where they are needed.

Tiles are sorted by footprint, then from south to north, then from west to east, and every footprint
has a grid of its own. `grid.npy` holds each tile's place on it as one number,

    key = j · 2³² + i,   −2³¹ ≤ i < 2³¹,

which ascends within a footprint: the tiles of a box are found by binary search, line by line,
without looking at any other. Metres and degrees follow from the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.geo import Array, Bounds, LatLon, LocalFrame
from mobilegeo.maps.runs import Runs
from mobilegeo.maps.tiling import Extent, Tile

LINE = 1 << 32


def grid_keys(i: NDArray[np.integer[Any]], j: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Places on a grid, columns i and lines j, as keys, int64 [N]."""
    return np.asarray(j, np.int64) * LINE + np.asarray(i, np.int64)


@dataclass(frozen=True, slots=True)
class TileLevel:
    """The tiles of one footprint: rows from `start` up to `stop`.

    Attributes:
        footprint_m: side of a tile, metres.
        gsd_m: metres a pixel at which they were embedded.
        stride_m: step from tile to tile; tile (i, j) begins i and j strides from the origin.
        start, stop: their rows in the pack.
    """

    footprint_m: float
    gsd_m: float
    stride_m: float
    start: int
    stop: int


@dataclass(frozen=True)
class Tiles:
    """Some tiles, one entry each; float64 [n].

    Attributes:
        frame: in which they lie.
        x_m, y_m: centres in the frame, metres.
        footprint_m: sides, metres.
        gsd_m: metres a pixel at which they were embedded.
    """

    frame: LocalFrame
    x_m: Array
    y_m: Array
    footprint_m: Array
    gsd_m: Array

    def __len__(self) -> int:
        return len(self.x_m)

    @property
    def lat(self) -> Array:
        """Centres, degrees north."""
        return self._centres[0]

    @property
    def lon(self) -> Array:
        """Centres, degrees east."""
        return self._centres[1]

    @cached_property
    def boxes(self) -> tuple[Array, Array, Array, Array]:
        """South, west, north and east of the boxes in degrees around their corners."""
        half = self.footprint_m / 2
        corners = [
            self.frame.to_degrees(self.x_m + a * half, self.y_m + b * half)
            for a, b in ((-1, -1), (-1, 1), (1, -1), (1, 1))
        ]
        lats, lons = (np.stack(values) for values in zip(*corners, strict=True))
        return lats.min(0), lons.min(0), lats.max(0), lons.max(0)

    @cached_property
    def _centres(self) -> tuple[Array, Array]:
        return self.frame.to_degrees(self.x_m, self.y_m)


class TileTable:
    """All tiles of a pack, in the order of its vectors.

    The columns `lat`, `lon`, `x_m`, `y_m`, `footprint_m` and `gsd_m`, float64 [N], are computed for
    the whole pack when one is first asked for; `at` computes them for some rows alone.

    Args:
        frame: the pack's.
        levels: its footprints, in the order of their rows.
        keys: int64 [N], see above; memory-mapped.
    """

    def __init__(
        self, frame: LocalFrame, levels: Sequence[TileLevel], keys: NDArray[np.int64]
    ) -> None:
        self.levels = tuple(levels)
        self._frame = frame
        self._keys = keys
        self._stops = np.array([level.stop for level in self.levels])
        facts = [(level.footprint_m, level.gsd_m, level.stride_m) for level in self.levels]
        self._footprint_m, self._gsd_m, self._stride_m = np.array(facts).T

    def __len__(self) -> int:
        return len(self._keys)

    def at(self, rows: NDArray[np.integer[Any]] | Sequence[int]) -> Tiles:
        """Some tiles, by their rows, int [n], in the order given."""
        rows = np.asarray(rows, dtype=np.int64)
        level = np.searchsorted(self._stops, rows, side="right")
        i, j = _places(np.asarray(self._keys[rows]))
        footprint_m, stride_m = self._footprint_m[level], self._stride_m[level]
        x_m, y_m = i * stride_m + footprint_m / 2, j * stride_m + footprint_m / 2
        return Tiles(self._frame, x_m, y_m, footprint_m, self._gsd_m[level])

    def centres_m(self, footprint_m: float, rows: Runs) -> tuple[Array, Array]:
        """Centres x and y of some tiles of one footprint, metres, float64 [len(rows)] each."""
        level = self.level(footprint_m)
        i, j = _places(np.asarray(self._keys[rows.rows()]))
        x_m, y_m = i * level.stride_m + footprint_m / 2, j * level.stride_m + footprint_m / 2
        return np.asarray(x_m, np.float64), np.asarray(y_m, np.float64)

    def tile(self, row: int) -> Tile:
        """One row as a record."""
        one = self.at([row])
        return Tile(
            bounds=Bounds(*(float(side[0]) for side in one.boxes)),
            centre=LatLon(float(one.lat[0]), float(one.lon[0])),
            footprint_m=float(one.footprint_m[0]),
            gsd_m=float(one.gsd_m[0]),
            row=int(row),
        )

    def level(self, footprint_m: float) -> TileLevel:
        """The tiles of one of the pack's footprints."""
        return next(level for level in self.levels if level.footprint_m == footprint_m)

    def rows_of(self, footprint_m: float) -> Runs:
        """All tiles of one footprint."""
        level = self.level(footprint_m)
        return Runs.between(level.start, level.stop)

    def rows_near(self, footprint_m: float, box: Extent) -> Runs:
        """The tiles of one footprint whose centres lie in a box, and some at most a step outside.

        Takes a binary search a line of tiles, whatever the size of the map.
        """
        level = self.level(footprint_m)
        keys = self._keys[level.start : level.stop]
        edges = np.array([box.west_m, box.south_m, box.east_m, box.north_m])
        places = (edges - footprint_m / 2) / level.stride_m
        lowest, highest = _places(keys[[0, -1]])[1] if len(keys) else (0, -1)
        first, last = (
            max(int(lowest), _whole(places[1]) - 1),
            min(int(highest), _whole(places[3]) + 1),
        )
        lines = np.arange(first, last + 1)
        starts = np.searchsorted(keys, grid_keys(np.full_like(lines, _whole(places[0])), lines))
        stops = np.searchsorted(keys, grid_keys(np.full_like(lines, _whole(places[2]) + 2), lines))
        return Runs.of_spans(starts + level.start, stops + level.start)

    @property
    def lat(self) -> Array:
        """Centres of all tiles, degrees north."""
        return self._all.lat

    @property
    def lon(self) -> Array:
        """Centres of all tiles, degrees east."""
        return self._all.lon

    @property
    def x_m(self) -> Array:
        """Centres of all tiles in the frame, metres."""
        return self._all.x_m

    @property
    def y_m(self) -> Array:
        """Centres of all tiles in the frame, metres."""
        return self._all.y_m

    @property
    def footprint_m(self) -> Array:
        """Sides of all tiles, metres."""
        return self._all.footprint_m

    @property
    def gsd_m(self) -> Array:
        """Metres a pixel at which all tiles were embedded."""
        return self._all.gsd_m

    @cached_property
    def _all(self) -> Tiles:
        return self.at(np.arange(len(self)))


def _places(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns i and lines j of keys."""
    j = (keys + LINE // 2) >> 32
    return keys - (j << 32), j


def _whole(place: float) -> int:
    """A place on a grid, cut to the tiles that the widest map can have."""
    return int(np.floor(np.clip(place, -(2**30), 2**30)))
