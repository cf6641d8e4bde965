"""The configuration of an alignment head's training: one TOML file, every key known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mobilegeo.errors import UsageError
from mobilegeo.learn.configuration import read_toml, record
from mobilegeo.learn.datasets.sources import SourceSpec
from mobilegeo.learn.models.alignment_head import HeadConfig

TASK: Literal["alignment_head"] = "alignment_head"
"""`task` of the configurations that are for this trainer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a simulated survey looks like: a window of a map, and photos of it.

    Attributes:
        window_px: side of the window that photos are sought on.
        margin_px: of the map around it, so that the window's edge does not show in its features.
        photo_px: side of the normalised photos.
        photos: of each window.
        reach_px: a photo's middle lies at most so far from the window's, in x and in y.
    """

    window_px: int = 512
    margin_px: int = 64
    photo_px: int = 384
    photos: int = 4
    reach_px: int = 64

    def __post_init__(self) -> None:
        most = (self.window_px - self.photo_px) / 2
        if not 0 <= self.reach_px <= most:
            raise UsageError(
                "layout",
                f"reach_px is {self.reach_px}, so that photos would hang over the window",
                f"give at most {most:g}, or a larger window_px",
            )

    @property
    def size_px(self) -> int:
        """Side of the window with its margin."""
        return self.window_px + 2 * self.margin_px


@dataclass(frozen=True)
class AlignmentConfig:
    """Everything that shapes a run.

    Paths in the file are relative to the file itself; those of the sources to `data_root`.

    Attributes:
        model_id: name of the encoder with the trained head.
        data_root: folder that the sources' paths are relative to.
        out: run folder: cache, checkpoints, metrics.
        sources: training imagery; `footprint_m` are sides of a window with its margin.
        validation: held-out imagery.
        task: names this trainer for `mobilegeo learn train`.
        base: the encoder whose features the head works on: the name of a shipped one, or the
            path of an `.onnx` file.
        seed: of everything random.
        surveys, validation_surveys: windows simulated for training and validation.
        workers: processes that simulate.
        steps: optimiser steps.
        batch_surveys: windows in a batch, with all their photos.
        learning_rate: peak.
        warmup_steps: linear rise to the peak, before the cosine fall to zero.
        weight_decay: AdamW's.
        checkpoint_every: steps between checkpoints.
        turn_deg, stretch: how much the wrong headings and scales are off: ± degrees, and times
            and divided by 1 + `stretch`.
        layout: of a survey.
        head: the network.
    """

    model_id: str
    data_root: Path
    out: Path
    sources: tuple[SourceSpec, ...] = ()
    validation: tuple[SourceSpec, ...] = ()
    task: Literal["alignment_head"] = TASK
    base: str = "first"
    seed: int = 0
    surveys: int = 500
    validation_surveys: int = 32
    workers: int = 2
    steps: int = 500
    batch_surveys: int = 8
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    checkpoint_every: int = 100
    turn_deg: float = 10.0
    stretch: float = 0.15
    layout: Layout = field(default_factory=Layout)
    head: HeadConfig = field(default_factory=HeadConfig)

    def __post_init__(self) -> None:
        if not self.sources or not self.validation:
            raise UsageError(
                self.model_id, "no [[sources]] or no [[validation]]", "name at least one of each"
            )
        for name in ("surveys", "validation_surveys", "workers", "steps", "batch_surveys"):
            if getattr(self, name) < 1:
                raise UsageError(self.model_id, f"{name} is below 1", "give a positive number")
        if not 0 <= self.warmup_steps < self.steps:
            raise UsageError(
                self.model_id, f"warmup_steps is {self.warmup_steps}", "give fewer than `steps`"
            )


def load_config(path: Path, overrides: Sequence[str] = ()) -> AlignmentConfig:
    """Reads a configuration, changed by `section.key=value` overrides.

    Raises:
        UsageError: the file is missing, is not TOML, or has unknown, missing or mistyped keys.
    """
    return record(AlignmentConfig, read_toml(path, overrides), str(path), path.parent)
