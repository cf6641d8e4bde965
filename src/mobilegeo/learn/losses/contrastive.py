"""Symmetric InfoNCE between drone views and satellite tiles."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class SymmetricInfoNCE(nn.Module):
    """Each query must pick its own tile out of the batch, and each tile its own query.

    With q_i, t_i the L2-normalised embeddings of pair i, τ the learnable temperature and N(i) the
    pairs that are neither i nor overlap it (van den Oord et al., arXiv 1807.03748; symmetric as
    in CLIP, arXiv 2103.00020):

        L = −½ · mean_i [ log e^(q_i·t_i/τ) / Σ_{j ∈ {i} ∪ N(i)} e^(q_i·t_j/τ)
                        + log e^(q_i·t_i/τ) / Σ_{j ∈ {i} ∪ N(i)} e^(q_j·t_i/τ) ]

    τ is learnt through its logarithm and kept at or above 0.01.

    Args:
        temperature: starting τ.

    Example:
        >>> loss = SymmetricInfoNCE()
        >>> embeddings = torch.eye(4)
        >>> bool(loss(embeddings, embeddings) < 1e-4)
        True
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """τ, a scalar."""
        return self.log_temperature.clamp(min=math.log(0.01)).exp()

    def forward(self, query: Tensor, tile: Tensor, ignored: Tensor | None = None) -> Tensor:
        """The loss of one batch.

        Args:
            query: float [B, D], L2-normalised.
            tile: float [B, D], L2-normalised; row i belongs to query i.
            ignored: bool [B, B], pairs (i, j) that are not negatives of each other, such as
                overlapping places; symmetric, its diagonal has no effect.

        Returns:
            A scalar.
        """
        logits = query.float() @ tile.float().T / self.temperature
        if ignored is not None:
            off_diagonal = ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
            logits = logits.masked_fill(ignored & off_diagonal, -torch.inf)
        target = torch.arange(len(logits), device=logits.device)
        forth = functional.cross_entropy(logits, target)
        back = functional.cross_entropy(logits.T, target)
        return (forth + back) / 2
