"""The user's map as blocks of ground, some of which are held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mobilegeo.errors import MapError, UsageError
from mobilegeo.geo import LatLon, LocalFrame
from mobilegeo.learn.datasets.simulated import LEAST_TEXTURE, UPSAMPLING
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.simulate.raster_ground import without_holes
from mobilegeo.maps import open_map
from mobilegeo.maps.heights import HeightSource

FOOTPRINTS_M = (40.0, 300.0)
"""Smallest and largest side of the simulated views."""
LARGEST_BLOCK_M, LEAST_BLOCK_M, SHRINK = 600.0, 90.0, 0.8
LEAST_BLOCKS = 4
HELD_OUT_SHARE = 0.2
MOST_BLOCKS = 256
"""Of a larger map so many are drawn; with ten minutes not even these are all visited."""
LEAST_VALID = 0.5
_LOOK_PX = 64
KEPT_BLOCKS = 8
"""Read blocks in memory: up to 90 MB each with heights."""


@dataclass(frozen=True, slots=True)
class Block:
    """A north-up rectangle of the map.

    Attributes:
        number: tells it from the others.
        west_m, north_m: its upper-left corner in the map's frame.
        width_m, depth_m: its extent to the east and to the south.
    """

    number: int
    west_m: float
    north_m: float
    width_m: float
    depth_m: float


@dataclass(frozen=True, slots=True)
class MapFacts:
    """How the map was used.

    Attributes:
        gsd_m: at which it was read, metres a pixel.
        blocks: of the map, those held out included.
        held_out: blocks that were judged on and not trained on.
        with_heights: blocks on which a surface model gave relief.
        warnings: what could not be read.
    """

    gsd_m: float
    blocks: int
    held_out: int
    with_heights: int
    warnings: tuple[str, ...]


class Ground:
    """A map, and its surface model if there is one, cut into blocks that share no ground.

    Blocks are as large as possible, up to 600 m, so long as at least four show something.

    Args:
        paths: as for `open_map`.
        dsm: a raster of heights; None takes relief for unknown.
        size_px: side of the encoder's input.
        seed: of the choice among more than `MOST_BLOCKS` blocks.

    Attributes:
        gsd_m: at which the map is read: its own, or that of the smallest view if it is coarser.
        blocks: those that show something.
        with_heights: numbers of those on which the surface model has heights.

    Raises:
        MapError: a file cannot be read, or the map is too small, too coarse or without texture.
        UsageError: the surface model is one of another area.
    """

    def __init__(self, paths: Sequence[Path], dsm: Path | None, size_px: int, seed: int) -> None:
        self._map = open_map(paths)
        self._dsm = None if dsm is None else HeightSource(dsm)
        self._frame = LocalFrame(self._map.bounds.centre)
        self.name = " ".join(self._map.names)
        self.gsd_m = max(self._map.gsd_m, FOOTPRINTS_M[0] / size_px)
        self._require_fine_enough(size_px)
        self.blocks = self._usable_blocks(seed)
        self.with_heights = frozenset(b.number for b in self.blocks if self._has_heights(b))
        if self._dsm is not None and not self.with_heights:
            raise UsageError(
                self._dsm.name,
                "has no heights where the map has imagery",
                "give the surface model of the same area",
            )
        self.source = lru_cache(maxsize=KEPT_BLOCKS)(self._read)
        """The imagery of a block."""

    def facts(self, held_out: int) -> MapFacts:
        """How the map was used, with so many blocks held out."""
        return MapFacts(
            gsd_m=self.gsd_m,
            blocks=len(self.blocks),
            held_out=held_out,
            with_heights=len(self.with_heights),
            warnings=tuple(self._map.warnings),
        )

    def split(self, seed: int) -> tuple[list[Block], list[Block]]:
        """Blocks to train on, and a fifth, at least one, to judge on."""
        order = np.random.default_rng(seed).permutation(len(self.blocks))
        held_out = max(1, round(HELD_OUT_SHARE * len(order)))
        return (
            [self.blocks[k] for k in sorted(order[held_out:])],
            [self.blocks[k] for k in sorted(order[:held_out])],
        )

    def _require_fine_enough(self, size_px: int) -> None:
        coarsest = FOOTPRINTS_M[1] / size_px * UPSAMPLING
        if self.gsd_m > coarsest:
            raise MapError(
                self.name,
                f"has pixels of {self.gsd_m:.1f} m, too coarse for drone views",
                f"give imagery of {coarsest:.1f} m a pixel or finer",
            )

    def _usable_blocks(self, seed: int) -> list[Block]:
        west, south, east, north = self._box()
        side_m = LARGEST_BLOCK_M
        while True:
            grid = _grid(west, south, east, north, side_m)
            if min(grid[0].width_m, grid[0].depth_m) < LEAST_BLOCK_M:
                break
            chosen = np.random.default_rng(seed).permutation(len(grid))[:MOST_BLOCKS]
            usable = [grid[k] for k in sorted(chosen) if self._shows_something(grid[k])]
            if len(usable) >= LEAST_BLOCKS:
                return usable
            side_m *= SHRINK
        least_m = 2.0 * LEAST_BLOCK_M
        if min(east - west, north - south) < least_m:
            raise MapError(
                self.name,
                f"is {east - west:.0f} × {north - south:.0f} m, too small to train on one part "
                "and judge on another",
                f"give at least {least_m:.0f} × {least_m:.0f} m",
            )
        raise MapError(
            self.name,
            "shows too little to recognise: it is nearly empty, water or of one colour",
            "give imagery with buildings, roads or fields",
        )

    def _box(self) -> tuple[float, float, float, float]:
        """West, south, east and north in the frame, metres."""
        box = self._map.bounds
        corners = [
            self._frame.xy(LatLon(lat, lon))
            for lat in (box.south, box.north)
            for lon in (box.west, box.east)
        ]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def _shows_something(self, block: Block) -> bool:
        gsd_m = max(block.width_m, block.depth_m) / _LOOK_PX
        size = math.floor(block.width_m / gsd_m), math.floor(block.depth_m / gsd_m)
        patch = self._map.read(self._frame, block.west_m, block.north_m, gsd_m, *size)
        seen = patch.valid & (patch.image.min(axis=2) <= 250)
        return bool(seen.mean() >= LEAST_VALID and patch.image[seen].std() > LEAST_TEXTURE)

    def _has_heights(self, block: Block) -> bool:
        if self._dsm is None:
            return False
        cell_m = max(block.width_m, block.depth_m) / _LOOK_PX
        size = math.floor(block.width_m / cell_m), math.floor(block.depth_m / cell_m)
        heights = self._dsm.window(self._frame, block.west_m, block.north_m, cell_m, *size)
        return bool(np.isfinite(heights).mean() >= LEAST_VALID)

    def _read(self, block: Block) -> Source:
        size = math.floor(block.width_m / self.gsd_m), math.floor(block.depth_m / self.gsd_m)
        window = (self._frame, block.west_m, block.north_m, self.gsd_m, *size)
        heights = None
        if self._dsm is not None and block.number in self.with_heights:
            heights = without_holes(self._dsm.window(*window))
        name = f"{self.name} {block.number}"
        source = Source(name, name, self._map.read(*window).image, self.gsd_m, heights)
        _ = source.pyramid  # made before threads share it
        return source


def _grid(west: float, south: float, east: float, north: float, side_m: float) -> list[Block]:
    """Equal blocks of at most `side_m` that cover a box."""
    columns, rows = (math.ceil(length / side_m) for length in (east - west, north - south))
    width_m, depth_m = (east - west) / columns, (north - south) / rows
    return [
        Block(
            row * columns + column, west + column * width_m, north - row * depth_m, width_m, depth_m
        )
        for row in range(rows)
        for column in range(columns)
    ]
