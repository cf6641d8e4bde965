"""The encoder: frozen trunk → standardised features → place embedding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mobilegeo.learn.models.backbone import FrozenTrunk, load_mobilenet
from mobilegeo.learn.models.heads import LayoutHead, cell_coverage
from mobilegeo.learn.models.padding import ReceptiveField, receptive_field


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the network is made of.

    Attributes:
        embedding_dim: D, dimensions of the embedding.
        last_trunk_block: the last stage of the frozen trunk; its output is `features`.
        size_px: side of the square input for which the embedding is trained.
        hidden_dim, cell_dim: widths of the layout head.
        shallow: stages below the last that the embedding looks at too, shallow to deep.
    """

    embedding_dim: int = 256
    last_trunk_block: int = 4
    size_px: int = 224
    hidden_dim: int = 192
    cell_dim: int = 32
    shallow: tuple[int, ...] = ()


class Standardise(nn.Module):
    """A fixed affine map per channel, after which training imagery has mean 0 and variance 1.

    Args:
        channels: C.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Maps [B, C, h, w] to the same shape."""
        return (features - self.mean[:, None, None]) / self.std[:, None, None]


class PlaceEncoder(nn.Module):
    """Images to embeddings and dense features.

    Args:
        config: sizes.
        weights: ImageNet weights for the backbone; `None` leaves it random.
    """

    def __init__(self, config: ModelConfig, weights: Path | None) -> None:
        super().__init__()
        self.config = config
        self.trunk = FrozenTrunk(load_mobilenet(weights), config.last_trunk_block)
        self.trunk.check_shallow(config.shallow)
        stages = (*config.shallow, config.last_trunk_block)
        channels = sum(self.trunk.channels_of(stage) for stage in stages)
        self.standardise = Standardise(channels)
        self.head = LayoutHead(channels, config.embedding_dim, config.hidden_dim, config.cell_dim)

    @property
    def receptive_field(self) -> ReceptiveField:
        """Stride of the features and how far a cell sees."""
        return receptive_field(self.trunk)

    def grids(self, image: Tensor) -> Tensor:
        """What the head looks at: standardised outputs of the stages; the last are `features`."""
        standard: Tensor = self.standardise(self.trunk.grids(image, self.config.shallow))
        return standard

    def features(self, image: Tensor) -> Tensor:
        """Features alone."""
        return self.grids(image)[:, -self.trunk.channels :]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and dense features.

        Args:
            image: float32 [B, 3, H, W], (RGB / 255 − 0.5) / 0.5, sides multiples of 32.

        Returns:
            float32 [B, D], L2-normalised, and float32 [B, C, H / stride, W / stride].
        """
        grids = self.grids(image)
        coverage = cell_coverage(image, self.receptive_field.stride_px)
        return self.head(grids, coverage), grids[:, -self.trunk.channels :]
