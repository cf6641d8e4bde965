"""One optimiser step: batches in, moved weights and the values of the terms out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from mobilegeo.errors import UsageError
from mobilegeo.learn.losses.objective import Branches, Objective
from mobilegeo.learn.models.exits import PlaceOutput
from mobilegeo.learn.models.timm_model import Preprocessing
from mobilegeo.learn.training.config import TrainingConfig
from mobilegeo.learn.training.data.batch import ViewBatch
from mobilegeo.learn.training.distributed import Ranks
from mobilegeo.learn.training.faults import check_gradient, check_terms, memory_explained
from mobilegeo.learn.training.gradient import accumulate_gradients
from mobilegeo.learn.training.learner import Learner, split
from mobilegeo.learn.training.optimiser import build_optimiser
from mobilegeo.learn.training.preparation import prepare

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stepper:
    """Takes optimiser steps.

    Args:
        config: the run.
        learner: on the device of this rank.
        ranks: the processes that share a batch.

    Attributes:
        optimiser: over the network and the objective.
        scaler: of fp16; does nothing otherwise.

    Raises:
        UsageError: fp16 without a GPU.
    """

    def __init__(self, config: TrainingConfig, learner: Learner, ranks: Ranks) -> None:
        if config.precision.mode == "fp16" and ranks.device.type != "cuda":
            raise UsageError(
                "precision.mode", "is fp16, which needs a GPU", "set it to bf16 or off"
            )
        self.learner = learner
        self.optimiser = build_optimiser(learner.network, learner.objective, config.optimiser)
        self.scaler = torch.amp.GradScaler(
            ranks.device.type, enabled=config.precision.mode == "fp16"
        )
        self._config = config
        self._ranks = ranks

    def autocast(self) -> AbstractContextManager[None]:
        """The run's precision, for running a network."""
        mode = self._config.precision.mode
        return torch.autocast(
            self._ranks.device.type, dtype=_AUTOCAST.get(mode), enabled=mode in _AUTOCAST
        )

    def take(self, batches: Sequence[ViewBatch], step: int) -> dict[str, float]:
        """One step on the mean gradient of some batches.

        All randomness inside the network follows from the seed, the step and the rank, so that a
        resumed run draws the same.

        Args:
            batches: this rank's parts of joint batches.
            step: steps done before.

        Returns:
            The total loss and its terms by name, means over the batches; the same on every rank.

        Raises:
            ResourceError: memory ran out, or the loss or the gradient is not finite; the weights
                are as they were.
        """
        seed = np.random.SeedSequence((self._config.seed, step, self._ranks.rank))
        torch.manual_seed(int(seed.generate_state(1)[0]))
        self.learner.network.train()
        self.learner.objective.train()
        self.optimiser.zero_grad()
        values: dict[str, float] = defaultdict(float)
        for batch in batches:
            images = len(batch.drone) + len(batch.satellite)
            with memory_explained(step, images):
                objective = self._accumulate(batch.to(self._ranks.device), step, len(batches))
            for name, value in objective.scalars().items():
                values[name] += value / len(batches)
        self._ranks.reduce_gradients(self.learner.network, self.learner.objective)
        self._move(step)
        return dict(values)

    def _accumulate(self, batch: ViewBatch, step: int, batches: int) -> Objective:
        learner, chunk = self.learner, self._config.memory.chunk_images
        images = torch.cat([batch.drone, batch.satellite])
        joint = ViewBatch(
            batch.drone,
            batch.satellite,
            self._ranks.gather(batch.drone_places),
            self._ranks.gather(batch.satellite_places),
        )
        taught = self._taught(images, len(batch.drone), chunk)

        def loss(output: PlaceOutput) -> Objective:
            own = self._ranks.gather_branches(split(output, len(batch.drone)))
            objective = learner.loss(own, taught, joint)
            check_terms(objective.terms, step, self._config.precision.mode)
            return objective

        def forward(part: Tensor) -> PlaceOutput:
            return self._run(learner.network, learner.network.preprocessing, part)

        def scale(total: Tensor) -> Tensor:
            scaled: Tensor = self.scaler.scale(total / batches)
            return scaled

        return accumulate_gradients(learner.network, forward, loss, scale, images, chunk)

    @torch.no_grad()
    def _taught(self, images: Tensor, drone_views: int, chunk: int) -> Branches | None:
        """What the teacher says of the joint batch."""
        teacher = self.learner.teacher
        if teacher is None:
            return None
        parts = torch.split(images, chunk or len(images))
        outputs = [self._run(teacher, teacher.preprocessing, part) for part in parts]
        whole = PlaceOutput(
            tuple(torch.cat(z) for z in zip(*(o.logits for o in outputs), strict=True)),
            torch.cat([o.embedding for o in outputs]),
        )
        return self._ranks.gather_branches(split(whole, drone_views))

    def _run(self, network: nn.Module, facts: Preprocessing, images: Tensor) -> PlaceOutput:
        pixels = prepare(images, facts)
        with self.autocast():
            output: PlaceOutput = network(pixels)
        return output

    def _move(self, step: int) -> None:
        self.scaler.unscale_(self.optimiser)
        groups = self.optimiser.param_groups
        parameters = [p for group in groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self._config.optimiser.clip_norm)
        if not self.scaler.is_enabled():  # a scaled fp16 gradient may overflow and is left out
            check_gradient(norm, step, self._config.precision.mode)
        self.scaler.step(self.optimiser)
        self.scaler.update()
