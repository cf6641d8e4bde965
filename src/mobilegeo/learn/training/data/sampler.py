"""Which places share a batch, and which of their views are taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.records import Place
from mobilegeo.learn.training.data.config import SamplingConfig

Places = NDArray[np.int64]


@dataclass(frozen=True)
class EpochPlan:
    """The joint batches of an epoch.

    Attributes:
        places: int64 [batches, P], indices of places.
        visits: int64 [batches, P], how often each was drawn before in this epoch.
    """

    places: Places
    visits: Places


def overlapping(places: Sequence[Place]) -> list[frozenset[int]]:
    """For each place, the indices of those that show some of its ground; symmetric."""
    index = {place.id: number for number, place in enumerate(places)}
    sets: list[set[int]] = [set() for _ in places]
    for number, place in enumerate(places):
        for other in place.overlaps:
            if other in index and other != place.id:
                sets[number].add(index[other])
                sets[index[other]].add(number)
    return [frozenset(found) for found in sets]


def plan_epoch(
    overlaps: Sequence[frozenset[int]],
    sampling: SamplingConfig,
    rng: np.random.Generator,
    neighbours: NDArray[np.int32] | None = None,
) -> EpochPlan:
    """Draws the batches of an epoch.

    Every place is drawn `visits_per_epoch` times but for those that an incomplete last batch would
    hold. Places that overlap never share a batch. With `neighbours`, an anchor place is followed by
    places that look like it, as in Sample4Geo's dynamic similarity sampling (Deuser et al., 2023):
    half of them its nearest, the others at random from its pool, so that no batch is hopeless.

    Args:
        overlaps: for each place, the places that must not share its batch.
        sampling: how many of what.
        rng: draws the order.
        neighbours: int32 [places, n], the most alike places of each, or None for random batches.

    Raises:
        UsageError: not enough places that may share a batch.
    """
    count = len(overlaps)
    size = sampling.places_per_batch
    if count < size:
        raise UsageError(
            f"sampling.places_per_batch {size}",
            f"exceeds the {count} training places",
            "lower it, or hold out a smaller data.validation_share",
        )
    filler = _Filler(overlaps, sampling, rng, neighbours)
    batches = [filler.next_batch() for _ in range(count * sampling.visits_per_epoch // size)]
    places = np.array(batches, np.int64).reshape(-1, size)
    return EpochPlan(places, _times_before(places))


def _times_before(places: Places) -> Places:
    """How often each entry occurs before, in reading order."""
    flat = places.ravel()
    order = np.argsort(flat, kind="stable")
    _, starts, counts = np.unique(flat[order], return_index=True, return_counts=True)
    before = np.empty_like(flat)
    before[order] = np.arange(len(flat)) - np.repeat(starts, counts)
    return before.reshape(places.shape)


class _Filler:
    """Fills one batch after another.

    `queue` holds the visits to come, `left` how many of each place's are still to be made: a place
    that was drawn early, as a neighbour, is passed over when its own turn comes.
    """

    def __init__(
        self,
        overlaps: Sequence[frozenset[int]],
        sampling: SamplingConfig,
        rng: np.random.Generator,
        neighbours: NDArray[np.int32] | None,
    ) -> None:
        self.overlaps = overlaps
        self.sampling = sampling
        self.rng = rng
        self.neighbours = neighbours
        visits = sampling.visits_per_epoch
        rounds = [rng.permutation(len(overlaps)) for _ in range(visits)]
        self.queue = deque(int(place) for order in rounds for place in order)
        self.left = [visits] * len(overlaps)

    def next_batch(self) -> list[int]:
        """P places of which no two overlap."""
        size = self.sampling.places_per_batch
        batch: list[int] = []
        postponed = []
        while len(batch) < size and self.queue:
            place = self.queue.popleft()
            if self.left[place] == 0:
                continue
            if not self._fits(place, batch):
                postponed.append(place)
                continue
            for drawn in (place, *self._alike(place)):
                if len(batch) < size and self.left[drawn] and self._fits(drawn, batch):
                    self.left[drawn] -= 1
                    batch.append(drawn)
        self.queue.extendleft(reversed(postponed))
        if len(batch) < size:
            self._top_up(batch)
        return batch

    def _fits(self, place: int, batch: list[int]) -> bool:
        return place not in batch and self.overlaps[place].isdisjoint(batch)

    def _alike(self, place: int) -> list[int]:
        """Places that look like this one, in the order in which they are to be drawn."""
        if self.neighbours is None:
            return []
        pool = self.neighbours[place, : self.sampling.hard_pool]
        nearest = self.sampling.hard_places // 2
        others = self.rng.permutation(pool[nearest:])
        drawn = np.concatenate([pool[:nearest], others])[: self.sampling.hard_places]
        return [int(place) for place in drawn]

    def _top_up(self, batch: list[int]) -> None:
        """Fills the batch with places that had their visits, when those left all overlap it."""
        for place in self.rng.permutation(len(self.overlaps)):
            if len(batch) == self.sampling.places_per_batch:
                return
            if self._fits(int(place), batch):
                batch.append(int(place))
        if len(batch) < self.sampling.places_per_batch:
            raise UsageError(
                f"sampling.places_per_batch {self.sampling.places_per_batch}",
                f"exceeds the places that can share a batch ({len(batch)} were found that do not "
                "show some of the same ground)",
                "lower it",
            )


def views_of_visit(available: int, wanted: int, visit: int, key: Sequence[int]) -> list[int]:
    """Which of a place's views a visit takes.

    Visits of an epoch take other views as long as there are any; a place with fewer views than
    wanted repeats them.

    Args:
        available: how many views of the kind the place has, positive.
        wanted: how many are taken.
        visit: number of the visit in the epoch.
        key: seeds the order: run, epoch, place.

    Returns:
        `wanted` indices below `available`, all different if there are enough.
    """
    visits_a_round = max(1, available // max(wanted, 1))
    rounds, turn = divmod(visit, visits_a_round)
    order = np.random.default_rng((*key, rounds)).permutation(available)
    return [int(order[(turn * wanted + step) % available]) for step in range(wanted)]
