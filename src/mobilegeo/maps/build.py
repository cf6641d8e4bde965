"""Builds a map pack: reads the map in blocks, encodes them, writes what a drone needs."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import Encoder
from mobilegeo.errors import MapError
from mobilegeo.geo import LocalFrame
from mobilegeo.maps.cells import (
    CHUNK_CELLS,
    FEATURE_STEP,
    FeatureBlock,
    chunk_name,
    feature_blocks,
    filled,
)
from mobilegeo.maps.integrity import file_entry
from mobilegeo.maps.pack import (
    FORMAT_VERSION,
    PREVIEW,
    RECORD,
    TILES,
    VECTORS,
    MapPack,
    record_hash,
)
from mobilegeo.maps.patch import MapSource, Patch
from mobilegeo.maps.prefetch import prefetched
from mobilegeo.maps.tiletable import TileTable, write_tiles
from mobilegeo.maps.tiling import Extent, TileBlock, TileGrid, extent_of, tile_grids
from mobilegeo.maps.workspace import BLOCKS, Workspace, disk_errors

DEFAULT_FOOTPRINTS_M = (60.0, 120.0, 240.0)
DEFAULT_STRIDE = 0.25
BATCH = 32
PREVIEW_PX = 1024

Progress = Callable[[str, int, int], None]
"""Called with the stage (`tiles` or `features`), blocks done and blocks in all."""


@dataclass(frozen=True)
class Plan:
    """What a build will do.

    Attributes:
        frame: the metric frame, its origin the middle of the map.
        extent: of the map in the frame.
        grids: of tiles, smallest footprint first.
        tile_blocks: to be embedded.
        feature_blocks: to be described.
        notes: what was left out.
    """

    frame: LocalFrame
    extent: Extent
    grids: tuple[TileGrid, ...]
    tile_blocks: tuple[TileBlock, ...]
    feature_blocks: tuple[FeatureBlock, ...]
    notes: tuple[str, ...]


def build_pack(
    source: MapSource,
    out: str | Path,
    encoder: Encoder,
    *,
    footprints_m: Sequence[float] = DEFAULT_FOOTPRINTS_M,
    stride: float = DEFAULT_STRIDE,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> MapPack:
    """Builds a pack of a map.

    Everything is written to `OUT.partial` and renamed at the end. After an interruption, a full
    disk or a crash, the same call with `resume` goes on from the last finished block, and ends with
    the same tiles, vectors and features as if nothing had happened.

    Args:
        source: the map.
        out: folder of the pack.
        encoder: the network; the pack can only be used with the same one.
        footprints_m: sides of the tiles, metres.
        stride: step from tile to tile as a fraction of the footprint.
        resume: go on with an unfinished build.
        overwrite: replace an existing pack.
        progress: told about every finished block.

    Raises:
        MapError: the map cannot be read, is too small or too large.
        PackError: something else lies at `out`.
        ResourceError: the disk is full.
        UsageError: a footprint or the stride cannot be meant.
    """
    plan = plan_build(source, encoder, footprints_m, stride)
    options = json.dumps([encoder.sha256, asdict(encoder.spec), [asdict(g) for g in plan.grids]])
    work = Workspace(
        Path(out), f"{source.fingerprint}\n{options}", resume=resume, overwrite=overwrite
    )
    with disk_errors(work, _remaining_bytes(plan, encoder, work)):
        try:
            _embed_tiles(plan, source, encoder, work, progress)
            _describe_cells(plan, source, encoder, work, progress)
        finally:
            work.save()
        _finish(plan, source, encoder, work)
    return MapPack.open(out, encoder=encoder)


def plan_build(
    source: MapSource, encoder: Encoder, footprints_m: Sequence[float], stride: float
) -> Plan:
    """Lays out the blocks of a build; see `build_pack` for arguments and errors."""
    frame = LocalFrame(source.bounds.centre)
    extent = extent_of(source, frame)
    where = ", ".join(source.names)
    sides_m = tuple(float(side) for side in footprints_m)
    grids, notes = tile_grids(sides_m, stride, encoder.spec.size_px, extent, where)
    return Plan(
        frame=frame,
        extent=extent,
        grids=tuple(grids),
        tile_blocks=tuple(block for grid in grids for block in grid.blocks(extent)),
        feature_blocks=tuple(feature_blocks(encoder.spec, extent)),
        notes=tuple(notes),
    )


def _embed_tiles(
    plan: Plan, source: MapSource, encoder: Encoder, work: Workspace, progress: Progress | None
) -> None:
    """Writes blocks/….npz with `tiles`, int32 [N, 2], and `vectors`, float16 [N, D]."""
    todo = [block for block in plan.tile_blocks if not work.is_done(_tile_key(block))]
    finished = len(plan.tile_blocks) - len(todo)
    for block, patch in prefetched(todo, lambda b: b.read(source, plan.frame)):
        tiles = block.tiles(patch)
        if len(tiles):
            vectors = _embedded(block, tiles, filled(patch, encoder.spec), encoder)
            with work.replacing(f"{BLOCKS}/{_tile_key(block)}.npz") as path:
                np.savez(path, tiles=tiles, vectors=vectors)
        work.done(_tile_key(block))
        finished += 1
        if progress is not None:
            progress("tiles", finished, len(plan.tile_blocks))


def _embedded(
    block: TileBlock, tiles: NDArray[np.int32], image: NDArray[np.uint8], encoder: Encoder
) -> NDArray[np.float16]:
    batches = [tiles[start : start + BATCH] for start in range(0, len(tiles), BATCH)]
    vectors = [encoder.embed(block.cut(image, batch)) for batch in batches]
    return np.concatenate(vectors).astype(np.float16)


def _describe_cells(
    plan: Plan, source: MapSource, encoder: Encoder, work: Workspace, progress: Progress | None
) -> None:
    """Writes features/….npy wherever a chunk has data."""
    todo = [block for block in plan.feature_blocks if not work.is_done(_chunk_name(block))]
    finished = len(plan.feature_blocks) - len(todo)
    for block, patch in prefetched(todo, lambda b: b.read(source, plan.frame)):
        if block.valid_cells(patch).any():
            work.write_array(_chunk_name(block), block.encode(patch, encoder))
        work.done(_chunk_name(block))
        finished += 1
        if progress is not None:
            progress("features", finished, len(plan.feature_blocks))


def _finish(plan: Plan, source: MapSource, encoder: Encoder, work: Workspace) -> None:
    """Puts the blocks together, writes the record and gives the pack its name."""
    table, counts = _gather_tiles(plan, source, encoder.spec.embedding_dim, work)
    with work.replacing(TILES) as path:
        write_tiles(table, path)
    preview = _write_preview(plan, source, work)
    features = _feature_record(plan, encoder.spec.feature_dim, work)
    cell_m = encoder.spec.cell_m
    names = [TILES, VECTORS, PREVIEW, *(chunk_name(r, c) for r, c in features["chunks"])]
    record: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "created_by": f"mobilegeo {_version()}",
        "sources": list(source.names),
        "source_gsd_m": source.gsd_m,
        "notes": [*plan.notes, *source.warnings],
        "bounds": asdict(source.bounds),
        "area_km2": features.pop("cells") * cell_m**2 / 1e6,
        "frame": {"origin": asdict(plan.frame.origin), "crs": plan.frame.crs},
        "encoder": {
            "id": encoder.spec.model_id,
            "sha256": encoder.sha256,
            "spec": asdict(encoder.spec),
        },
        "tiles": [
            {"footprint_m": g.footprint_m, "gsd_m": g.gsd_m, "stride_m": g.stride_m, "count": n}
            for g, n in zip(plan.grids, counts, strict=True)
        ],
        "features": features,
        "preview": asdict(preview),
        "files": {name: file_entry(work.path / name) for name in names},
    }
    record["record_sha256"] = record_hash(record)
    with work.replacing(RECORD) as path:
        path.write_text(json.dumps(record, indent=1), encoding="utf-8")
    work.publish()


def _gather_tiles(
    plan: Plan, source: MapSource, dim: int, work: Workspace
) -> tuple[TileTable, list[int]]:
    """Writes vectors.npy in the pack's order and returns the table and the counts by footprint."""
    blocks = [
        (plan.grids.index(block.grid), path)
        for block in plan.tile_blocks
        if (path := work.path / BLOCKS / f"{_tile_key(block)}.npz").exists()
    ]
    if not blocks:
        raise MapError(
            ", ".join(source.names),
            "no tile has enough pixels with data",
            "give imagery without so many holes, or smaller footprints with --footprint-m",
        )
    keys = np.concatenate([_sort_keys(level, path) for level, path in blocks])
    rank = np.empty(len(keys), np.int64)
    rank[np.lexsort((keys[:, 1], keys[:, 2], keys[:, 0]))] = np.arange(len(keys))
    with work.replacing(VECTORS) as temporary:
        vectors = np.lib.format.open_memmap(temporary, "w+", np.float16, (len(keys), dim))
        start = 0
        for _, path in blocks:
            with np.load(path) as block:
                vectors[rank[start : start + len(block["tiles"])]] = block["vectors"]
                start += len(block["tiles"])
        vectors.flush()
    level, i, j = keys[np.argsort(rank)].T
    footprint_m = np.array([grid.footprint_m for grid in plan.grids])[level]
    stride_m = np.array([grid.stride_m for grid in plan.grids])[level]
    gsd_m = np.array([grid.gsd_m for grid in plan.grids])[level]
    x_m, y_m = i * stride_m + footprint_m / 2, j * stride_m + footprint_m / 2
    table = TileTable.from_centres(plan.frame, x_m, y_m, footprint_m, gsd_m)
    return table, np.bincount(level, minlength=len(plan.grids)).tolist()


