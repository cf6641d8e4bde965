"""What the frozen trunk gives to the heads: one grid of cells with the channels of some stages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobilegeo.learn.export.onnx import traced
from mobilegeo.learn.models.backbone import FrozenTrunk
from mobilegeo.learn.models.place_encoder import Standardise

Channels = NDArray[np.int64]
"""Numbers of some of the channels."""
STEP = 0.05
"""Standardised features are kept as whole multiples of this, up to ± 6.35 standard deviations."""


class TrunkStages(nn.Module):
    """Standardised outputs of some stages and of the last one, side by side.

    Args:
        trunk: frozen.
        shallow: stages that are given beside the last, shallow to deep.

    Raises:
        UsageError: they are not below the trunk's last stage.
    """

    def __init__(self, trunk: FrozenTrunk, shallow: Sequence[int]) -> None:
        super().__init__()
        trunk.check_shallow(shallow)
        self.trunk = trunk
        self.shallow = tuple(shallow)
        stages = (*shallow, len(trunk.blocks) - 1)
        self.channels = {stage: trunk.channels_of(stage) for stage in stages}
        self.standardise = Standardise(sum(self.channels.values()))

    def raw(self, image: Tensor) -> Tensor:
        """Not standardised; as `forward`."""
        return self.trunk.grids(image, self.shallow)

    def forward(self, image: Tensor) -> Tensor:
        """Maps normalised images, float32 [B, 3, H, W], to float32 [B, sum of channels, h, w]."""
        standard: Tensor = self.standardise(self.raw(image))
        return standard

    def channels_at(self, stages: Sequence[int]) -> Channels:
        """Where the channels of stages lie among all."""
        owner = np.repeat(list(self.channels), list(self.channels.values()))
        return np.flatnonzero(np.isin(owner, stages))

    def write(self, size_px: int, out: Path) -> Path:
        """Writes the stages as an ONNX file for square images of one size; whole or absent."""
        sample = torch.zeros(2, 3, size_px, size_px)
        free = {0: torch.export.Dim("batch", min=1, max=4096)}
        proto = traced(self.eval(), {"image": sample}, ["features"], [free])
        partial = out.with_suffix(".partial")
        onnx.save(proto, partial)
        return partial.replace(out)


def packed(features: NDArray[np.float32]) -> NDArray[np.int8]:
    """Standardised features as int8 of the same shape, rounded to multiples of `STEP`."""
    steps: NDArray[np.int8] = np.clip(np.rint(features / STEP), -127, 127).astype(np.int8)
    return steps


def unpacked(features: NDArray[np.int8]) -> Tensor:
    """Back to float32, of the same shape."""
    return torch.from_numpy(features).float() * STEP
