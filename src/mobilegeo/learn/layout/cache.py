"""Simulated pairs, passed once through the frozen trunk and kept on disk.

The trunk never changes, so its output for an image is computed once, through ONNX Runtime (three
times as fast as eager PyTorch on a CPU), and trained on many times. A head averages it to a grid of
7 × 7 cells before its first weight, so that only this grid is kept. A shard holds `SHARD_GROUPS`
groups of pairs, in three arrays:

- `grids` int8 [N, 2, C, 7, 7]: standardised channels of the stages that the heads look at, for
  query and tile, averaged over what is inside the photo, in multiples of `stages.STEP`;
- `coverage` uint8 [N, 2, 7, 7]: share of each cell inside the photo, 255 for all of it;
- `places` float64 [N, 5]: group, source, centre x and y and side in metres.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from mobilegeo.errors import ResourceError
from mobilegeo.learn.datasets.simulated import Pair, Pool, SimulatedPairs
from mobilegeo.learn.datasets.sources import Source, SourceSpec, read_sources
from mobilegeo.learn.layout.config import TrainConfig
from mobilegeo.learn.layout.stages import Channels, packed
from mobilegeo.learn.models.heads import cell_coverage, masked_grid
from mobilegeo.learn.simulate.near_duplicates import alike_groups
from mobilegeo.output.atomic import write_atomically

SHARD_GROUPS = 64
ARRAYS = ("grids", "coverage", "places")

Encoded = tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.float64]]
"""The arrays of a shard, in that order."""


@dataclass(frozen=True)
class Cache:
    """Trunk outputs of many pairs, memory-mapped.

    Attributes:
        grids: one int8 [N, 2, C, 7, 7] a shard.
        coverage: one uint8 [N, 2, 7, 7] a shard.
        places: float64 [all, 5], group, source, x_m, y_m, side_m.
        rows: int64 [all, 2], shard and row of every pair.
        channels: of the grids, those that `take` gives; all by default.
    """

    grids: list[NDArray[np.int8]]
    coverage: list[NDArray[np.uint8]]
    places: NDArray[np.float64]
    rows: NDArray[np.int64]
    channels: Channels | None = None

    @classmethod
    def open(cls, shards: Sequence[Path]) -> Cache:
        """Opens finished shards."""
        grids, coverage, places = (
            [np.load(shard / f"{name}.npy", mmap_mode="r") for shard in shards] for name in ARRAYS
        )
        rows = [np.stack([np.full(len(p), k), np.arange(len(p))], 1) for k, p in enumerate(places)]
        return cls(grids, coverage, np.concatenate(places), np.concatenate(rows))

    def subset(self, pairs: NDArray[np.int64]) -> Cache:
        """Some of the pairs, int64 [n], in that order."""
        return replace(self, places=self.places[pairs], rows=self.rows[pairs])

    def looked_at(self, channels: Channels) -> Cache:
        """The same pairs with some of the channels."""
        return replace(self, channels=channels)

    def take(self, pairs: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
        """Grids [B, 2, C, 7, 7] and coverage [B, 2, 7, 7] of some pairs."""
        rows = self.rows[pairs]
        grids = np.stack([self.grids[shard][row] for shard, row in rows])
        if self.channels is not None:
            grids = grids[:, :, self.channels]
        return grids, np.stack([self.coverage[shard][row] for shard, row in rows])


def load_pools(
    specs: Sequence[SourceSpec], data_root: Path, left_out: Collection[str] = ()
) -> tuple[list[Source], list[Pool]]:
    """Reads the imagery of all entries but what is left out, and how to draw from it.

    Raises:
        ResourceError: an entry holds no imagery, or none that may be used.
    """
    sources: list[Source] = []
    pools: list[Pool] = []
    for spec in specs:
        found = [s for s in read_sources(spec, data_root) if s.name not in left_out]
        if not found:
            raise ResourceError(
                data_root / spec.path,
                "shows nothing but ground that is held out",
                "hold out other imagery",
            )
        members = tuple(range(len(sources), len(sources) + len(found)))
        sources += found
        pools.append(Pool(spec.weight, spec.footprint_m, members))
    return sources, pools


def build(config: TrainConfig, trunk_onnx: Path, split: str) -> Cache:
    """Simulates what is missing of one split's shards and opens them all.

    Args:
        config: the run.
        trunk_onnx: file whose `features` are kept, in the folder of the cache.
        split: `train` or `validation`.
    """
    groups = config.groups if split == "train" else config.validation_groups
    folder = trunk_onnx.parent / f"{split}-{fingerprint(config)}"
    shards = [folder / f"{k:05d}" for k in range(-(-groups // SHARD_GROUPS))]
    missing = [shard for shard in shards if not shard.exists()]
    if not missing:
        return Cache.open(shards)
    left_out = frozenset(near_held_out(config, trunk_onnx.parent) if split == "train" else ())
    job = partial(
        _write_shard, config=config, split=split, trunk_onnx=trunk_onnx, left_out=left_out
    )
    workers = min(config.workers, len(missing))
    if workers > 1:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            pool.map(job, missing, chunksize=1)
    else:
        for shard in missing:
            job(shard)
    return Cache.open(shards)


def fingerprint(config: TrainConfig) -> str:
    """Of everything that shapes a cache but its size: runs that agree in it share one."""
    specs = [*map(asdict, config.sources), *map(asdict, config.validation)]
    model = [config.model.last_trunk_block, config.model.size_px, *config.shallow]
    shaped_by = [config.data_seed, config.group_size, model, asdict(config.simulation), specs]
    weights = b"" if config.weights is None else config.weights.read_bytes()
    made_with = [hashlib.sha256(weights).hexdigest(), *ARRAYS]
    return hashlib.sha256(json.dumps([made_with, *shaped_by]).encode()).hexdigest()[:12]


def near_held_out(config: TrainConfig, folder: Path) -> list[str]:
    """Names of loose training images that show some of the ground of a held-out one; noted once."""
    specs = [spec for spec in (*config.sources, *config.validation) if spec.kind == "images"]
    key = hashlib.sha256(json.dumps([asdict(s) for s in specs]).encode()).hexdigest()[:12]
    note = folder / f"near-held-out-{key}.json"
    if not note.exists():
        training, held_out = (
            [s for spec in side if spec in specs for s in read_sources(spec, config.data_root)]
            for side in (config.sources, config.validation)
        )
        groups = alike_groups([source.image for source in (*training, *held_out)])
        theirs = set(groups[len(training) :])
        names = [s.name for s, group in zip(training, groups, strict=False) if group in theirs]
        write_atomically(note, json.dumps(names, indent=1).encode())
    found: list[str] = json.loads(note.read_text())
    return found


@lru_cache(maxsize=1)
def _simulator(
    config: TrainConfig, split: str, trunk_onnx: Path, left_out: frozenset[str]
) -> tuple[SimulatedPairs, onnxruntime.InferenceSession]:
    """The imagery and the trunk, loaded once a process."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    specs = config.sources if split == "train" else config.validation
    sources, pools = load_pools(specs, config.data_root, left_out)
    seed = config.data_seed * 2 + (split != "train")
    size_px = config.model.size_px
    pairs = SimulatedPairs(sources, pools, config.group_size, size_px, seed, config.simulation)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return pairs, onnxruntime.InferenceSession(trunk_onnx, options)


