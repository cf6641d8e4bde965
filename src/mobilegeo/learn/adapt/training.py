"""Fine-tunes a place head on cached views until its time is over."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch

from mobilegeo.learn.adapt.budget import Stage
from mobilegeo.learn.layout.cache import Cache
from mobilegeo.learn.layout.objective import LayoutObjective, LayoutWeights
from mobilegeo.learn.layout.recall import embed_pairs
from mobilegeo.learn.layout.sampler import batch_indices, overlapping, turned_grids
from mobilegeo.learn.models.heads import LayoutHead

LEARNING_RATE = 3e-4
WEIGHT_DECAY = 0.05
RISE = 0.05
"""Share of the time in which the learning rate rises."""
TEMPERATURE = 0.05
"""Where a trained head's ends up, about."""
BATCH_GROUPS = 32


@dataclass(frozen=True, slots=True)
class Fit:
    """What training did.

    Attributes:
        steps: of the optimiser.
        first_loss, last_loss: means over the first and the last tenth of the steps.
    """

    steps: int
    first_loss: float
    last_loss: float


def fine_tune(head: LayoutHead, views: Cache, seed: int, stage: Stage) -> Fit:
    """Trains a head in place.

    Args:
        head: of the encoder.
        views: trunk outputs of pairs of views.
        seed: of the order of the batches and of their symmetries.
        stage: how long it goes on.
    """
    objective = LayoutObjective(
        LayoutWeights(), exits=0, student_dim=head.embedding_dim, temperature=TEMPERATURE
    )
    optimiser = torch.optim.AdamW(
        [*head.parameters(), *objective.parameters()], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    losses = []
    head.train()
    for step, pairs in enumerate(batch_indices(views.places[:, 0], BATCH_GROUPS, seed)):
        done = stage.done()
        if done >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * schedule(done)
        symmetry = int(np.random.default_rng((seed, step)).integers(8))
        grids = (turned_grids(array, symmetry) for array in views.take(pairs))
        near = overlapping(views.places[pairs])
        loss = objective([embed_pairs(head, *grids)], near).total
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    head.eval()
    tenth = max(1, len(losses) // 10)
    return Fit(len(losses), _mean(losses[:tenth]), _mean(losses[-tenth:]))


def between(original: LayoutHead, adapted: LayoutHead, share: float) -> LayoutHead:
    """A head whose weights lie between two others': w = w₀ + share · (w₁ − w₀).

    Part of the way often keeps what the original knows and has most of what the other learnt
    (Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
    """
    head = copy.deepcopy(original).eval()
    goal = adapted.state_dict()
    with torch.no_grad():
        for name, value in head.state_dict().items():
            if value.is_floating_point():
                value.lerp_(goal[name], share)
    return head


def schedule(done: float) -> float:
    """Learning rate relative to its peak: linear rise, then half a cosine down to zero.

    Args:
        done: share of the time that is over, 0 … 1. By time and not by steps, so that the rate
            has come down when the time is over on a machine of any speed.
    """
    return min(1.0, done / RISE) * 0.5 * (1.0 + math.cos(math.pi * done))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan
