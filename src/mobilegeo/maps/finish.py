"""The end of a build: puts the blocks together and makes a pack of them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo import __version__
from mobilegeo.encoder.base import Encoder
from mobilegeo.errors import MapError
from mobilegeo.maps.cells import BLOCKS, chunk_name
from mobilegeo.maps.describe import describe
from mobilegeo.maps.heights import HeightSource
from mobilegeo.maps.imagery import JPEG_QUALITY, ImageryFacts, imagery_chunk_name, jpeg
from mobilegeo.maps.integrity import file_entry
from mobilegeo.maps.patch import MapSource, Patch
from mobilegeo.maps.plan import Plan
from mobilegeo.maps.record import (
    FORMAT_VERSION,
    GRID,
    PREVIEW,
    RECORD,
    TILES,
    VECTORS,
    write_record,
)
from mobilegeo.maps.surface import (
    HEIGHT_STEP_M,
    NO_HEIGHT,
    SURFACE_CELL_M,
    SurfaceFacts,
    surface_chunk_name,
    surface_chunks,
)
from mobilegeo.maps.tilefile import write_tiles
from mobilegeo.maps.tiletable import TileLevel, TileTable, grid_keys
from mobilegeo.maps.tiling import Extent
from mobilegeo.maps.workspace import Workspace, take_room

PREVIEW_PX = 1024
PREVIEW_QUALITY = 85


def finish_pack(
    plan: Plan,
    source: MapSource,
    encoder: Encoder,
    work: Workspace,
    heights: HeightSource | None,
    *,
    imagery: bool,
) -> None:
    """Puts the blocks together, writes the record and gives the pack its name."""
    table = _gather_tiles(plan, source, encoder.spec.embedding_dim, work)
    with work.replacing(TILES) as path:
        write_tiles(table, path)
    preview = _write_preview(plan, source, work)
    features = describe(plan.feature_blocks, encoder.spec.feature_dim, work)
    if features is None:
        raise _no_data(source, "cell")
    surface = None if heights is None else _surface_facts(plan, heights, work)
    shown = _imagery_facts(plan, features["chunks"], work) if imagery else None
    cell_m = encoder.spec.cell_m
    names = [TILES, GRID, VECTORS, PREVIEW, *(chunk_name(r, c) for r, c in features["chunks"])]
    names += [surface_chunk_name(r, c) for r, c in (surface.chunks if surface else ())]
    names += [imagery_chunk_name(r, c) for r, c in (features["chunks"] if imagery else ())]
    record: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "created_by": f"mobilegeo {__version__}",
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
            {
                "footprint_m": level.footprint_m,
                "gsd_m": level.gsd_m,
                "stride_m": level.stride_m,
                "count": level.stop - level.start,
            }
            for level in table.levels
        ],
        "features": features,
        "surface": None if surface is None else asdict(surface),
        "imagery": None if shown is None else asdict(shown),
        "preview": asdict(preview),
        "files": {name: file_entry(work.path / name) for name in names},
    }
    write_record(record, work.path / RECORD)
    work.publish()


def _gather_tiles(plan: Plan, source: MapSource, dim: int, work: Workspace) -> TileTable:
    """Writes vectors.npy and grid.npy in the pack's order and returns the table."""
    blocks = [
        (plan.grids.index(block.grid), path)
        for block in plan.tile_blocks
        if (path := work.path / BLOCKS / f"{block.key}.npz").exists()
    ]
    if not blocks:
        raise _no_data(source, "tile")
    keys = np.concatenate([_sort_keys(level, path) for level, path in blocks])
    rank = np.empty(len(keys), np.int64)
    rank[np.lexsort((keys[:, 1], keys[:, 2], keys[:, 0]))] = np.arange(len(keys))
    with work.replacing(VECTORS) as temporary:
        vectors = np.lib.format.open_memmap(temporary, "w+", np.float16, (len(keys), dim))
        take_room(temporary)
        start = 0
        for _, path in blocks:
            with np.load(path) as block:
                vectors[rank[start : start + len(block["tiles"])]] = block["vectors"]
                start += len(block["tiles"])
        vectors.flush()
        del vectors  # some systems do not rename a mapped file
    level, i, j = keys[np.argsort(rank)].T
    grid = grid_keys(i, j)
    work.write_array(GRID, grid)
    stops = np.cumsum(np.bincount(level, minlength=len(plan.grids))).tolist()
    levels = [
        TileLevel(g.footprint_m, g.gsd_m, g.stride_m, start, stop)
        for g, start, stop in zip(plan.grids, [0, *stops[:-1]], stops, strict=True)
    ]
    return TileTable(plan.frame, levels, grid)


def _sort_keys(level: int, path: Path) -> NDArray[np.int64]:
    """int64 [N, 3]: index of the grid, i, j."""
    with np.load(path) as block:
        tiles = block["tiles"].astype(np.int64)
    return np.concatenate([np.full((len(tiles), 1), level), tiles], axis=1)


def _surface_facts(plan: Plan, heights: HeightSource, work: Workspace) -> SurfaceFacts:
    """Which chunks of the surface there are, and what heights they hold."""
    chunks = [
        (row, column)
        for row, column in surface_chunks(plan.extent)
        if (work.path / surface_chunk_name(row, column)).exists()
    ]
    if not chunks:
        raise MapError(
            heights.name,
            "covers none of the map",
            "give the surface model of the same ground, or check its coordinate system (gdalinfo)",
        )
    low, high, cells = np.iinfo(np.int16).max, NO_HEIGHT, 0
    for row, column in chunks:
        chunk = np.load(work.path / surface_chunk_name(row, column))
        known = chunk[chunk != NO_HEIGHT]
        low, high = min(low, int(known.min())), max(high, int(known.max()))
        cells += known.size
    return SurfaceFacts(
        source=heights.name,
        cell_m=SURFACE_CELL_M,
        base_m=heights.base_m,
        low_m=round(heights.base_m + low * HEIGHT_STEP_M, 1),
        high_m=round(heights.base_m + high * HEIGHT_STEP_M, 1),
        area_km2=cells * SURFACE_CELL_M**2 / 1e6,
        chunks=tuple(chunks),
    )


def _imagery_facts(plan: Plan, chunks: list[tuple[int, int]], work: Workspace) -> ImageryFacts:
    """What the imagery beside all chunks of descriptors amounts to."""
    files = (work.path / imagery_chunk_name(row, column) for row, column in chunks)
    gsd_m = plan.feature_blocks[0].spec.feature_gsd_m
    return ImageryFacts(gsd_m, JPEG_QUALITY, sum(file.stat().st_size for file in files))


def _write_preview(plan: Plan, source: MapSource, work: Workspace) -> Extent:
    box = plan.extent
    gsd_m = max(box.width_m, box.height_m) / PREVIEW_PX
    width, height = (max(1, round(side / gsd_m)) for side in (box.width_m, box.height_m))
    patch: Patch = source.read(plan.frame, box.west_m, box.north_m, gsd_m, width, height)
    image = np.where(patch.valid[..., None], patch.image, 255).astype(np.uint8)
    work.write_bytes(PREVIEW, jpeg(image, PREVIEW_QUALITY))
    south_m = box.north_m - height * gsd_m
    return Extent(box.west_m, south_m, box.west_m + width * gsd_m, box.north_m)


def _no_data(source: MapSource, what: str) -> MapError:
    return MapError(
        ", ".join(source.names),
        f"no {what} has enough pixels with data",
        "give imagery without so many holes, or smaller footprints with --footprint-m",
    )
