"""Mean and spread of the trunk's channels over training imagery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilegeo.learn.datasets.simulated import Pool
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.datasets.view import (
    Square,
    ViewError,
    ground_grid,
    pixel_to_ground,
    sample_image,
)
from mobilegeo.learn.layout.stages import TrunkStages

LARGEST_PX = 320


def feature_statistics(
    stages: TrunkStages,
    sources: Sequence[Source],
    pools: Sequence[Pool],
    gsd_m: float,
    seed: int,
    squares: int = 256,
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel, float32 [C] each.

    Over squares of unaltered imagery at the resolution at which features are matched, as large as
    the source allows up to `LARGEST_PX`.
    """
    rng = np.random.default_rng(seed)
    weights = np.array([pool.weight for pool in pools])
    total = torch.zeros_like(stages.standardise.mean, dtype=torch.float64)
    squared, cells = torch.zeros_like(total), 0
    for choice in rng.choice(len(pools), squares, p=weights / weights.sum()):
        source = sources[int(rng.choice(pools[choice].members))]
        cut = _random_cut(source, gsd_m, rng)
        pixels = torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        features = stages.raw(pixels).double()
        total += features.sum(dim=(0, 2, 3))
        squared += features.square().sum(dim=(0, 2, 3))
        cells += features.shape[2] * features.shape[3]
    mean = total / cells
    std = (squared / cells - mean.square()).sqrt()
    return mean.float(), std.float()


def _random_cut(source: Source, gsd_m: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    extent_m = min(source.width_m, source.depth_m)
    side_px = min(int(extent_m / gsd_m) // 32 * 32, LARGEST_PX)
    half = side_px * gsd_m / 2
    x = float(rng.uniform(half, source.width_m - half))
    y = float(rng.uniform(half, source.depth_m - half))
    square = Square(x, y, 2 * half)
    grid = ground_grid(pixel_to_ground(square, ViewError.none(), side_px), side_px)
    return sample_image(source, grid)[0]
