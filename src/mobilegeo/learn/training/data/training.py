"""Training places as batches of augmented views, the same on every run and on any layout of ranks.

What a batch holds follows from (seed, epoch, number of the batch) alone. Each place in it, a seat,
draws its own randomness from (seed, epoch, batch, seat), so that neither the number of threads nor
the number of ranks changes a pixel, and a run that is resumed goes on with the very same batches.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mobilegeo.errors import DatasetError, UsageError
from mobilegeo.learn.datasets.findings import some
from mobilegeo.learn.datasets.records import Place, ViewKind
from mobilegeo.learn.training.data.augmentations import Image, Recipe
from mobilegeo.learn.training.data.batch import ViewBatch
from mobilegeo.learn.training.data.config import Branch, SamplingConfig
from mobilegeo.learn.training.data.ordered import in_order
from mobilegeo.learn.training.data.reading import NAMED, ViewReader
from mobilegeo.learn.training.data.sampler import (
    EpochPlan,
    overlapping,
    plan_epoch,
    views_of_visit,
)

log = logging.getLogger(__name__)

BATCHES_AHEAD = 2
_BRANCHES: tuple[Branch, ...] = ("drone", "satellite")
_ORDER, _VIEWS, _PIXELS = range(3)
"""Streams of randomness of one run."""


@dataclass(frozen=True)
class SeatViews:
    """The views of one place in one batch.

    Attributes:
        place: index of the place.
        images: for each branch, uint8 [S, S, 3] images.
    """

    place: int
    images: dict[Branch, list[Image]]


class TrainingData:
    """Training places and how batches are drawn from them.

    Args:
        places: with views of both sides each; a place's position is its class.
        sampling: how batches are filled.
        recipe: the augmentation.
        size_px: side of the images.
        seed: with the epoch, fixes everything.
        workers: threads that read and augment.

    Raises:
        DatasetError: a place lacks a side.
        UsageError: there are fewer places than a batch holds.
    """

    def __init__(
        self,
        places: Sequence[Place],
        sampling: SamplingConfig,
        recipe: Recipe,
        *,
        size_px: int,
        seed: int,
        workers: int,
    ) -> None:
        _check_sides(places)
        _tell_repeated(places, sampling)
        self._places = tuple(places)
        self._sampling = sampling
        self._recipe = recipe
        self._seed = seed
        self._workers = workers
        self._reader = ViewReader(size_px)
        self._overlaps = overlapping(places)
        self._lost: set[int] = set()
        self._lost_lock = threading.Lock()
        self._plan(0, None)

    @property
    def places(self) -> int:
        """Number of training places, which is that of classes."""
        return len(self._places)

    @property
    def place_ids(self) -> tuple[str, ...]:
        """The dataset's names of the places, in the order of the classes."""
        return tuple(place.id for place in self._places)

    @property
    def batches_per_epoch(self) -> int:
        """Joint batches in an epoch; an incomplete last one is not made."""
        visits = self.places * self._sampling.visits_per_epoch
        return visits // self._sampling.places_per_batch

    @property
    def damaged_files(self) -> int:
        """Image files that could not be read so far."""
        return len(self._reader.damaged)

    def batches(
        self,
        epoch: int,
        *,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        neighbours: NDArray[np.int32] | None = None,
    ) -> Iterator[ViewBatch]:
        """The batches of an epoch, or one rank's part of each.

        The joint batch of P places is cut into `world` equal runs of places, rank after rank.

        Args:
            epoch: from 0.
            start: number of the first batch to make, for a run that goes on within an epoch.
            rank: number of this process, from 0.
            world: how many processes share a batch.
            neighbours: int32 [places, n] of `nearest_places`, for batches of places that look
                alike; None for random ones. All ranks must give the same.

        Raises:
            UsageError: P is not a multiple of `world`.
            DatasetError: none of a batch's places can be read, or less than half of all places.
        """
        size = self._sampling.places_per_batch
        if size % world or not 0 <= rank < world:
            raise UsageError(
                f"sampling.places_per_batch {size}",
                f"cannot be shared by {world} processes evenly (rank {rank})",
                f"use a multiple of {world}",
            )
        return self._batches(self._plan(epoch, neighbours), epoch, start, rank, world)

    def reference_views(self, chunk: int = 64) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
        """The satellite view of every place, not augmented, to judge which places look alike.

        Args:
            chunk: images at a time.

        Yields:
            int64 [n], indices of places, in order; uint8 [n, 3, S, S]. A place of which no
            satellite view can be read is left out.
        """
        jobs = (
            partial(self._reader.read_square, place.of_kind("satellite")) for place in self._places
        )
        found: list[tuple[int, Image]] = []
        for index, image in enumerate(in_order(jobs, self._workers, chunk)):
            if image is not None:
                found.append((index, image))
            if len(found) == chunk:
                yield _stacked(found)
                found = []
        if found:
            yield _stacked(found)

    def _plan(self, epoch: int, neighbours: NDArray[np.int32] | None) -> EpochPlan:
        rng = np.random.default_rng((self._seed, _ORDER, epoch))
        return plan_epoch(self._overlaps, self._sampling, rng, neighbours)

    def _batches(
        self, plan: EpochPlan, epoch: int, start: int, rank: int, world: int
    ) -> Iterator[ViewBatch]:
        share = self._sampling.places_per_batch // world
        seats = range(rank * share, (rank + 1) * share)
        numbers = range(start, len(plan.places))
        jobs = (partial(self._seat, plan, epoch, k, seat) for k in numbers for seat in seats)
        results = in_order(jobs, self._workers, BATCHES_AHEAD * share + self._workers)
        for _ in numbers:
            yield _collated([next(results) for _ in seats])

    def _seat(self, plan: EpochPlan, epoch: int, number: int, seat: int) -> SeatViews:
        """The views of one place; of the next place of the batch if it has none that can be read.

        So a batch keeps its size on every rank.
        """
        around = np.roll(plan.places[number], -seat)
        for step, place in enumerate(int(place) for place in around):
            if place in self._lost:
                continue
            # Steps beyond a place's own seat must not repeat the views it has there.
            visit = int(np.roll(plan.visits[number], -seat)[step]) + step
            rng = np.random.default_rng((self._seed, _PIXELS, epoch, number, seat))
            views = self._views(place, visit, epoch, rng)
            if views is not None:
                return views
            self._lose(place)
        raise DatasetError(
            f"batch {number} of epoch {epoch}",
            f"holds no place that can be read ({some(self._places[p].id for p in around)})",
            "check the dataset with mobilegeo learn check-data --all",
        )

    def _views(
        self, place: int, visit: int, epoch: int, rng: np.random.Generator
    ) -> SeatViews | None:
        """Augmented views of both branches; None where one has none that can be read."""
        mirrored = rng.random() < self._recipe.mirrored
        images: dict[Branch, list[Image]] = {}
        for branch in _BRANCHES:
            look = self._recipe.drone if branch == "drone" else self._recipe.satellite
            images[branch] = []
            for pixels in self._pixels(place, branch, visit, epoch):
                if pixels is None:
                    return None
                shown = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
                images[branch].append(look.apply(shown, self._reader.size_px, rng))
        return SeatViews(place, images)

    def _pixels(self, place: int, branch: Branch, visit: int, epoch: int) -> Iterator[Image | None]:
        """The pixels of a branch's views of one visit; None where a view has no readable kin."""
        record = self._places[place]
        own = record.of_kind(branch)
        for number, (kind, wanted) in enumerate(_kinds(self._sampling, branch)):
            views = record.of_kind(kind) or own
            key = (self._seed, _VIEWS, epoch, place, _BRANCHES.index(branch), number)
            for chosen in views_of_visit(len(views), wanted, visit, key):
                image = self._reader.read_one_of(views, chosen)
                yield self._reader.read_one_of(own) if image is None else image

    def _lose(self, place: int) -> None:
        """Notes a place that cannot be trained on; its seats go to others from now on."""
        with self._lost_lock:
            if place in self._lost:
                return
            self._lost.add(place)
            lost = len(self._lost)
        if 2 * lost > self.places:
            raise DatasetError(
                f"{lost} of {self.places} training places",
                "have lost all views of one side: they were there when training began",
                "see whether the disk is still there, then mobilegeo learn check-data --all",
            )
        if lost <= NAMED:
            log.error(
                "place %s: none of its drone views or none of its satellite views can be read, so "
                "it is not trained on; restore its images from the download",
                self._places[place].id,
            )


