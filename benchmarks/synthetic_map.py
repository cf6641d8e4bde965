"""Packs of any size with made-up tile embeddings that vary over the ground as real ones do.

The embedding of a tile is a sum of smooth random fields over the map, each a grid of independent
normal vectors interpolated linearly, plus noise of its own:

    a field with nodes 600 m apart      what kind of land it is
    a field with nodes a footprint apart   what lies there; neighbours overlap and so resemble
    noise                                what differs from each tile to the next (out of a bank of
                                         vectors, as drawing so many anew would take minutes)

The fields' variance falls off over the dimensions, as it does in embeddings of a trained network.
`benchmarks/index_scale.py` prints how alike neighbours are.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.geo import Bounds, LatLon, LocalFrame
from mobilegeo.maps.integrity import file_entry
from mobilegeo.maps.record import FORMAT_VERSION, GRID, RECORD, TILES, VECTORS, write_record
from mobilegeo.maps.tilefile import write_tiles
from mobilegeo.maps.tiletable import TileLevel, TileTable, grid_keys
from mobilegeo.maps.tiling import Extent

ORIGIN = LatLon(47.0, 8.0)
FOOTPRINTS_M = (60.0, 120.0, 240.0)
STRIDE = 0.25
LAND_M = 600.0
LAND, PLACE, OWN = 0.45, 0.8, 0.4
"""Weights of the fields and of the noise."""
BANK = 20_000
DECAY = 14.0
"""Dimensions over which the fields' variance falls by e."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Field:
    """Independent normal vectors on a grid, interpolated linearly.

    Attributes:
        nodes: float32 [rows, columns, D].
        step_m: between nodes.
    """

    nodes: Float32
    step_m: float

    @classmethod
    def over(cls, side_m: float, step_m: float, scale: Float32, rng: np.random.Generator) -> Field:
        """A field over a square, with deviations `scale`, [D]."""
        size = math.ceil(side_m / step_m) + 2
        nodes = rng.standard_normal((size, size, len(scale)), dtype=np.float32)
        return cls(nodes * scale, step_m)

    def line(self, x_m: NDArray[np.float64], y_m: float) -> Float32:
        """Values along a line of tiles, float32 [len(x_m), D]."""
        row, up = divmod(y_m / self.step_m, 1)
        nodes = (1 - up) * self.nodes[int(row)] + up * self.nodes[int(row) + 1]
        column = (x_m / self.step_m).astype(np.int64)
        right = (x_m / self.step_m - column).astype(np.float32)[:, None]
        return np.asarray((1 - right) * nodes[column] + right * nodes[column + 1], np.float32)


def write_map(path: Path, tiles: int, dim: int, seed: int, *, parquet: bool) -> None:
    """Writes a pack of about so many tiles: three footprints, as `map build` makes them.

    It holds no descriptors of the ground, so that it can be searched but not aligned with.

    Args:
        path: folder to be made.
        tiles: how many in all.
        dim: of the embeddings.
        seed: of everything random.
        parquet: write the table for other programs too, which takes longest.
    """
    path.mkdir(parents=True)
    per_km2 = sum((1000 / (STRIDE * f)) ** 2 for f in FOOTPRINTS_M)
    side_m = 1000 * math.sqrt(tiles / per_km2)
    sides = [math.ceil(side_m / (STRIDE * f)) for f in FOOTPRINTS_M]
    stops = np.cumsum(np.square(sides)).tolist()
    levels = [
        TileLevel(f, f / 224, STRIDE * f, start, stop)
        for f, start, stop in zip(FOOTPRINTS_M, [0, *stops[:-1]], stops, strict=True)
    ]
    grids = (np.meshgrid(np.arange(n) - n // 2, np.arange(n) - n // 2) for n in sides)
    keys = np.concatenate([grid_keys(i, j).ravel() for i, j in grids])
    frame = LocalFrame(ORIGIN)
    np.save(path / GRID, keys)
    if parquet:
        write_tiles(TileTable(frame, levels, keys), path / TILES)
    rng = np.random.default_rng(seed)
    vectors = np.lib.format.open_memmap(path / VECTORS, "w+", np.float16, (stops[-1], dim))
    for level, side in zip(levels, sides, strict=True):
        _fill(vectors[level.start : level.stop].reshape(side, side, dim), level, rng)
    vectors.flush()
    write_record(_record(path, frame, levels, side_m, dim), path / RECORD)


def _fill(vectors: NDArray[np.float16], level: TileLevel, rng: np.random.Generator) -> None:
    """Writes the embeddings of one footprint, [lines, columns, D]."""
    side, dim = vectors.shape[1:]
    spread = np.exp(-np.arange(dim) / (2 * DECAY)).astype(np.float32)
    spread /= np.linalg.norm(spread)
    side_m = side * level.stride_m
    land = Field.over(side_m, LAND_M, LAND * spread, rng)
    place = Field.over(side_m, level.footprint_m, PLACE * spread, rng)
    bank = OWN / math.sqrt(dim) * rng.standard_normal((BANK + side, dim), dtype=np.float32)
    x_m = np.arange(side) * level.stride_m
    for j in range(side):
        line = land.line(x_m, j * level.stride_m) + place.line(x_m, j * level.stride_m)
        first = rng.integers(BANK)
        line += bank[first : first + side]
        vectors[j] = line / np.linalg.norm(line, axis=1, keepdims=True)


def _record(
    path: Path, frame: LocalFrame, levels: list[TileLevel], side_m: float, dim: int
) -> dict[str, object]:
    half = side_m / 2
    box = Extent(-half, -half, half, half)
    south_west, north_east = frame.point(-half, -half), frame.point(half, half)
    spec = ImageSpec(
        model_id="synthetic",
        size_px=224,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        embedding_dim=dim,
        feature_dim=8,
        feature_stride_px=16,
        feature_halo_px=0,
        feature_gsd_m=0.5,
    )
    return {
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "created_by": "benchmarks/synthetic_map.py",
        "sources": ["random fields"],
        "source_gsd_m": 0.25,
        "notes": [],
        "bounds": asdict(Bounds(south_west.lat, south_west.lon, north_east.lat, north_east.lon)),
        "area_km2": (side_m / 1000) ** 2,
        "frame": {"origin": asdict(frame.origin), "crs": frame.crs},
        "encoder": {"id": "synthetic", "sha256": "0" * 64, "spec": asdict(spec)},
        "tiles": [
            {
                "footprint_m": level.footprint_m,
                "gsd_m": level.gsd_m,
                "stride_m": level.stride_m,
                "count": level.stop - level.start,
            }
            for level in levels
        ],
        "features": {
            "cells": 0,
            "chunks": [],
            "extent": {"x0": 0, "y0": 0, "width": 0, "height": 0},
            "basis": {"mean": [0.0] * 8, "std": [1.0] * 8, "axes": np.eye(8).tolist()},
        },
        "surface": None,
        "imagery": None,
        "preview": asdict(box),
        "files": {
            name: file_entry(path / name)
            for name in (TILES, GRID, VECTORS)
            if (path / name).exists()
        },
    }
