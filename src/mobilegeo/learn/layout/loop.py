"""A training run: from a configuration to a checkpoint, resumable at any point."""

from __future__ import annotations

import itertools
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mobilegeo.learn import checkpoint
from mobilegeo.learn.export.network import FEATURE_GSD_M, described, image_spec
from mobilegeo.learn.export.onnx import write_onnx
from mobilegeo.learn.layout.cache import Cache, build, load_pools
from mobilegeo.learn.layout.config import TrainConfig, load_config
from mobilegeo.learn.layout.recall import embed_pairs, recall_at_1
from mobilegeo.learn.layout.sampler import batch_indices, overlapping, turned_grids
from mobilegeo.learn.layout.statistics import feature_statistics
from mobilegeo.learn.losses.contrastive import SymmetricInfoNCE
from mobilegeo.learn.models.place_encoder import PlaceEncoder

log = logging.getLogger(__name__)


@dataclass
class Trainer:
    """What a run changes as it goes.

    Attributes:
        model: the encoder; only its head learns.
        loss: with its learnable temperature.
        optimiser: AdamW over both.
        step: optimiser steps done.
    """

    model: PlaceEncoder
    loss: SymmetricInfoNCE
    optimiser: torch.optim.AdamW
    step: int = 0

    def save(self, folder: Path, model_id: str) -> None:
        """Writes a checkpoint into `folder`."""
        path = checkpoint.checkpoint_path(folder, self.step)
        modules = {"model": self.model, "loss": self.loss}
        checkpoint.save(path, modules, self.optimiser, described(self.model, model_id))

    def resume(self, path: Path) -> None:
        """Goes back to a checkpoint."""
        checkpoint.load(path, {"model": self.model, "loss": self.loss}, self.optimiser)
        self.step = checkpoint.step_of(path)


def run(config_path: Path, overrides: Sequence[str] = ()) -> Path:
    """Trains what the configuration describes and returns the last checkpoint.

    Everything is under `out`: `trunk.onnx` and `cache/` (simulated pairs behind the frozen
    trunk), `step-*.safetensors` and `metrics.jsonl`. Started again, it goes on after the last
    checkpoint.

    Raises:
        UsageError: the configuration cannot be meant.
        ResourceError: imagery or weights are missing.
    """
    config = load_config(config_path, overrides)
    config.out.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(config)
    trunk = _trunk(config, trainer)
    folder = config.out / "cache"
    validation = build(config, trunk, "validation", folder)
    training = build(config, trunk, "train", folder)
    last = checkpoint.last_checkpoint(config.out)
    if last is not None:
        trainer.resume(last)
    while trainer.step < config.steps:
        _train_to_checkpoint(trainer, config, training, validation)
    return checkpoint.checkpoint_path(config.out, trainer.step)


def _trainer(config: TrainConfig) -> Trainer:
    torch.manual_seed(config.seed)
    model = PlaceEncoder(config.model, config.weights)
    loss = SymmetricInfoNCE()
    optimiser = torch.optim.AdamW(
        [*model.head.parameters(), *loss.parameters()],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    return Trainer(model, loss, optimiser)


def _trunk(config: TrainConfig, trainer: Trainer) -> Path:
    """Fits the model's standardisation and writes the network whose features are cached."""
    path = config.out / "trunk.onnx"
    start = checkpoint.checkpoint_path(config.out, 0)
    if path.exists() and start.exists():
        trainer.resume(start)
        return path
    model = trainer.model
    sources, pools = load_pools(config.sources, config.data_root)
    mean, std = feature_statistics(model.trunk, sources, pools, FEATURE_GSD_M, config.seed)
    model.standardise.mean.copy_(mean)
    model.standardise.std.copy_(std)
    trainer.save(config.out, config.model_id)
    return write_onnx(model, image_spec(model, f"{config.model_id}-trunk"), path)


def _train_to_checkpoint(
    trainer: Trainer, config: TrainConfig, training: Cache, validation: Cache
) -> None:
    """Trains up to the next checkpoint, notes the metrics and writes it."""
    started = time.monotonic()
    stop = min(config.steps, trainer.step + config.checkpoint_every)
    batches = batch_indices(training.places[:, 0], config.batch_groups, config.seed)
    losses = [
        train_step(trainer, config, training, pairs)
        for pairs in itertools.islice(batches, trainer.step, stop)
    ]
    metrics = {
        "step": trainer.step,
        "loss": float(np.mean(losses)),
        "temperature": trainer.loss.temperature.item(),
        "recall_at_1": recall_at_1(trainer.model.head, validation),
        "seconds": round(time.monotonic() - started, 1),
    }
    with (config.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(metrics) + "\n")
    log.info("%s", metrics)
    trainer.save(config.out, config.model_id)


def train_step(
    trainer: Trainer, config: TrainConfig, training: Cache, pairs: NDArray[np.int64]
) -> float:
    """One optimiser step on some pairs; returns the loss."""
    for group in trainer.optimiser.param_groups:
        group["lr"] = config.learning_rate * schedule(trainer.step, config)
    trainer.model.train()
    symmetry = int(np.random.default_rng((config.seed, trainer.step)).integers(8))
    grids = (turned_grids(array, symmetry) for array in training.take(pairs))
    query, tile = embed_pairs(trainer.model.head, *grids)
    loss = trainer.loss(query, tile, overlapping(training.places[pairs]))
    trainer.optimiser.zero_grad()
    loss.backward()
    trainer.optimiser.step()
    trainer.step += 1
    return float(loss.detach())


def schedule(step: int, config: TrainConfig) -> float:
    """Learning rate relative to its peak: linear rise, then half a cosine down to zero."""
    rise = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return rise * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