def _kinds(sampling: SamplingConfig, branch: Branch) -> list[tuple[ViewKind, int]]:
    """Kinds of views that a branch takes, with their numbers."""
    own = sampling.drone_views if branch == "drone" else sampling.satellite_views
    kinds: list[tuple[ViewKind, int]] = [(branch, own)]
    if branch == sampling.street_branch:
        kinds += [("street", sampling.street_views), ("google", sampling.google_views)]
    return kinds


def _check_sides(places: Sequence[Place]) -> None:
    for kind in _BRANCHES:
        lacking = [place.id for place in places if not place.of_kind(kind)]
        if lacking:
            raise DatasetError(
                f"training places {some(lacking)}",
                f"have no {kind} view, so that there is nothing to compare",
                f"add their {kind} views or remove the places",
            )


def _tell_repeated(places: Sequence[Place], sampling: SamplingConfig) -> None:
    for kind in _BRANCHES:
        wanted = dict(_kinds(sampling, kind))[kind]
        few = [place.id for place in places if len(place.of_kind(kind)) < wanted]
        if few:
            log.warning(
                "%d of %d places have fewer than %d %s views (%s); theirs are repeated in a batch",
                len(few), len(places), wanted, kind, some(few),
            )  # fmt: skip


def _collated(seats: Sequence[SeatViews]) -> ViewBatch:
    tensors = {}
    for branch in _BRANCHES:
        shown = [(seat.place, image) for seat in seats for image in seat.images[branch]]
        tensors[branch] = _stacked(shown)
    (drone_places, drone), (satellite_places, satellite) = (tensors[b] for b in _BRANCHES)
    return ViewBatch(
        drone, satellite, torch.from_numpy(drone_places), torch.from_numpy(satellite_places)
    )


def _stacked(shown: Sequence[tuple[int, Image]]) -> tuple[NDArray[np.int64], torch.Tensor]:
    """int64 [n] and uint8 [n, 3, S, S]."""
    indices = np.array([index for index, _ in shown], np.int64)
    pixels = np.stack([image for _, image in shown]).transpose(0, 3, 1, 2)
    return indices, torch.from_numpy(np.ascontiguousarray(pixels))
