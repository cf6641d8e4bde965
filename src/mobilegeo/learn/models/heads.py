"""The layout head: where things lie in a north-up view, in few numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GRID = 7


class LayoutHead(nn.Module):
    """Place embedding from a coarse grid of dense features, with the outside of the photo masked.

    A normalised photo is north-up at a known scale, so that a feature's place in the grid carries
    information that pooling over the whole image throws away. The grid's cells are a 32nd of the
    input wide (for a 224 px input, 7 × 7), coarse enough for a shift of an eighth of the side.

    Args:
        channels: C of the features.
        embedding_dim: D of the embedding.
        hidden_dim: channels between the two layers of a cell.
        cell_dim: numbers that a cell becomes.
    """

    def __init__(
        self, channels: int, embedding_dim: int, hidden_dim: int = 192, cell_dim: int = 32
    ) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.cell_dim = cell_dim
        self.cell = nn.Sequential(
            nn.Conv2d(channels, hidden_dim, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden_dim),
            nn.ReLU(),
            nn.Conv2d(hidden_dim, cell_dim, 1, bias=False),
            nn.BatchNorm2d(cell_dim),
        )
        self.bottleneck = nn.Sequential(
            nn.Linear(cell_dim * GRID * GRID, embedding_dim), nn.BatchNorm1d(embedding_dim)
        )

    def forward(self, features: Tensor, coverage: Tensor) -> Tensor:
        """Embeds standardised features.

        Args:
            features: float [B, C, h, w], h and w even.
            coverage: float [B, 1, h, w], share of each cell inside the photo, 0 … 1.

        Returns:
            float32 [B, D], L2-normalised.
        """
        return self.embed(*masked_grid(features.float(), coverage.float()))

    def embed(self, grid: Tensor, seen: Tensor) -> Tensor:
        """Embeds what `masked_grid` gives.

        Args:
            grid: float32 [B, C, 7, 7].
            seen: float32 [B, 1, 7, 7].

        Returns:
            float32 [B, D], L2-normalised.
        """
        cells = functional.normalize(self.cell(grid * seen), dim=1) * math.sqrt(self.cell_dim)
        return functional.normalize(self.bottleneck((cells * seen).flatten(1)), dim=1)


def masked_grid(features: Tensor, coverage: Tensor) -> tuple[Tensor, Tensor]:
    """Averages features over the covered part of a 7 × 7 grid's cells.

    Inputs of another size than 14 × 14 are averaged over 2 × 2 and interpolated to 7 × 7.

    Returns:
        float32 [B, C, 7, 7] and the covered share, float32 [B, 1, 7, 7].
    """
    pooled = functional.avg_pool2d(torch.cat([features * coverage, coverage], dim=1), 2)
    pooled = functional.interpolate(pooled, size=(GRID, GRID), mode="bilinear", align_corners=False)
    seen = pooled[:, -1:]
    return pooled[:, :-1] / (seen + 1e-3), seen


def cell_coverage(image: Tensor, stride_px: int) -> Tensor:
    """Share of each feature cell where a normalised image is not pure black.

    Args:
        image: float [B, 3, H, W], (RGB / 255 − 0.5) / 0.5, so that black is −1.
        stride_px: side of a cell.

    Returns:
        float32 [B, 1, H / stride, W / stride].
    """
    inside = (image.amax(dim=1, keepdim=True) > -1.0 + 1.0 / 255.0).float()
    return functional.avg_pool2d(inside, stride_px)
