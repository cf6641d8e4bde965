"""Batches of cached surveys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilegeo.learn.alignment.cache import Cache


@dataclass(frozen=True)
class Batch:
    """Some surveys: M windows with P photos each, N = M · P photos in all.

    Attributes:
        windows: float32 [M, C, H + 2m, W + 2m], features with the margin.
        known: bool [M, H, W], without the margin.
        photos: float32 [N, C, h, w].
        seen: bool [N, h, w].
        home: int64 [N], each photo's window.
        middles: float32 [N, 2], row and column on it, in cells.
        ignored: bool [N, M], windows that share ground with the photo's own.
    """

    windows: Tensor
    known: Tensor
    photos: Tensor
    seen: Tensor
    home: Tensor
    middles: Tensor
    ignored: Tensor

    @property
    def margin(self) -> int:
        """m, cells."""
        return (self.windows.shape[-1] - self.known.shape[-1]) // 2


def read_batch(cache: Cache, surveys: NDArray[np.int64]) -> Batch:
    """The batch of some surveys."""
    arrays = cache.take(surveys)
    photos = arrays["photos"].shape[1]
    home = torch.arange(len(surveys)).repeat_interleave(photos)
    return Batch(
        _tensor(arrays["windows"]).float(),
        _tensor(arrays["known"]),
        _tensor(arrays["photos"]).float().flatten(0, 1),
        _tensor(arrays["seen"]).flatten(0, 1),
        home,
        _tensor(arrays["middles"]).float().flatten(0, 1),
        torch.from_numpy(sharing_ground(arrays["places"].astype(np.float64)))[home],
    )


def survey_order(surveys: int, batch: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Endless batches of surveys, shuffled anew each epoch; an incomplete batch is dropped."""
    batch = min(batch, surveys)
    epoch = 0
    while True:
        order = np.random.default_rng((seed, epoch)).permutation(surveys)
        for start in range(0, surveys - batch + 1, batch):
            yield order[start : start + batch]
        epoch += 1


def sharing_ground(places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which windows overlap, bool [M, M].

    Args:
        places: float64 [M, 4]: source, centre x and y and side in metres.
    """
    source, x, y, side = places.T
    apart = np.maximum(abs(x[:, None] - x), abs(y[:, None] - y))
    return np.asarray((source[:, None] == source) & (apart < (side[:, None] + side) / 2))


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array)
