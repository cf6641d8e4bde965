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
    """

    embedding_dim: int = 256
    last_trunk_block: int = 4
    size_px: int = 224


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
        self.standardise = Standardise(self.trunk.channels)
        self.head = LayoutHead(self.trunk.channels, config.embedding_dim)

    @property
    def receptive_field(self) -> ReceptiveField:
        """Stride of the features and how far a cell sees."""
        return receptive_field(self.trunk)

    def features(self, image: Tensor) -> Tensor:
        """Features alone."""
        standard: Tensor = self.standardise(self.trunk(image))
        return standard

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and dense features.

        Args:
            image: float32 [B, 3, H, W], (RGB / 255 − 0.5) / 0.5, sides multiples of 32.

        Returns:
            float32 [B, D], L2-normalised, and float32 [B, C, H / stride, W / stride].
        """
        features = self.features(image)
        coverage = cell_coverage(image, self.receptive_field.stride_px)
        return self.head(features, coverage), features