def _write_shard(
    shard: Path, config: TrainConfig, split: str, trunk_onnx: Path, left_out: frozenset[str]
) -> None:
    simulator, session = _simulator(config, split, trunk_onnx, left_out)
    first = int(shard.name) * SHARD_GROUPS
    numbered = [
        (number, pair)
        for number in range(first, first + SHARD_GROUPS)
        for pair in simulator.group(number)
    ]
    save_shard(shard, dict(zip(ARRAYS, encode(numbered, session), strict=True)))


def save_shard(shard: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes a shard's folder, an array a file by name, whole or not at all."""
    partial_folder = shard.with_name(f"{shard.name}.partial-{os.getpid()}")
    partial_folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(partial_folder / f"{name}.npy", array)
    partial_folder.rename(shard)


def encode(numbered: Sequence[tuple[int, Pair]], session: onnxruntime.InferenceSession) -> Encoded:
    """Runs pairs, each with the number of its group, through the trunk.

    Returns:
        The arrays of a shard.
    """
    grids, coverage, places = [], [], []
    for number, pair in numbered:
        cells, seen = seen_grids(np.stack([pair.query, pair.tile]), session)
        grids.append(cells)
        coverage.append(seen)
        square = pair.square
        places.append((number, pair.source, square.x_m, square.y_m, square.side_m))
    return np.stack(grids), np.stack(coverage), np.array(places, np.float64)


def seen_grids(
    images: NDArray[np.uint8], session: onnxruntime.InferenceSession
) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """What heads see of images.

    Args:
        images: uint8 [B, H, W, 3], black outside the photo.
        session: the trunk, which gives standardised `features`.

    Returns:
        Grids int8 [B, C, 7, 7] and coverage uint8 [B, 7, 7], as a shard has them.
    """
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0
    (cells,) = session.run(["features"], {"image": pixels})
    inside = cell_coverage(torch.from_numpy(pixels), images.shape[2] // cells.shape[3])
    grid, seen = masked_grid(torch.from_numpy(cells), inside)
    return packed(grid.numpy()), np.rint(255.0 * seen[:, 0].numpy()).astype(np.uint8)
