"""The training configuration: one TOML file, every key known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mobilegeo.errors import UsageError
from mobilegeo.learn.configuration import read_toml, record
from mobilegeo.learn.datasets.simulated import EVERYTHING, Simulation
from mobilegeo.learn.datasets.sources import SourceSpec
from mobilegeo.learn.layout.objective import LayoutWeights
from mobilegeo.learn.models.place_encoder import ModelConfig

TASK: Literal["layout_head"] = "layout_head"
"""`task` of the configurations that are for this trainer."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that shapes a run.

    Paths in the file are relative to the file itself; those of the sources to `data_root`.

    Attributes:
        model_id: name of the trained encoder.
        weights: ImageNet weights of the backbone, safetensors; `None` starts at random.
        data_root: folder that the sources' paths are relative to.
        out: run folder: checkpoints, metrics.
        cache: folder of simulated pairs behind the trunk, which runs on the same imagery share;
            `cache` in `out` when left out.
        seed: of the training: weights, batches.
        data_seed: of the simulated pairs.
        groups, validation_groups: groups of places simulated for training and validation.
        group_size: places in a group.
        workers: processes that simulate.
        steps: optimiser steps.
        batch_groups: groups in a batch.
        learning_rate: peak.
        warmup_steps: linear rise to the peak, before the cosine fall to zero.
        weight_decay: AdamW's.
        checkpoint_every: steps between checkpoints.
        model: the network.
        exits: stages of the trunk, below its last, with an exit that exists only in training.
        teachers: checkpoints of layout heads on the same trunk, an ensemble that teaches.
        objective: weights of the terms.
        simulation: what makes the two views of a place differ.
        sources: training imagery.
        validation: held-out imagery.
        task: names this trainer for `mobilegeo learn train`.
    """

    model_id: str
    data_root: Path
    out: Path
    sources: tuple[SourceSpec, ...] = ()
    validation: tuple[SourceSpec, ...] = ()
    task: Literal["layout_head"] = TASK
    weights: Path | None = None
    cache: Path | None = None
    seed: int = 0
    data_seed: int = 0
    groups: int = 10_000
    validation_groups: int = 250
    group_size: int = 4
    workers: int = 2
    steps: int = 2000
    batch_groups: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    checkpoint_every: int = 200
    model: ModelConfig = field(default_factory=ModelConfig)
    exits: tuple[int, ...] = ()
    teachers: tuple[Path, ...] = ()
    objective: LayoutWeights = field(default_factory=LayoutWeights)
    simulation: Simulation = EVERYTHING

    @property
    def shallow(self) -> tuple[int, ...]:
        """Stages of the trunk below its last that some head looks at, shallow to deep."""
        return tuple(sorted({*self.exits, *self.model.shallow}))

    def __post_init__(self) -> None:
        if not self.sources or not self.validation:
            raise UsageError(
                self.model_id, "no [[sources]] or no [[validation]]", "name at least one of each"
            )
        for name in ("groups", "validation_groups", "group_size", "workers", "steps"):
            if getattr(self, name) < 1:
                raise UsageError(self.model_id, f"{name} is below 1", "give a positive number")


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Reads a configuration, changed by `section.key=value` overrides.

    Raises:
        UsageError: the file is missing, is not TOML, or has unknown, missing or mistyped keys.
    """
    return record(TrainConfig, read_toml(path, overrides), str(path), path.parent)
