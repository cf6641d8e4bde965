"""Which pairs share a batch, and which of them are not negatives of each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAME_PLACE = 0.45
"""Squares of one source whose centres are nearer than this share of a side, in x and in y, show
largely the same ground: neither is a wrong answer for the other."""


def batch_indices(
    groups: NDArray[np.float64], batch_groups: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Endless batches of whole groups, shuffled anew each epoch; an incomplete batch is dropped.

    Args:
        groups: [N], the group of every pair.
        batch_groups: groups in a batch.
        seed: of the order.

    Yields:
        int64 [about batch_groups × group size], indices of pairs.
    """
    numbers, inverse = np.unique(groups, return_inverse=True)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    batch_groups = min(batch_groups, len(numbers))
    epoch = 0
    while True:
        order = np.random.default_rng((seed, epoch)).permutation(len(numbers))
        for start in range(0, len(order) - batch_groups + 1, batch_groups):
            chosen = order[start : start + batch_groups]
            yield np.concatenate([members[group] for group in chosen]).astype(np.int64)
        epoch += 1


def turned_grids(grids: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """One of the square's 8 symmetries of arrays [..., h, w]: mirrored first for 4 … 7.

    Features of a turned image are nearly the turned features of the image, so cached features
    turned alike for query and tile stand for another place.
    """
    mirrored = grids[..., ::-1] if symmetry >= 4 else grids
    return np.ascontiguousarray(np.rot90(mirrored, symmetry % 4, axes=(-2, -1)))


def overlapping(places: NDArray[np.float64]) -> Tensor:
    """Pairs of places that show largely the same ground.

    Args:
        places: [B, 5]: group, source, centre x and y and side in metres.

    Returns:
        bool [B, B], symmetric, false on the diagonal.
    """
    _, source, x, y, side = places.T
    apart = np.maximum(abs(x[:, None] - x), abs(y[:, None] - y))
    near = apart < SAME_PLACE * np.maximum(side[:, None], side)
    np.fill_diagonal(near, val=False)
    return torch.from_numpy((source[:, None] == source) & near)
