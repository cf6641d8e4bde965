"""What a pack makes of features (`mobilegeo.maps.descriptors`), with gradients.

A pack standardises its map's features, takes their principal directions and whitens them. With all
directions kept and whitening 1, cosines of the result are those of d = L⁻¹ z, z the standardised
features and L Lᵀ the Cholesky factorisation of the second moment of z scaled to unit length:
⟨L⁻¹ a, L⁻¹ b⟩ = aᵀ (L Lᵀ)⁻¹ b, whichever square root is taken. Gradients go through the
statistics as well, so that the head learns nothing that whitening would undo.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LOADING = 1e-3
"""Added to the moment's diagonal, as a share of its mean, so that the factorisation exists; a pack
bounds its eigenvalues from below instead (`mobilegeo.maps.descriptors.FLOOR`)."""


@dataclass(frozen=True)
class Whitening:
    """The statistics of a map.

    Attributes:
        mean, std: float32 [K].
        factor: float32 [K, K], L, lower triangular.
    """

    mean: Tensor
    std: Tensor
    factor: Tensor

    @classmethod
    def of(cls, features: Tensor, known: Tensor) -> Whitening:
        """That of maps taken together.

        Args:
            features: float [M, K, H, W].
            known: bool [M, H, W], cells with data.
        """
        cells = features.permute(0, 2, 3, 1)[known]
        mean, std = cells.mean(dim=0), cells.std(dim=0, correction=0).clamp(min=1e-4)
        unit = functional.normalize((cells - mean) / std, dim=1)
        moment = unit.T @ unit / len(unit)
        loaded = moment + LOADING / len(mean) * torch.eye(len(mean), device=moment.device)
        return cls(mean, std, torch.linalg.cholesky(loaded))

    def descriptors(self, features: Tensor, known: Tensor) -> Tensor:
        """Unit descriptors, float [N, K, h, w], zero where not `known`, bool [N, h, w]."""
        standard = (features - self.mean[:, None, None]) / self.std[:, None, None]
        flat = standard.permute(1, 0, 2, 3).flatten(1)
        white = torch.linalg.solve_triangular(self.factor, flat, upper=False)
        cells = white.reshape(standard.permute(1, 0, 2, 3).shape).permute(1, 0, 2, 3)
        return functional.normalize(cells, dim=1) * known[:, None]
