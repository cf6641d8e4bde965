"""The `[data]` and `[sampling]` sections of a training configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mobilegeo.errors import UsageError
from mobilegeo.learn.training.data.augmentations import RECIPES

Branch = Literal["drone", "satellite"]


@dataclass(frozen=True)
class DataConfig:
    """Which imagery is trained on, and how it is read.

    Attributes:
        dataset: key of the dataset catalogue.
        root: the dataset's folder.
        variant: a height or split where the dataset has several; None takes the first.
        augmentation: key of `augmentations.RECIPES`.
        validation_share: share of the training places held out for validation, 0 … 0.5; 0 holds
            none out.
        validation_seed: draws the held-out places, so that runs with other seeds hold out the same.
        workers: threads that decode and augment.
    """

    dataset: str
    root: Path
    variant: str | None = None
    augmentation: str = "sample4geo"
    validation_share: float = 0.1
    validation_seed: int = 0
    workers: int = 4

    def __post_init__(self) -> None:
        if self.augmentation not in RECIPES:
            raise UsageError(
                f"data.augmentation {self.augmentation!r}",
                "is not known",
                f"use one of: {', '.join(RECIPES)}",
            )
        if not 0.0 <= self.validation_share <= 0.5:
            raise UsageError(
                f"data.validation_share {self.validation_share}",
                "is not within 0 … 0.5",
                "give the share of the places to hold out, for example 0.1",
            )
        _at_least(1, "data.workers", self.workers)


@dataclass(frozen=True)
class SamplingConfig:
    """How batches are filled: P places with K drone views each, and their satellite views.

    Attributes:
        places_per_batch: P, of the joint batch of all ranks.
        drone_views: K, drone views of a place in a batch.
        satellite_views: satellite views of a place in a batch.
        street_views, google_views: views of these kinds of a place in a batch, beside the others;
            a place without any gives a view more of the branch that they join.
        street_branch: the branch that street and google views join.
        visits_per_epoch: how often each place is drawn in an epoch, each time with other views
            as far as it has them.
        hard_from_epoch: epoch, from 0, from which batches are filled with places that look alike;
            None never does so.
        refresh_every: epochs after which likeness is judged anew.
        hard_pool: how many nearest places of each place are known.
        hard_places: how many of them an anchor place draws into its batch: half of them its
            nearest, the others at random from its pool.
    """

    places_per_batch: int = 8
    drone_views: int = 4
    satellite_views: int = 1
    street_views: int = 0
    google_views: int = 0
    street_branch: Branch = "drone"
    visits_per_epoch: int = 1
    hard_from_epoch: int | None = None
    refresh_every: int = 4
    hard_pool: int = 32
    hard_places: int = 4

    def __post_init__(self) -> None:
        _at_least(2, "sampling.places_per_batch", self.places_per_batch)
        for name in ("drone_views", "satellite_views", "visits_per_epoch", "refresh_every"):
            _at_least(1, f"sampling.{name}", getattr(self, name))
        for name in ("hard_pool", "hard_places"):
            _at_least(1, f"sampling.{name}", getattr(self, name))
        for name in ("street_views", "google_views"):
            _at_least(0, f"sampling.{name}", getattr(self, name))
        if self.street_branch not in ("drone", "satellite"):
            raise UsageError(
                f"sampling.street_branch {self.street_branch!r}",
                "is no branch",
                "use drone or satellite",
            )
        if self.hard_places > self.hard_pool:
            raise UsageError(
                f"sampling.hard_places {self.hard_places}",
                f"exceeds hard_pool {self.hard_pool}",
                "draw at most as many places as the pool holds",
            )

    def is_hard(self, epoch: int) -> bool:
        """Whether the batches of this epoch are filled with places that look alike."""
        return self.hard_from_epoch is not None and epoch >= self.hard_from_epoch

    def refreshes(self, epoch: int) -> bool:
        """Whether likeness is to be judged anew before this epoch."""
        if self.hard_from_epoch is None or epoch < self.hard_from_epoch:
            return False
        return (epoch - self.hard_from_epoch) % self.refresh_every == 0


def _at_least(least: int, name: str, value: int) -> None:
    if not (math.isfinite(value) and value >= least):
        raise UsageError(f"{name} {value}", f"is below {least}", f"give at least {least}")
