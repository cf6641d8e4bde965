"""Simulated views of blocks of ground, through the frozen trunk once and kept on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from mobilegeo.errors import MapError
from mobilegeo.learn.adapt.budget import Stage
from mobilegeo.learn.adapt.ground import FOOTPRINTS_M, Block, Ground
from mobilegeo.learn.datasets.simulated import Pool, SimulatedPairs
from mobilegeo.learn.layout.cache import ARRAYS, Cache, Encoded, encode, save_shard

GROUPS_A_VISIT = 16
"""Groups of four places that are simulated of a block before the next one's turn."""


@dataclass(frozen=True)
class Simulator:
    """Makes views of a map's blocks.

    Attributes:
        ground: the map.
        trunk: a file of `write_trunk`, whose `features` are kept.
        size_px: side of the images.
        seed: of the views.
    """

    ground: Ground
    trunk: onnxruntime.InferenceSession
    size_px: int
    seed: int

    def pairs(self, block: Block) -> SimulatedPairs:
        """The endless series of pairs of a block."""
        pool = Pool(1.0, FOOTPRINTS_M, (0,))
        source = self.ground.source(block)
        return SimulatedPairs([source], [pool], size_px=self.size_px, seed=self.seed)

    def views(
        self, blocks: Sequence[Block], folder: Path, stage: Stage, *, least: int, most: int
    ) -> Cache:
        """Simulates some groups of a block, then of the next, in rounds of random order.

        Args:
            blocks: whose turn it is.
            folder: in which each visit leaves a shard.
            stage: how long it may go on.
            least: pairs that are needed.
            most: pairs that are enough.

        Raises:
            MapError: no place that could be recognised was found.
            UsageError: there was not enough time for `least`.
        """
        shards: list[Path] = []
        rng, pairs = np.random.default_rng(self.seed), 0
        turns = chain.from_iterable(rng.permutation(len(blocks)) for _ in count())
        with ThreadPoolExecutor(os.cpu_count()) as pool, _single_threaded():
            for visit, turn in enumerate(turns):
                found = self._visit(blocks[turn], visit * GROUPS_A_VISIT, pool)
                if found is not None:
                    shards.append(folder / f"{visit:06d}")
                    save_shard(shards[-1], dict(zip(ARRAYS, found, strict=True)))
                    pairs += len(found[-1])
                if pairs >= most or stage.done() >= 1.0:
                    break
        if not pairs:
            raise MapError(
                self.ground.name,
                "shows no place that could be recognised",
                "give imagery with buildings, roads or fields and without holes",
            )
        if pairs < least:
            raise stage.budget.too_few(f"{pairs} {stage.name} could be simulated, not {least}")
        return Cache.open(shards)

    def _visit(self, block: Block, first: int, pool: ThreadPoolExecutor) -> Encoded | None:
        pairs = self.pairs(block)

        def group(number: int) -> Encoded | None:
            made = [(number, replace(p, source=block.number)) for p in pairs.group(number)]
            return encode(made, self.trunk) if made else None

        groups = range(first, first + GROUPS_A_VISIT)
        parts = [part for part in pool.map(group, groups) if part is not None]
        if not parts:
            return None
        grids, coverage, places = zip(*parts, strict=True)
        return np.concatenate(grids), np.concatenate(coverage), np.concatenate(places)


def open_trunk(path: Path) -> onnxruntime.InferenceSession:
    """A trunk to be run by several threads of our own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keeps OpenCV and PyTorch from making threads of their own inside ours."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
