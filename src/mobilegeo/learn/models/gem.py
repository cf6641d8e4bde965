"""Generalised-mean pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GeM(nn.Module):
    """Generalised mean over the cells of a feature map, (mean xᵖ)^(1/p), with p learnt.

    p = 1 is the average, p → ∞ the maximum (Radenović et al., arXiv 1711.02512). Computed in
    at least float32 whatever comes in, since xᵖ leaves the range of half precision.

    Args:
        p: starting exponent.
        floor: inputs are clamped to at least this, so that negative activations count as none.
    """

    def __init__(self, p: float = 3.0, floor: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p)))
        self.floor = floor

    def forward(self, features: Tensor) -> Tensor:
        """Pools float [B, C, h, w] to float32 [B, C] (float64 if given float64)."""
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        return wide.clamp(min=self.floor).pow(self.p).mean(dim=(2, 3)).pow(1.0 / self.p)
