"""A training run: from a configuration to a checkpoint, resumable at any point."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mobilegeo.encoder import load_encoder
from mobilegeo.learn import checkpoint
from mobilegeo.learn.alignment.batch import read_batch, survey_order
from mobilegeo.learn.alignment.cache import Advance, Cache, build
from mobilegeo.learn.alignment.config import AlignmentConfig, load_config
from mobilegeo.learn.alignment.heatmaps import heatmaps, judge
from mobilegeo.learn.alignment.poses import wrong_poses
from mobilegeo.learn.losses.correlation import HeatmapCrossEntropy
from mobilegeo.learn.models.alignment_head import AlignmentHead
from mobilegeo.learn.models.saved_head import described
from mobilegeo.learn.training.optimiser import schedule
from mobilegeo.maps.descriptors import DescriptorBasis

START_SURVEYS = 64
"""Windows whose principal directions the head starts from."""

Tell = Callable[[str], None]


@dataclass
class Trainer:
    """What a run changes as it goes.

    Attributes:
        head: the network.
        loss: with its learnable temperature.
        optimiser: AdamW over both.
        step: optimiser steps done.
    """

    head: AlignmentHead
    loss: HeatmapCrossEntropy
    optimiser: torch.optim.AdamW
    step: int = 0

    @classmethod
    def new(cls, config: AlignmentConfig, training: Cache) -> Trainer:
        """That of step 0: the head gives the descriptors that a pack takes from the features."""
        torch.manual_seed(config.seed)
        head = AlignmentHead(training.shards[0]["windows"].shape[1], config.head)
        head.start(starting_basis(training))
        loss = HeatmapCrossEntropy()
        groups = [
            {"params": list(head.parameters()), "weight_decay": config.weight_decay},
            {"params": list(loss.parameters()), "weight_decay": 0.0},
        ]
        return cls(head, loss, torch.optim.AdamW(groups, lr=config.learning_rate))

    def save(self, config: AlignmentConfig) -> None:
        """Writes a checkpoint into the run's folder."""
        path = checkpoint.checkpoint_path(config.out, self.step)
        metadata = described(
            self.head, config.model_id, config.base, load_encoder(config.base).sha256
        )
        checkpoint.save(path, {"head": self.head, "loss": self.loss}, self.optimiser, metadata)

    def resume(self, path: Path) -> None:
        """Goes back to a checkpoint."""
        checkpoint.load(path, {"head": self.head, "loss": self.loss}, self.optimiser)
        self.step = checkpoint.step_of(path)


def run(config_path: Path, overrides: Sequence[str] = (), *, tell: Tell, advance: Advance) -> Path:
    """Trains what the configuration describes and returns the last checkpoint.

    Everything is under `out`: `cache/` (simulated surveys behind the frozen encoder),
    `step-*.safetensors`, of which step 0 is the untrained head, and `metrics.jsonl`. Started
    again, it goes on after the last checkpoint.

    Raises:
        UsageError: the configuration cannot be meant.
        ResourceError: imagery is missing.
        EncoderError: the base is no encoder.
    """
    config = load_config(config_path, overrides)
    config.out.mkdir(parents=True, exist_ok=True)
    validation = build(config, "validation", config.out / "cache", advance)
    training = build(config, "train", config.out / "cache", advance)
    trainer = Trainer.new(config, training)
    last = checkpoint.last_checkpoint(config.out)
    if last is None:
        _note(trainer, config, validation, {}, tell)
    else:
        trainer.resume(last)
    while trainer.step < config.steps:
        started = time.monotonic()
        stop = min(config.steps, trainer.step + config.checkpoint_every)
        batches = survey_order(len(training), config.batch_surveys, config.seed)
        losses = []
        for surveys in itertools.islice(batches, trainer.step, stop):
            losses.append(train_step(trainer, config, training, surveys))
            advance("steps", trainer.step, config.steps)
        seconds = round(time.monotonic() - started, 1)
        done = {"loss": float(np.mean(losses)), "seconds": seconds}
        _note(trainer, config, validation, done, tell)
    return checkpoint.checkpoint_path(config.out, trainer.step)


def train_step(
    trainer: Trainer, config: AlignmentConfig, training: Cache, surveys: NDArray[np.int64]
) -> float:
    """One optimiser step on some surveys; returns the loss."""
    rate = config.learning_rate * schedule(trainer.step, config.steps, config.warmup_steps)
    for group in trainer.optimiser.param_groups:
        group["lr"] = rate
    batch = read_batch(training, surveys)
    found = heatmaps(trainer.head, batch, wrong_poses(config.turn_deg, config.stretch))
    loss = trainer.loss(found.everywhere, batch.home, batch.middles, batch.ignored, found.wrong)
    trainer.optimiser.zero_grad()
    loss.backward()
    trainer.optimiser.step()
    trainer.step += 1
    return float(loss.detach())


def starting_basis(training: Cache) -> DescriptorBasis:
    """The basis that a pack of the training windows would have."""
    arrays = training.take(np.arange(min(START_SURVEYS, len(training))))
    windows, known = arrays["windows"].astype(np.float32), arrays["known"].astype(np.bool_)
    margin = (windows.shape[-1] - known.shape[-1]) // 2
    inner = slice(margin, windows.shape[-1] - margin)
    return DescriptorBasis.of(windows[..., inner, inner].transpose(0, 2, 3, 1)[known])


def _note(
    trainer: Trainer,
    config: AlignmentConfig,
    validation: Cache,
    training: dict[str, float],
    tell: Tell,
) -> None:
    """Notes the metrics and writes a checkpoint."""
    metrics = {
        "step": trainer.step,
        **{name: round(float(value), 4) for name, value in training.items()},
        "temperature": round(trainer.loss.temperature.item(), 4),
        **{
            name: round(value, 4)
            for name, value in asdict(judge(trainer.head, validation, config.batch_surveys)).items()
        },
    }
    with (config.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(metrics) + "\n")
    tell(json.dumps(metrics))
    trainer.save(config)
