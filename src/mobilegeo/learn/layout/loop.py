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
from torch import nn

from mobilegeo.learn import checkpoint
from mobilegeo.learn.export.network import FEATURE_GSD_M, described
from mobilegeo.learn.layout.cache import Cache, build, fingerprint, load_pools
from mobilegeo.learn.layout.config import TrainConfig, load_config
from mobilegeo.learn.layout.objective import LayoutObjective, Sides
from mobilegeo.learn.layout.recall import embed_pairs, recall_at_1
from mobilegeo.learn.layout.sampler import batch_indices, overlapping, turned_grids
from mobilegeo.learn.layout.stages import Channels, TrunkStages
from mobilegeo.learn.layout.statistics import feature_statistics
from mobilegeo.learn.layout.teachers import TEMPERATURE, Ensemble
from mobilegeo.learn.losses.objective import Objective
from mobilegeo.learn.models.heads import LayoutHead
from mobilegeo.learn.models.place_encoder import PlaceEncoder

log = logging.getLogger(__name__)

EXIT_HIDDEN_DIM = 64
"""Width of the exits' heads, which exist only in training."""


@dataclass
class Trainer:
    """What a run changes as it goes.

    Attributes:
        model: the encoder; only its head learns.
        exits: heads of the shallow exits.
        objective: with its learnable temperatures and projector.
        optimiser: AdamW over all three.
        channels: of the cached ones, those that each exit and, last, the head look at.
        teachers: frozen; `None` in step 1.
        step: optimiser steps done.
    """

    model: PlaceEncoder
    exits: nn.ModuleList
    objective: LayoutObjective
    optimiser: torch.optim.AdamW
    channels: list[Channels]
    teachers: Ensemble | None
    step: int = 0

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "exits": self.exits, "loss": self.objective}

    def described(self, model_id: str) -> dict[str, str]:
        """The text that travels with the weights."""
        temperature = self.objective.temperature.item()
        return described(self.model, model_id) | {TEMPERATURE: repr(temperature)}

    def save(self, folder: Path, model_id: str) -> None:
        """Writes a checkpoint into `folder`."""
        path = checkpoint.checkpoint_path(folder, self.step)
        checkpoint.save(path, self._modules, self.optimiser, self.described(model_id))

    def resume(self, path: Path) -> None:
        """Goes back to a checkpoint."""
        checkpoint.load(path, self._modules, self.optimiser)
        self.step = checkpoint.step_of(path)

    def embed(self, grids: NDArray[np.int8], coverage: NDArray[np.uint8]) -> list[Sides]:
        """Embeddings of a batch by every exit, shallow to deep."""
        heads = [*self.exits, self.model.head]
        return [
            embed_pairs(head, grids[:, :, channels], coverage)
            for head, channels in zip(heads, self.channels, strict=True)
        ]


def run(config_path: Path, overrides: Sequence[str] = ()) -> Path:
    """Trains what the configuration describes and returns the trained network's file.

    `out` gets `step-*.safetensors`, `metrics.jsonl` and, at the end, the network without what only
    training needs; `cache` the trunk as an ONNX file and the simulated pairs behind it. Started
    again, it goes on after the last checkpoint.

    Raises:
        UsageError: the configuration cannot be meant.
        ResourceError: imagery or weights are missing.
    """
    config = load_config(config_path, overrides)
    config.out.mkdir(parents=True, exist_ok=True)
    trainer, trunk_onnx = prepare(config)
    validation = build(config, trunk_onnx, "validation")
    training = build(config, trunk_onnx, "train")
    fit(trainer, config, training, validation)
    network = config.out / checkpoint.NETWORK_FILE
    tensors = checkpoint.tensors_of({"model": trainer.model})
    checkpoint.write_tensors(network, tensors, trainer.described(config.model_id))
    return network


def fit(trainer: Trainer, config: TrainConfig, training: Cache, validation: Cache) -> None:
    """Trains up to the last step, from the last checkpoint on."""
    last = checkpoint.last_checkpoint(config.out)
    if last is not None:
        trainer.resume(last)
    while trainer.step < config.steps:
        _train_to_checkpoint(trainer, config, training, validation)


