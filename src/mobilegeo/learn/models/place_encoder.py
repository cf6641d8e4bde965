"""The encoder: frozen trunk → standardised features, and upper stages → place embedding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilegeo.learn.models.backbone import FrozenTrunk, load_mobilenet, upper_stages
from mobilegeo.learn.models.pooling import GeM


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the network is made of.

    Attributes:
        embedding_dim: D, dimensions of the embedding.
        last_trunk_block: the last frozen stage; its output is `features`.
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
        mobilenet = load_mobilenet(weights)
        self.config = config
        self.trunk = FrozenTrunk(mobilenet, config.last_trunk_block)
        self.standardise = Standardise(self.trunk.channels)
        self.upper = upper_stages(mobilenet, config.last_trunk_block)
        self.pool = GeM()
        self.bottleneck = nn.Sequential(
            nn.Linear(1280, config.embedding_dim), nn.BatchNorm1d(config.embedding_dim)
        )

    def embed(self, trunk_features: Tensor) -> Tensor:
        """Place embeddings from the trunk's output.

        Args:
            trunk_features: float32 [B, C, h, w].

        Returns:
            float32 [B, D], L2-normalised.
        """
        pooled = self.pool(self.upper(trunk_features))
        return functional.normalize(self.bottleneck(pooled).float(), dim=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, D] and standardised features [B, C, h, w] of normalised images."""
        trunk_features = self.trunk(image)
        return self.embed(trunk_features), self.standardise(trunk_features)
