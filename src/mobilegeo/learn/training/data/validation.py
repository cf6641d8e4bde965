"""Held-out training places: which ones, and their images for a drone-to-satellite search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mobilegeo.errors import DatasetError, UsageError
from mobilegeo.learn.datasets.records import Place, View
from mobilegeo.learn.training.data.ordered import in_order
from mobilegeo.learn.training.data.reading import ViewReader
from mobilegeo.learn.training.data.sampler import overlapping

LEAST_PLACES = 2


class ImageSet:
    """Views in a fixed order, as a network sees them.

    Args:
        views: the images.
        labels: int64 [N], the place of each.
        reader: reads them at the right size.
        workers: threads.
    """

    def __init__(
        self, views: Sequence[View], labels: NDArray[np.int64], reader: ViewReader, workers: int
    ) -> None:
        self.views = tuple(views)
        self.labels = labels
        self._reader = reader
        self._workers = workers

    def __len__(self) -> int:
        return len(self.views)

    def chunks(self, size: int = 64) -> Iterator[torch.Tensor]:
        """The images, uint8 [at most size, 3, S, S] at a time.

        A damaged file is warned of once and shown as black.

        Raises:
            DatasetError: more than half of the files cannot be read.
        """
        jobs = (partial(self._reader.read_square, [view]) for view in self.views)
        side = self._reader.size_px
        chunk: list[NDArray[np.uint8]] = []
        black = 0
        for image in in_order(jobs, self._workers, size):
            black += image is None
            chunk.append(np.zeros((side, side, 3), np.uint8) if image is None else image)
            if len(chunk) == size:
                yield _as_tensor(chunk)
                chunk = []
        if chunk:
            yield _as_tensor(chunk)
        if 2 * black > len(self):
            raise DatasetError(
                f"{black} of {len(self)} images for validation",
                "cannot be read: they were there when training began",
                "see whether the disk is still there, then mobilegeo learn check-data --all",
            )


class ValidationData:
    """Held-out places: their drone views ask, their satellite views are searched.

    Args:
        places: held out, with views of both sides.
        size_px: side of the images.
        workers: threads.

    Attributes:
        query: the drone views.
        gallery: the satellite views.
    """

    def __init__(self, places: Sequence[Place], *, size_px: int, workers: int) -> None:
        reader = ViewReader(size_px)
        self.place_ids = tuple(place.id for place in places)
        self.query, self.gallery = (
            ImageSet(
                [view for place in places for view in place.of_kind(kind)],
                np.repeat(np.arange(len(places)), [len(place.of_kind(kind)) for place in places]),
                reader,
                workers,
            )
            for kind in ("drone", "satellite")
        )


def hold_out(
    places: Sequence[Place], share: float, seed: int
) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
    """Splits places into those to train on and those held out, in their order.

    Places that show some of the same ground, directly or through others, stay together.

    Args:
        places: to split.
        share: wanted share of held-out places, 0 … 0.5.
        seed: of the draw.

    Returns:
        The places to train on, and those held out.

    Raises:
        UsageError: fewer than two places can be held out.
    """
    if share == 0.0:
        return tuple(places), ()
    groups = _connected(overlapping(places))
    wanted = max(round(share * len(places)), LEAST_PLACES)
    held: set[int] = set()
    for number in np.random.default_rng(seed).permutation(len(groups)):
        if len(held) + len(groups[number]) <= wanted:
            held.update(groups[number])
    if len(held) < LEAST_PLACES or len(held) > len(places) - LEAST_PLACES:
        raise UsageError(
            f"data.validation_share {share}",
            f"leaves {len(held)} of {len(places)} places for validation, the rest for training; "
            f"each needs {LEAST_PLACES}, and places that show the same ground stay together",
            "give another share, or 0 to train without validation",
        )
    return (
        tuple(place for number, place in enumerate(places) if number not in held),
        tuple(place for number, place in enumerate(places) if number in held),
    )


def _connected(neighbours: Sequence[frozenset[int]]) -> list[list[int]]:
    """Connected components of a graph, each sorted, in the order of their first members."""
    seen: set[int] = set()
    groups = []
    for start in range(len(neighbours)):
        if start in seen:
            continue
        seen.add(start)
        group, frontier = [], [start]
        while frontier:
            node = frontier.pop()
            group.append(node)
            fresh = neighbours[node] - seen
            seen |= fresh
            frontier += fresh
        groups.append(sorted(group))
    return groups


def _as_tensor(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)))
