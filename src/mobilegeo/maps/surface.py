"""The height of what a map shows: roofs and crowns included, on a grid of cells in chunks.

Cell (cx, cy) covers x in [cx · 2 m, (cx + 1) · 2 m) and y likewise, like the cells of `cells`;
chunk (row, col) holds the cells with cy // 256 = row and cx // 256 = col. A stored int16 is a
height in decimetres above the surface's `base_m`, so that any datum and any mountain fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.maps.chunks import fill_window
from mobilegeo.maps.tiling import Extent

Raster = NDArray[np.float32]

SURFACE_CELL_M = 2.0
"""Side of a cell. A descriptor sums up 8 m; cells of 1 m would take four times the room."""
SURFACE_CHUNK_CELLS = 256
HEIGHT_STEP_M = 0.1
NO_HEIGHT = -32768
"""Stored where the surface model has no data."""

GROUND_REACH_M = 36.0
"""The ground at a point is sought within this distance east, west, north and south of it."""
GROUND_PERCENT = 5.0
"""The ground is taken as high as this share of the surface around lies below: under trees and
beside houses some ground shows between."""


@dataclass(frozen=True)
class SurfaceFacts:
    """What pack.json says of a surface.

    Attributes:
        source: name of the surface model's file.
        cell_m: side of a cell, metres.
        base_m: height of a stored 0, metres above the file's datum.
        low_m, high_m: lowest and highest cell, metres above the file's datum.
        area_km2: how much ground has a height.
        chunks: (row, column) of the chunks that exist.
    """

    source: str
    cell_m: float
    base_m: float
    low_m: float
    high_m: float
    area_km2: float
    chunks: tuple[tuple[int, int], ...]

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> SurfaceFacts:
        """Reads the entry back."""
        chunks = tuple((int(row), int(column)) for row, column in record["chunks"])
        return cls(**{**record, "chunks": chunks})

    def summary(self) -> dict[str, Any]:
        """The facts for `mobilegeo map info --json`."""
        return {**asdict(self), "chunks": len(self.chunks)}


class Surface:
    """The surface of a pack, read chunk by chunk.

    Args:
        facts: what pack.json says of it.
        load: reads one chunk by row and column, int16 [256, 256], row 0 the northernmost.
    """

    def __init__(self, facts: SurfaceFacts, load: Callable[[int, int], NDArray[np.int16]]) -> None:
        self.facts = facts
        self._chunks = frozenset(facts.chunks)
        self._chunk = lru_cache(maxsize=64)(load)

    def heights(self, box: Extent) -> tuple[Raster, Extent]:
        """Heights of the cells that touch a box of the frame.

        Returns:
            float32 [H, W] metres above the surface's datum, row 0 in the north, NaN without data;
            and the box that they cover exactly.
        """
        cell = self.facts.cell_m
        west, south = math.floor(box.west_m / cell), math.floor(box.south_m / cell)
        east, north = math.ceil(box.east_m / cell), math.ceil(box.north_m / cell)
        window = np.full((north - south, east - west), NO_HEIGHT, np.int16)
        fill_window(window, west, south, SURFACE_CHUNK_CELLS, self._chunks, self._chunk)
        heights = self.facts.base_m + HEIGHT_STEP_M * window.astype(np.float32)
        heights[window == NO_HEIGHT] = np.nan
        return heights, Extent(west * cell, south * cell, east * cell, north * cell)

    def ground_m(self, x_m: float, y_m: float) -> float | None:
        """Height of the bare ground at a point of the frame, `None` where the surface has a hole.

        A low percentile of the surface around the point. On a slope of 10 % it is about 3 m too
        low; a wood or roof that fills the whole neighbourhood is taken for ground.
        """
        reach = GROUND_REACH_M
        around, _ = self.heights(Extent(x_m - reach, y_m - reach, x_m + reach, y_m + reach))
        known = around[np.isfinite(around)]
        return float(np.percentile(known, GROUND_PERCENT)) if known.size else None


def surface_chunk_name(row: int, column: int) -> str:
    """Path of a chunk inside the pack."""
    return f"surface/{row}_{column}.npy"


def stored_heights(heights_m: Raster, base_m: float) -> NDArray[np.int16]:
    """Heights as stored; NaN becomes `NO_HEIGHT`; what lies 3.2 km from the base is clipped."""
    steps = np.rint((heights_m - np.float32(base_m)) / np.float32(HEIGHT_STEP_M))
    clipped = np.clip(steps, NO_HEIGHT + 1, -(NO_HEIGHT + 1))
    return np.where(np.isfinite(steps), clipped, NO_HEIGHT).astype(np.int16)


def surface_chunks(extent: Extent) -> list[tuple[int, int]]:
    """(row, column) of every chunk that overlaps an extent, south-west first."""
    side_m = SURFACE_CHUNK_CELLS * SURFACE_CELL_M
    rows = range(math.floor(extent.south_m / side_m), math.ceil(extent.north_m / side_m))
    columns = range(math.floor(extent.west_m / side_m), math.ceil(extent.east_m / side_m))
    return [(row, column) for row in rows for column in columns]
