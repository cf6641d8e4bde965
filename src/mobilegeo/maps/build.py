"""Builds a map pack: reads the map in blocks, encodes them, writes what a drone needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import Encoder
from mobilegeo.maps.cells import BLOCKS, CHUNK_CELLS, FeatureBlock
from mobilegeo.maps.descriptors import CHANNELS
from mobilegeo.maps.finish import finish_pack
from mobilegeo.maps.heights import HeightSource
from mobilegeo.maps.imagery import (
    BYTES_PER_PIXEL,
    JPEG_QUALITY,
    imagery_chunk_name,
    imagery_side_px,
    jpeg,
)
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.patch import MapSource, Patch
from mobilegeo.maps.plan import Plan, plan_build
from mobilegeo.maps.surface import (
    NO_HEIGHT,
    SURFACE_CHUNK_CELLS,
    stored_heights,
    surface_chunk_name,
    surface_chunks,
)
from mobilegeo.maps.tiling import TileBlock
from mobilegeo.maps.workspace import Workspace, disk_errors
from mobilegeo.read_ahead import read_ahead

DEFAULT_FOOTPRINTS_M = (60.0, 120.0, 240.0)
DEFAULT_STRIDE = 0.25
BATCH = 16
"""Tiles embedded in one call; larger batches take no less of the processor for each tile."""

WORKERS = 2
"""Threads that embed: what the encoder does in one thread, and what lies between its calls, goes on
while it computes for the other. Descriptors come from one, as their large images fill the cores by
themselves and take hundreds of megabytes."""

Progress = Callable[[str, int, int], None]
"""Called with the stage (`tiles`, `features` or `surface`), blocks done and blocks in all."""


def build_pack(
    source: MapSource,
    out: str | Path,
    encoder: Encoder,
    *,
    heights: HeightSource | None = None,
    imagery: bool = False,
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
        heights: a surface model of the same ground, for views that are not straight down.
        imagery: keep the map itself too, at the resolution of the descriptors, for `locate` to
            verify places by local features.
        footprints_m: sides of the tiles, metres.
        stride: step from tile to tile as a fraction of the footprint.
        resume: go on with an unfinished build.
        overwrite: replace an existing pack; without `resume`, drop an unfinished one.
        progress: told about every finished block.

    Raises:
        MapError: the map cannot be read, is too small or too large.
        PackError: something else lies at `out`.
        ResourceError: the disk is full.
        UsageError: a footprint or the stride cannot be meant.
    """
    plan = plan_build(source, encoder, footprints_m, stride)
    options = json.dumps([encoder.sha256, asdict(encoder.spec), [asdict(g) for g in plan.grids]])
    inputs, layers = [source.fingerprint, options], ["features"]
    if heights is not None:
        inputs.append(heights.fingerprint)
        layers.append("surface")
    if imagery:
        inputs.append("imagery")
        layers.append("imagery")
    work = Workspace(
        Path(out),
        "\n".join(inputs),
        layers=layers,
        resume=resume,
        overwrite=overwrite,
    )
    with disk_errors(work, _remaining_bytes(plan, encoder, work, imagery=imagery)):
        try:
            _embed_tiles(plan, source, encoder, work, progress)
            _describe_cells(plan, source, encoder, work, progress, imagery=imagery)
            if heights is not None:
                _store_heights(plan, heights, work, progress)
        finally:
            work.save()
        finish_pack(plan, source, encoder, work, heights, imagery=imagery)
    return MapPack.open(out, encoder=encoder)


@dataclass(frozen=True)
class _Batch:
    """Tiles of a block that are embedded in one call.

    Attributes:
        block: the block.
        tiles: all of its tiles with enough data, int32 [N, 2].
        image: the block's pixels, uint8 [H, W, 3].
        start: the first tile of the batch.
    """

    block: TileBlock
    tiles: NDArray[np.int32]
    image: NDArray[np.uint8]
    start: int

    @property
    def is_last(self) -> bool:
        """Whether it ends the block."""
        return self.start + BATCH >= len(self.tiles)

    def embedded(self, encoder: Encoder) -> NDArray[np.float16]:
        """Embeddings, float16 [B, D]."""
        batch = self.tiles[self.start : self.start + BATCH]
        if not len(batch):
            return np.zeros((0, encoder.spec.embedding_dim), np.float16)
        return encoder.embed(self.block.cut(self.image, batch)).astype(np.float16)


