"""Where tiles lie: overlapping squares in true metres, on a grid anchored at the frame's origin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MapError, UsageError
from mobilegeo.geo import Bounds, LatLon, LocalFrame
from mobilegeo.maps.patch import MapSource, Patch

BLOCK_TILES = 32
"""Tiles along a side of a block that is read at once; neighbours share most of their pixels."""
MIN_VALID = 0.5
"""A tile or feature cell with a smaller share of valid pixels is left out."""
MAX_SIDE_M = 500_000.0
"""Widest map of one pack: 250 km from its centre the frame is true to 8 cm in 100 m."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of the map that retrieval can name.

    Attributes:
        bounds: the box in degrees around its four corners.
        centre: its centre.
        footprint_m: its side, metres.
        gsd_m: metres a pixel at which it was embedded.
        row: its row in the pack's tables.
    """

    bounds: Bounds
    centre: LatLon
    footprint_m: float
    gsd_m: float
    row: int


@dataclass(frozen=True, slots=True)
class Extent:
    """A box in the frame, metres."""

    west_m: float
    south_m: float
    east_m: float
    north_m: float

    @property
    def width_m(self) -> float:
        """From west to east."""
        return self.east_m - self.west_m

    @property
    def height_m(self) -> float:
        """From south to north."""
        return self.north_m - self.south_m


@dataclass(frozen=True, slots=True)
class TileGrid:
    """All places where a tile of one footprint may lie.

    Tile (i, j) covers x from i · stride_m to i · stride_m + footprint_m, y likewise.

    Attributes:
        footprint_m: side of a tile, metres.
        size_px: side of its image, pixels.
        stride_px: step from tile to tile, whole pixels, so that tiles can be cut out of a block.
    """

    footprint_m: float
    size_px: int
    stride_px: int

    @property
    def gsd_m(self) -> float:
        """Metres a pixel."""
        return self.footprint_m / self.size_px

    @property
    def stride_m(self) -> float:
        """Step from tile to tile, metres."""
        return self.stride_px * self.gsd_m

    def blocks(self, extent: Extent) -> Iterator[TileBlock]:
        """Blocks that together hold every tile which overlaps the extent, south-west first."""
        for j, rows in _pieces(extent.south_m, extent.north_m, self.stride_m, self.footprint_m):
            for i, columns in _pieces(
                extent.west_m, extent.east_m, self.stride_m, self.footprint_m
            ):
                yield TileBlock(self, i, j, columns, rows)


@dataclass(frozen=True, slots=True)
class TileBlock:
    """Neighbouring tiles that share one reading of the map.

    Attributes:
        grid: the grid that they belong to.
        i, j: indices of the south-western tile.
        columns, rows: how many tiles lie side by side and above each other.
    """

    grid: TileGrid
    i: int
    j: int
    columns: int
    rows: int

    @property
    def key(self) -> str:
        """A name for it that no other block of a build has."""
        return f"{self.grid.footprint_m:g}_{self.j}_{self.i}"

    def read(self, source: MapSource, frame: LocalFrame) -> Patch:
        """The block's pixels, row 0 in the north."""
        grid = self.grid
        width, height = (
            (count - 1) * grid.stride_px + grid.size_px for count in (self.columns, self.rows)
        )
        x_m, y_m = self.i * grid.stride_m, self.j * grid.stride_m + height * grid.gsd_m
        return source.read(frame, x_m, y_m, grid.gsd_m, width, height)

    def tiles(self, patch: Patch) -> NDArray[np.int32]:
        """Which tiles have enough valid pixels, int32 [N, 2] of (i, j), by j, then by i."""
        size, step = self.grid.size_px, self.grid.stride_px
        total = np.zeros((patch.valid.shape[0] + 1, patch.valid.shape[1] + 1), np.int64)
        total[1:, 1:] = patch.valid.cumsum(0, dtype=np.int64).cumsum(1)
        counts = total[size:, size:] - total[:-size, size:] - total[size:, :-size]
        counts = (counts + total[:-size, :-size])[::-step, ::step]
        rows, columns = np.nonzero(counts >= MIN_VALID * size * size)
        return np.stack([columns + self.i, rows + self.j], axis=1).astype(np.int32)

    def cut(self, image: NDArray[np.uint8], tiles: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Images of some of its tiles, uint8 [N, size_px, size_px, 3], out of the block's."""
        size, step = self.grid.size_px, self.grid.stride_px
        left = (tiles[:, 0] - self.i) * step
        top = (self.rows - 1 - (tiles[:, 1] - self.j)) * step
        return np.stack([image[t : t + size, x : x + size] for x, t in zip(left, top, strict=True)])


def extent_of(source: MapSource, frame: LocalFrame) -> Extent:
    """The box in the frame around the map's box in degrees.

    Raises:
        MapError: the map is wider or higher than `MAX_SIDE_M`.
    """
    box = source.bounds
    t = np.linspace(0.0, 1.0, 33)
    lat = np.concatenate(
        [np.full(33, box.south), np.full(33, box.north), *[_between(box.south, box.north, t)] * 2]
    )
    lon = np.concatenate(
        [*[_between(box.west, box.east, t)] * 2, np.full(33, box.west), np.full(33, box.east)]
    )
    x, y = frame.to_metres(lat, lon)
    extent = Extent(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    if not max(extent.width_m, extent.height_m) <= MAX_SIDE_M:
        raise MapError(
            ", ".join(source.names),
            f"is wider or higher than {MAX_SIDE_M / 1000:.0f} km",
            "cut it with gdalwarp -te and build a pack of each part",
        )
    return extent


def tile_grids(
    footprints_m: tuple[float, ...], stride: float, size_px: int, extent: Extent, where: str
) -> tuple[list[TileGrid], list[str]]:
    """The grids of all footprints that the map is large enough for, smallest first, and notes.

    Args:
        footprints_m: sides of the tiles, metres.
        stride: step from tile to tile as a fraction of the footprint; rounded to whole pixels.
        size_px: side of the encoder's input.
        extent: of the map.
        where: the map's name, for errors.

    Raises:
        MapError: the map is smaller than every footprint.
        UsageError: a footprint or the stride cannot be meant.
    """
    if not footprints_m or not all(1.0 <= f <= 20_000.0 for f in footprints_m):
        raise UsageError(
            f"footprints {', '.join(f'{f:g}' for f in footprints_m) or '(none)'}",
            "not within 1 … 20000 metres",
            "give sides of tiles in metres, e.g. 60,120,240",
        )
    if not 1 / size_px <= stride <= 1.0:
        raise UsageError(
            f"stride {stride:g}",
            f"not within 1/{size_px} … 1",
            "give the step as a fraction of the footprint, e.g. 0.25",
        )
    longest = max(extent.width_m, extent.height_m)
    wanted = sorted(set(footprints_m))
    size = f"{extent.width_m:.0f} × {extent.height_m:.0f} m"
    if longest < wanted[0]:
        raise MapError(
            where,
            f"covers {size}, less than the smallest footprint of {wanted[0]:g} m",
            "give a larger map or smaller footprints with --footprint-m",
        )
    notes = [
        f"footprint {f:g} m left out: the map covers only {size}" for f in wanted if f > longest
    ]
    stride_px = max(1, round(stride * size_px))
    return [TileGrid(f, size_px, stride_px) for f in wanted if f <= longest], notes


def _pieces(
    low_m: float, high_m: float, stride_m: float, footprint_m: float
) -> Iterator[tuple[int, int]]:
    """First index and count of every run of tiles overlapping [low, high] by half a tile.

    A tile of which less than `MIN_VALID` lies inside cannot be valid enough.
    """
    first = math.ceil((low_m - (1 - MIN_VALID) * footprint_m) / stride_m)
    last = math.floor((high_m - MIN_VALID * footprint_m) / stride_m)
    for start in range(first, last + 1, BLOCK_TILES):
        yield start, min(BLOCK_TILES, last + 1 - start)


def _between(low: float, high: float, t: NDArray[np.float64]) -> NDArray[np.float64]:
    return low + (high - low) * t
