"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch

from mobilegeo.learn.models.saved import Network


class MovingAverage:
    """A second network whose weights follow the first's (Polyak averaging).

        w̄ ← β w̄ + (1 − β) w,   β = min(decay, (1 + t) / (10 + t)) after t steps

    so that the random start is soon forgotten. Batch-norm statistics, themselves moving averages,
    are averaged likewise; counters are copied.

    Args:
        network: is copied.
        decay: the final β.

    Attributes:
        network: the average, in evaluation mode.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Follows the network after `step` steps."""
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        current = network.state_dict()
        for name, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(current[name], share)
            else:
                mean.copy_(current[name])
