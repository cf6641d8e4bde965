"""The training configuration: one TOML file, every key known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mobilegeo.errors import UsageError
from mobilegeo.learn.configuration import read_toml, record
from mobilegeo.learn.losses.objective import ObjectiveWeights
from mobilegeo.learn.models.student import StudentConfig
from mobilegeo.learn.models.teacher import TeacherConfig
from mobilegeo.learn.training.data.config import DataConfig, SamplingConfig

Task = Literal["self_distillation", "teacher", "cross_distillation"]


@dataclass(frozen=True)
class OptimiserConfig:
    """The `[optimiser]` section: AdamW.

    Attributes:
        learning_rate: peak, of the heads and of the objective's own parameters.
        trunk_factor: learning rate of the pretrained trunk, relative to `learning_rate`.
        weight_decay: of matrices and kernels; norms, biases and scalars have none.
        clip_norm: gradients are scaled down to at most this L2 norm.
    """

    learning_rate: float = 1e-3
    trunk_factor: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 5.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "clip_norm"):
            _require(getattr(self, name) > 0, f"optimiser.{name}", self, name, "above 0")
        for name in ("trunk_factor", "weight_decay"):
            _require(getattr(self, name) >= 0, f"optimiser.{name}", self, name, "0 or more")


@dataclass(frozen=True)
class ScheduleConfig:
    """The `[schedule]` section: how long, and what happens when.

    Attributes:
        epochs: to train for.
        warmup_epochs: linear rise of the learning rate, before the cosine fall to zero; may be a
            fraction.
        ema_decay: of the exponential moving average of the weights, which then is what is
            evaluated and saved; 0 keeps none.
        evaluate_every: epochs between evaluations on the held-out places.
        metric: what early stopping and the choice of the best network go by.
        patience: evaluations without a new best after which training stops; 0 never stops.
        checkpoint_steps: optimiser steps between checkpoints within an epoch; 0 writes them at
            the ends of epochs only.
        keep: how many of the last checkpoints stay.
    """

    epochs: int = 120
    warmup_epochs: float = 5.0
    ema_decay: float = 0.0
    evaluate_every: int = 1
    metric: Literal["R@1", "AP"] = "R@1"
    patience: int = 0
    checkpoint_steps: int = 0
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("epochs", "evaluate_every", "keep"):
            _require(getattr(self, name) >= 1, f"schedule.{name}", self, name, "1 or more")
        for name in ("warmup_epochs", "patience", "checkpoint_steps"):
            _require(getattr(self, name) >= 0, f"schedule.{name}", self, name, "0 or more")
        _require(
            0 <= self.ema_decay < 1, "schedule.ema_decay", self, "ema_decay", "0 or up to below 1"
        )
        _require(
            self.warmup_epochs < self.epochs,
            "schedule.warmup_epochs",
            self,
            "warmup_epochs",
            f"fewer than the {self.epochs} epochs",
        )


@dataclass(frozen=True)
class PrecisionConfig:
    """The `[precision]` section.

    Attributes:
        mode: `bf16` and `fp16` run the networks under autocast (fp16 with a scaled loss, on a GPU
            only); `off` is float32. Losses are float32 in any case.
    """

    mode: Literal["bf16", "fp16", "off"] = "bf16"


@dataclass(frozen=True)
class MemoryConfig:
    """The `[memory]` section: large batches on small cards.

    Attributes:
        chunk_images: gradient caching: the networks see this many images at a time, the losses
            the whole batch; 0 does not cut it.
        accumulation: batches whose gradients are averaged into one optimiser step; each has its
            own negatives.
        grad_checkpointing: let timm recompute activations in the backward pass.
    """

    chunk_images: int = 0
    accumulation: int = 1
    grad_checkpointing: bool = False

    def __post_init__(self) -> None:
        _require(
            self.chunk_images == 0 or self.chunk_images >= 2,
            "memory.chunk_images",
            self,
            "chunk_images",
            "0 or at least 2, which batch norm needs",
        )
        _require(self.accumulation >= 1, "memory.accumulation", self, "accumulation", "1 or more")


@dataclass(frozen=True)
class LoggingConfig:
    """The `[logging]` section.

    Attributes:
        tensorboard: write event files besides `metrics.jsonl`.
    """

    tensorboard: bool = True


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that shapes a run. Paths in the file are relative to the file itself.

    Attributes:
        task: step 1, the teacher's fine-tuning, or step 2.
        model_id: name of the trained network.
        out: run folder: checkpoints, metrics, the network.
        data: imagery.
        seed: of everything random.
        start: a network trained before, to go on from.
        teacher_network: the fine-tuned teacher, for step 2.
        student: what is trained in the steps 1 and 2.
        teacher: what is trained as teacher.
        sampling: how batches are filled.
        loss: weights of the objective's terms.
        optimiser, schedule, precision, memory, logging: see their classes.
    """

    task: Task
    model_id: str
    out: Path
    data: DataConfig
    seed: int = 0
    start: Path | None = None
    teacher_network: Path | None = None
    student: StudentConfig | None = None
    teacher: TeacherConfig | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    loss: ObjectiveWeights = field(default_factory=ObjectiveWeights)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)

    def __post_init__(self) -> None:
        kind = "teacher" if self.task == "teacher" else "student"
        self._needs(kind, f"a [{kind}] section")
        self._refuses("student" if kind == "teacher" else "teacher")
        if self.task == "cross_distillation":
            self._needs("teacher_network", "the file of a fine-tuned teacher")
        else:
            self._refuses("teacher_network")
        if self.task == "teacher" and (self.loss.fisd or self.loss.ce_exit):
            raise UsageError(
                "loss",
                "has weights for shallow exits, of which the teacher has none",
                "set fisd and ce_exit to 0",
            )

    @property
    def network(self) -> StudentConfig | TeacherConfig:
        """What is trained."""
        config = self.teacher if self.task == "teacher" else self.student
        if config is None:
            raise RuntimeError("checked when made")
        return config

    def _needs(self, name: str, what: str) -> None:
        if getattr(self, name) is None:
            raise UsageError(f"task {self.task}", f"{name} is missing", f"give {what}")

    def _refuses(self, name: str) -> None:
        if getattr(self, name) is not None:
            raise UsageError(f"task {self.task}", f"makes no use of {name}", "remove it")


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Reads a configuration, changed by `section.key=value` overrides.

    Raises:
        UsageError: the file is missing, is not TOML, or has unknown, missing or mistyped keys.
    """
    return record(TrainingConfig, read_toml(path, overrides), str(path), path.parent)


def _require(holds: bool, where: str, section: object, name: str, wanted: str) -> None:
    if not holds:
        raise UsageError(where, f"is {getattr(section, name)!r}", f"give {wanted}")