def _embed_tiles(
    plan: Plan, source: MapSource, encoder: Encoder, work: Workspace, progress: Progress | None
) -> None:
    """Writes blocks/….npz with `tiles`, int32 [N, 2], and `vectors`, float16 [N, D]."""
    todo = [block for block in plan.tile_blocks if not work.is_done(block.key)]
    finished = len(plan.tile_blocks) - len(todo)
    vectors: list[NDArray[np.float16]] = []
    batches = _batches(read_ahead(todo, lambda b: b.read(source, plan.frame)), encoder)
    for batch, embedding in read_ahead(batches, lambda b: b.embedded(encoder), readers=WORKERS):
        vectors.append(embedding.result())
        if not batch.is_last:
            continue
        key = batch.block.key
        if len(batch.tiles):
            with work.replacing(f"{BLOCKS}/{key}.npz") as path:
                np.savez(path, tiles=batch.tiles, vectors=np.concatenate(vectors))
        vectors.clear()
        work.done(key)
        finished += 1
        if progress is not None:
            progress("tiles", finished, len(plan.tile_blocks))


def _batches(
    blocks: Iterator[tuple[TileBlock, Future[Patch]]], encoder: Encoder
) -> Iterator[_Batch]:
    """The blocks' tiles in batches, at least one a block, so that each is seen to be finished."""
    for block, reading in blocks:
        patch = reading.result()
        tiles = block.tiles(patch)
        image = encoder.spec.fill(patch.image, patch.valid)
        for start in range(0, max(1, len(tiles)), BATCH):
            yield _Batch(block, tiles, image, start)


def _describe_cells(
    plan: Plan,
    source: MapSource,
    encoder: Encoder,
    work: Workspace,
    progress: Progress | None,
    *,
    imagery: bool,
) -> None:
    """Writes the features, and imagery/….jpg if wanted, of every block with data."""
    todo = [block for block in plan.feature_blocks if not work.is_done(block.raw_name)]
    finished = len(plan.feature_blocks) - len(todo)
    described = read_ahead(
        read_ahead(todo, lambda b: b.read(source, plan.frame)), lambda job: _described(job, encoder)
    )
    for (block, reading), features in described:
        stored = features.result()
        if stored is not None:
            work.write_array(block.raw_name, stored)
            if imagery:
                data = jpeg(block.inner(reading.result()).image, JPEG_QUALITY)
                work.write_bytes(imagery_chunk_name(*block.chunk), data)
        work.done(block.raw_name)
        finished += 1
        if progress is not None:
            progress("features", finished, len(plan.feature_blocks))


def _described(
    job: tuple[FeatureBlock, Future[Patch]], encoder: Encoder
) -> NDArray[np.int8] | None:
    """A block's descriptors; `None` where it has no data."""
    block, reading = job
    patch = reading.result()
    return block.encode(patch, encoder) if block.valid_cells(patch).any() else None


def _store_heights(
    plan: Plan, heights: HeightSource, work: Workspace, progress: Progress | None
) -> None:
    """Writes surface/….npy wherever a chunk has data."""
    chunks = surface_chunks(plan.extent)
    for number, (row, column) in enumerate(chunks, 1):
        name = surface_chunk_name(row, column)
        if not work.is_done(name):
            stored = stored_heights(heights.chunk(plan.frame, row, column), heights.base_m)
            if (stored != NO_HEIGHT).any():
                work.write_array(name, stored)
            work.done(name)
        if progress is not None:
            progress("surface", number, len(chunks))


def _remaining_bytes(plan: Plan, encoder: Encoder, work: Workspace, *, imagery: bool) -> float:
    """What a build may still write at most: blocks, and what is put together out of them.

    A surface is told for, whether there is one or not: it is small beside the descriptors.
    """
    spec = encoder.spec
    chunk_bytes = CHUNK_CELLS**2 * (spec.feature_dim + CHANNELS // 2)
    if imagery:
        chunk_bytes += round(BYTES_PER_PIXEL * imagery_side_px(spec) ** 2)
    tiles = sum(b.columns * b.rows for b in plan.tile_blocks)
    chunks = sum(not work.is_done(b.raw_name) for b in plan.feature_blocks)
    surface = 2 * SURFACE_CHUNK_CELLS**2 * len(surface_chunks(plan.extent))
    return tiles * spec.embedding_dim * 4.0 + chunks * chunk_bytes + surface