def _sort_keys(level: int, path: Path) -> NDArray[np.int64]:
    """int64 [N, 3]: index of the grid, i, j."""
    with np.load(path) as block:
        tiles = block["tiles"].astype(np.int64)
    return np.concatenate([np.full((len(tiles), 1), level), tiles], axis=1)


def _feature_record(plan: Plan, dim: int, work: Workspace) -> dict[str, Any]:
    """Which chunks there are, and mean and deviation of every channel over cells with data."""
    chunks = [
        (block.y0 // CHUNK_CELLS, block.x0 // CHUNK_CELLS)
        for block in plan.feature_blocks
        if (work.path / _chunk_name(block)).exists()
    ]
    total, squares, cells = np.zeros(dim, np.int64), np.zeros(dim, np.int64), 0
    for row, column in chunks:
        chunk = np.load(work.path / chunk_name(row, column))
        values = chunk[chunk.any(axis=2)].astype(np.int64)
        total, squares = total + values.sum(axis=0), squares + (values**2).sum(axis=0)
        cells += len(values)
    mean = total / max(cells, 1)
    std = np.sqrt(np.maximum(squares / max(cells, 1) - mean**2, 0.0))
    rows, columns = zip(*chunks, strict=True)
    return {
        "cells": cells,
        "chunks": chunks,
        "extent": {
            "x0": min(columns) * CHUNK_CELLS,
            "y0": min(rows) * CHUNK_CELLS,
            "width": (max(columns) + 1 - min(columns)) * CHUNK_CELLS,
            "height": (max(rows) + 1 - min(rows)) * CHUNK_CELLS,
        },
        "mean": (mean * FEATURE_STEP).tolist(),
        "std": np.maximum(std * FEATURE_STEP, FEATURE_STEP).tolist(),
    }


def _write_preview(plan: Plan, source: MapSource, work: Workspace) -> Extent:
    import cv2

    box = plan.extent
    gsd_m = max(box.width_m, box.height_m) / PREVIEW_PX
    width, height = (max(1, round(side / gsd_m)) for side in (box.width_m, box.height_m))
    patch: Patch = source.read(plan.frame, box.west_m, box.north_m, gsd_m, width, height)
    image = np.where(patch.valid[..., None], patch.image, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    with work.replacing(PREVIEW) as path:
        path.write_bytes(data.tobytes())
    south_m = box.north_m - height * gsd_m
    return Extent(box.west_m, south_m, box.west_m + width * gsd_m, box.north_m)


def _remaining_bytes(plan: Plan, encoder: Encoder, work: Workspace) -> float:
    """What a build may still write at most: blocks twice (they are put together), and chunks."""
    spec = encoder.spec
    tiles = sum(b.columns * b.rows for b in plan.tile_blocks)
    chunks = sum(not work.is_done(_chunk_name(b)) for b in plan.feature_blocks)
    return tiles * spec.embedding_dim * 4.0 + chunks * CHUNK_CELLS**2 * spec.feature_dim


def _tile_key(block: TileBlock) -> str:
    return f"{block.grid.footprint_m:g}_{block.j}_{block.i}"


def _chunk_name(block: FeatureBlock) -> str:
    return chunk_name(block.y0 // CHUNK_CELLS, block.x0 // CHUNK_CELLS)


def _version() -> str:
    try:
        return importlib.metadata.version("mobilegeo")
    except importlib.metadata.PackageNotFoundError:
        return "from a source tree"
