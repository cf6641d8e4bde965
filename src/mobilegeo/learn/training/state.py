"""Everything that a run needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mobilegeo.errors import ResourceError, UsageError
from mobilegeo.learn import checkpoint
from mobilegeo.learn.models.saved import (
    PREFIX,
    ChannelStatistics,
    Kind,
    Network,
    described,
    places_hash,
    save_network,
)
from mobilegeo.learn.training.average import MovingAverage
from mobilegeo.learn.training.config import TrainingConfig
from mobilegeo.learn.training.step import Stepper

FREE = ("out", "data.root", "data.workers", "logging.tensorboard", "schedule.keep")
"""Keys of the configuration that may change when a run goes on: they move no weight."""


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: optimiser steps done.
        epoch: the epoch that goes on, from 0.
        taken: steps done within it.
        sums: of total and terms over these steps.
        best: the best validation metric so far.
        stale: evaluations since.
    """

    step: int = 0
    epoch: int = 0
    taken: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    stale: int = 0


@dataclass
class RunState:
    """What a checkpoint holds.

    Attributes:
        config: of the run.
        place_ids: the training places in the order of their classes.
        stepper: with network, objective and optimiser.
        average: of the weights, if one is kept.
        progress: where the run stands.
        neighbours: int32 [places, n], places that look alike; None before they were judged.
    """

    config: TrainingConfig
    place_ids: tuple[str, ...]
    stepper: Stepper
    average: MovingAverage | None
    progress: Progress = field(default_factory=Progress)
    neighbours: NDArray[np.int32] | None = None

    @property
    def result(self) -> Network:
        """The network as it is evaluated and saved: the average, where one is kept."""
        return self.stepper.learner.network if self.average is None else self.average.network

    def save(self) -> Path:
        """Writes a checkpoint and removes those that are no longer kept."""
        config = self.config
        path = checkpoint.checkpoint_path(config.out, self.progress.step)
        tensors = checkpoint.tensors_of(self._modules())
        tensors |= checkpoint.moments_of(self.stepper.optimiser)
        if self.neighbours is not None:
            tensors["neighbours"] = torch.from_numpy(self.neighbours)
        checkpoint.write_tensors(path, tensors, self._metadata())
        for old in checkpoint.checkpoints(config.out)[: -config.schedule.keep]:
            old.unlink()
        return path

    def resume(self, path: Path) -> None:
        """Goes back to a checkpoint.

        Raises:
            UsageError: the configuration is another, and would not lead where the run was going.
            ResourceError: the file is damaged, or the dataset is another.
        """
        metadata = checkpoint.read_metadata(path)
        if not {"progress", "training"} <= set(metadata):
            raise ResourceError(
                path, "is no checkpoint of a training run", "choose another `out` folder"
            )
        _check_same(path, json.loads(metadata["training"]), told(self.config))
        if metadata["places_sha256"] != places_hash(self.place_ids):
            raise ResourceError(
                path,
                f"was trained on {metadata['places']} places, which are not those found now "
                f"({len(self.place_ids)})",
                f"restore the dataset at {self.config.data.root} or choose another `out` folder",
            )
        checkpoint.load(path, self._modules(), self.stepper.optimiser)
        self.stepper.scaler.load_state_dict(json.loads(metadata["scaler"]))
        self.progress = Progress(**json.loads(metadata["progress"]))
        neighbours = checkpoint.read_tensors(path, "neighbours").get("neighbours")
        self.neighbours = None if neighbours is None else neighbours.numpy()

    def save_network(self, path: Path, features: ChannelStatistics | None) -> None:
        """Writes the network alone, for inference and for the next step.

        Args:
            path: the file.
            features: of a student.
        """
        save_network(
            path,
            self.result,
            config=self.config.network,
            kind=self._kind,
            places=self.place_ids,
            model_id=self.config.model_id,
            extra={"training": json.dumps(told(self.config))},
            features=features,
        )

    @property
    def _kind(self) -> Kind:
        return "teacher" if self.config.task == "teacher" else "student"

    def _modules(self) -> dict[str, nn.Module]:
        learner = self.stepper.learner
        modules: dict[str, nn.Module] = {PREFIX: self.result, "objective": learner.objective}
        if self.average is not None:
            modules["trained"] = learner.network
        return modules

    def _metadata(self) -> dict[str, str]:
        network = described(
            self.result,
            self.config.network,
            kind=self._kind,
            places=self.place_ids,
            model_id=self.config.model_id,
        )
        return {
            **network,
            "training": json.dumps(told(self.config)),
            "progress": json.dumps(asdict(self.progress)),
            "scaler": json.dumps(self.stepper.scaler.state_dict()),
        }


def told(config: TrainingConfig) -> dict[str, Any]:
    """A configuration as plain values by dotted keys, such as `schedule.epochs`."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return dict(_flattened(plain, ""))


def _flattened(table: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat += _flattened(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _check_same(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [
        f"{key} was {then.get(key)!r} and is {now.get(key)!r}"
        for key in sorted(then.keys() | now.keys())
        if key not in FREE and then.get(key) != now.get(key)
    ]
    if changed:
        raise UsageError(
            path,
            f"was made with another configuration: {'; '.join(changed)}",
            "restore it to go on, or choose another `out` folder to start anew",
        )
