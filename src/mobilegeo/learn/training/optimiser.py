"""AdamW over a network and its objective, and the learning rate at each step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from mobilegeo.learn.models.saved import Network
from mobilegeo.learn.training.config import OptimiserConfig

Group = dict[str, object]


def build_optimiser(
    network: Network, objective: nn.Module, config: OptimiserConfig
) -> torch.optim.AdamW:
    """AdamW in four groups: trunk and the rest, each with and without weight decay.

    Matrices and kernels decay; norms, biases, the exponent of GeM, layer scales and the
    temperature, all of at most one dimension, do not. The rest includes the objective's own
    parameters. Each group knows its share of the learning rate as `factor`.
    """
    trunk = [p for p in network.embedder.trunk.parameters() if p.requires_grad]
    of_trunk = set(trunk)
    rest = [p for p in network.parameters() if p.requires_grad and p not in of_trunk]
    groups = [
        *_split(trunk, config.weight_decay, config.trunk_factor),
        *_split([*rest, *objective.parameters()], config.weight_decay, 1.0),
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _split(parameters: Iterable[nn.Parameter], decay: float, factor: float) -> list[Group]:
    parameters = list(parameters)
    decaying = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups: list[Group] = [
        {"params": decaying, "weight_decay": decay, "factor": factor},
        {"params": others, "weight_decay": 0.0, "factor": factor},
    ]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Gives each group its share."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["factor"]


def schedule(step: int, steps: int, warmup_steps: int) -> float:
    """Learning rate relative to its peak: linear rise, then half a cosine down to zero.

    Args:
        step: optimiser steps done.
        steps: in all.
        warmup_steps: of the rise; the first step after it has the peak.

    Example:
        >>> [schedule(step, 6, 2) for step in (0, 1, 2, 4, 6)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps)))
