"""The alignment head: an encoder's dense features as descriptors that find their place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobilegeo.errors import UsageError
from mobilegeo.maps.descriptors import CHANNELS, DescriptorBasis

REACH_CELLS = 1
"""How many cells beyond its own a descriptor looks at."""


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """Sizes of the head.

    Attributes:
        descriptors: K, channels of the output; a pack keeps all of at most `CHANNELS`.
        hidden: channels between both convolutions of the correction.
    """

    descriptors: int = CHANNELS
    hidden: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.descriptors <= CHANNELS:
            raise UsageError(
                "descriptors", f"is {self.descriptors}", f"give 1 to {CHANNELS}, as packs keep"
            )


class AlignmentHead(nn.Module):
    """A linear map of each cell's features, and a small correction from the cells around it.

        d = P f + Q relu(N f)

    with P and Q 1 × 1 convolutions and N a 3 × 3 one. Q starts at zero and P at the principal
    directions of a map (`start`), so that training starts at the descriptors that packs take from
    untrained features. The output does not depend on where the input is cut, `REACH_CELLS` cells
    from its edge.

    Args:
        channels: C of the features.
        config: sizes.
    """

    def __init__(self, channels: int, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = channels
        self.project = nn.Conv2d(channels, config.descriptors, 1)
        self.around = nn.Conv2d(channels, config.hidden, 3, padding=REACH_CELLS)
        self.correct = nn.Conv2d(config.hidden, config.descriptors, 1)
        for parameter in self.correct.parameters():
            nn.init.zeros_(parameter)

    @torch.no_grad()
    def start(self, basis: DescriptorBasis) -> None:
        """Makes P the first K directions of a map's basis, scaled to a variance of about 1."""
        # Standardised features have length √C, and whitening gives each direction all of it.
        scale = 1.0 / math.sqrt(self.channels)
        weight = (
            torch.from_numpy(basis.axes / basis.std[:, None]).T[: self.config.descriptors] * scale
        )
        self.project.weight.copy_(weight[:, :, None, None])
        assert self.project.bias is not None
        self.project.bias.copy_(-weight @ torch.from_numpy(basis.mean))

    def forward(self, features: Tensor) -> Tensor:
        """Maps float [B, C, h, w] to descriptors, not normalised, float [B, K, h, w]."""
        around = torch.relu(self.around(features))
        out: Tensor = self.project(features) + self.correct(around)
        return out
