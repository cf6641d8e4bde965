"""Simulated surveys, passed once through the frozen encoder and kept on disk.

A shard holds `SHARD_SURVEYS` surveys in six arrays, N the surveys, P the photos of each, sides in
cells of the encoder's features:

- `windows` float16 [N, C, H + 2m, W + 2m]: features of the maps, with a margin of m cells;
- `known` bool [N, H, W]: cells of the maps with data, without the margin;
- `photos` float16 [N, P, C, h, w] and `seen` bool [N, P, h, w]: the same of the photos;
- `middles` float64 [N, P, 2]: row and column of each photo's middle on the window, in cells;
- `places` float64 [N, 4]: source, x and y of the window's centre and its side with the margin, m.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.learn.alignment.config import AlignmentConfig
from mobilegeo.learn.alignment.surveys import SimulatedSurveys, Survey
from mobilegeo.learn.layout.cache import load_pools, save_shard
from mobilegeo.locate.template import CELL_COVERAGE, covered_cells
from mobilegeo.maps.tiling import MIN_VALID

SHARD_SURVEYS = 16
ARRAYS = ("windows", "known", "photos", "seen", "middles", "places")
_THREADS = 1
"""Of each process that simulates."""

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Cache:
    """Shards of one split, memory-mapped; see the module for the arrays.

    Attributes:
        shards: arrays by name.
        rows: int64 [all, 2], shard and row of every survey.
    """

    shards: list[dict[str, NDArray[np.generic]]]
    rows: NDArray[np.int64]

    @classmethod
    def open(cls, folders: Sequence[Path]) -> Cache:
        """Opens finished shards."""
        shards = [{n: np.load(f / f"{n}.npy", mmap_mode="r") for n in ARRAYS} for f in folders]
        counts = [len(shard["places"]) for shard in shards]
        rows = [np.stack([np.full(n, k), np.arange(n)], axis=1) for k, n in enumerate(counts)]
        return cls(shards, np.concatenate(rows))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, surveys: Sequence[int] | NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """The arrays of some surveys, by name."""
        rows = self.rows[np.asarray(surveys)]
        return {n: np.stack([self.shards[shard][n][row] for shard, row in rows]) for n in ARRAYS}


def build(config: AlignmentConfig, split: str, folder: Path, advance: Advance) -> Cache:
    """Simulates what is missing of one split's shards and opens them all.

    Args:
        config: the run.
        split: `train` or `validation`.
        folder: of all caches; the split's own folder carries a hash of what shaped it.
        advance: takes a stage, the shards done and the shards in all.
    """
    specs = config.sources if split == "train" else config.validation
    surveys = config.surveys if split == "train" else config.validation_surveys
    base = load_encoder(config.base, threads=_THREADS).sha256
    shaped_by = [config.seed, base, asdict(config.layout), *map(asdict, specs)]
    key = hashlib.sha256(json.dumps(shaped_by).encode()).hexdigest()[:12]
    shards = [folder / f"{split}-{key}" / f"{k:05d}" for k in range(-(-surveys // SHARD_SURVEYS))]
    missing = [shard for shard in shards if not shard.exists()]
    job = partial(_write_shard, config=config, split=split)
    workers = min(config.workers, len(missing))
    if workers > 1:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for done, _ in enumerate(pool.imap_unordered(job, missing), start=1):
                advance(split, done, len(missing))
    else:
        for done, shard in enumerate(missing, start=1):
            job(shard)
            advance(split, done, len(missing))
    return Cache.open(shards)


@lru_cache(maxsize=1)
def _simulator(config: AlignmentConfig, split: str) -> tuple[SimulatedSurveys, Encoder]:
    """The imagery and the encoder, loaded once a process."""
    cv2.setNumThreads(_THREADS)
    specs = config.sources if split == "train" else config.validation
    sources, pools = load_pools(specs, config.data_root)
    seed = config.seed * 2 + (split != "train")
    surveys = SimulatedSurveys(sources, pools, config.layout, seed)
    return surveys, load_encoder(config.base, threads=_THREADS)


def _write_shard(shard: Path, config: AlignmentConfig, split: str) -> None:
    simulator, encoder = _simulator(config, split)
    first = int(shard.name) * SHARD_SURVEYS
    records = [
        encoded(simulator.survey(number), encoder, config.layout.margin_px)
        for number in range(first, first + SHARD_SURVEYS)
    ]
    save_shard(shard, {name: np.stack([record[name] for record in records]) for name in ARRAYS})


def encoded(survey: Survey, encoder: Encoder, margin_px: int) -> dict[str, NDArray[np.generic]]:
    """One survey as the cache holds it; arrays as in the module, without their first axis."""
    spec = encoder.spec
    stride = spec.feature_stride_px
    shown = np.asarray(survey.window.any(axis=2))
    window = encoder.features(spec.fill(survey.window, shown)[None])[0]
    inner = slice(margin_px, len(shown) - margin_px)
    inside = np.asarray(survey.photos.any(axis=3))
    filled = [spec.fill(*pair) for pair in zip(survey.photos, inside, strict=True)]
    photos = np.concatenate([encoder.features(photo[None]) for photo in filled])
    seen = np.stack([covered_cells(valid, stride, CELL_COVERAGE) for valid in inside])
    square = survey.square
    return {
        "windows": window.transpose(2, 0, 1).astype(np.float16),
        "known": covered_cells(shown[inner, inner], stride, MIN_VALID),
        "photos": photos.transpose(0, 3, 1, 2).astype(np.float16),
        "seen": seen,
        "middles": survey.middles / stride,
        "places": np.array([survey.source, square.x_m, square.y_m, square.side_m], np.float64),
    }