def prepare(config: TrainConfig) -> tuple[Trainer, Path]:
    """An untrained network with standardised features, and the trunk's file for the cache."""
    torch.manual_seed(config.seed)
    model = PlaceEncoder(config.model, config.weights)
    stages = TrunkStages(model.trunk, config.shallow)
    trunk_onnx = _standardised(config, stages)
    own = stages.channels_at((*config.model.shallow, config.model.last_trunk_block))
    model.standardise.mean.copy_(stages.standardise.mean[own])
    model.standardise.std.copy_(stages.standardise.std[own])
    dim = config.model.embedding_dim
    exits = nn.ModuleList(
        LayoutHead(stages.channels[stage], dim, EXIT_HIDDEN_DIM) for stage in config.exits
    )
    teachers = Ensemble(config.teachers, stages) if config.teachers else None
    objective = LayoutObjective(
        config.objective, len(exits), dim, 0 if teachers is None else teachers.dim
    )
    optimiser = torch.optim.AdamW(
        [*model.head.parameters(), *exits.parameters(), *objective.parameters()],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    channels = [stages.channels_at([stage]) for stage in config.exits]
    return Trainer(model, exits, objective, optimiser, [*channels, own], teachers), trunk_onnx


def _standardised(config: TrainConfig, stages: TrunkStages) -> Path:
    """Fits the stages' standardisation and writes them for the cache, once for all its runs."""
    folder = config.cache or config.out / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"trunk-{fingerprint(config)}.onnx"
    noted = path.with_suffix(".safetensors")
    if path.exists():
        checkpoint.load(noted, {"standardise": stages.standardise})
        return path
    sources, pools = load_pools(config.sources, config.data_root)
    mean, std = feature_statistics(stages, sources, pools, FEATURE_GSD_M, config.data_seed)
    stages.standardise.mean.copy_(mean)
    stages.standardise.std.copy_(std)
    checkpoint.write_tensors(noted, checkpoint.tensors_of({"standardise": stages.standardise}), {})
    return stages.write(config.model.size_px, path)


def _train_to_checkpoint(
    trainer: Trainer, config: TrainConfig, training: Cache, validation: Cache
) -> None:
    """Trains up to the next checkpoint, notes the metrics and writes it."""
    started = time.monotonic()
    stop = min(config.steps, trainer.step + config.checkpoint_every)
    batches = batch_indices(training.places[:, 0], config.batch_groups, config.seed)
    losses = [
        train_step(trainer, config, training, pairs).scalars()
        for pairs in itertools.islice(batches, trainer.step, stop)
    ]
    metrics = {
        "step": trainer.step,
        **{name: round(float(np.mean([each[name] for each in losses])), 4) for name in losses[0]},
        "temperature": round(trainer.objective.temperature.item(), 4),
        "recall_at_1": recall_at_1(trainer.model.head, validation.looked_at(trainer.channels[-1])),
        "seconds": round(time.monotonic() - started, 1),
    }
    with (config.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(metrics) + "\n")
    log.info("%s", metrics)
    trainer.save(config.out, config.model_id)


def train_step(
    trainer: Trainer, config: TrainConfig, training: Cache, pairs: NDArray[np.int64]
) -> Objective:
    """One optimiser step on some pairs; returns the loss."""
    for group in trainer.optimiser.param_groups:
        group["lr"] = config.learning_rate * schedule(trainer.step, config)
    trainer.model.train()
    trainer.exits.train()
    symmetry = int(np.random.default_rng((config.seed, trainer.step)).integers(8))
    grids, coverage = (turned_grids(array, symmetry) for array in training.take(pairs))
    near = overlapping(training.places[pairs])
    teachers = trainer.teachers
    taught = None if teachers is None else teachers.teach(grids, coverage, near)
    loss: Objective = trainer.objective(trainer.embed(grids, coverage), near, taught)
    trainer.optimiser.zero_grad()
    torch.autograd.backward(loss.total)
    trainer.optimiser.step()
    trainer.step += 1
    return Objective(loss.total.detach(), loss.terms)


def schedule(step: int, config: TrainConfig) -> float:
    """Learning rate relative to its peak: linear rise, then half a cosine down to zero."""
    rise = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return rise * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
