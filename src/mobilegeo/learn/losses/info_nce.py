"""Symmetric InfoNCE with several positives."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilegeo.learn.losses.divergence import at_least_float32

LOWEST_TEMPERATURE = 0.01


class MultiPositiveInfoNCE(nn.Module):
    """Each view must pick the other views of its place out of the batch, all of them equally.

    With d_i, s_j the L2-normalised embeddings of drone view i and satellite view j, P(i) the
    satellite views of the place of i, τ the learnable temperature (InfoNCE: van den Oord et al.,
    arXiv 1807.03748; several positives outside the logarithm: Khosla et al., arXiv 2004.11362;
    symmetric: Radford et al., arXiv 2103.00020):

        L_drone = −mean_i (1 / |P(i)|) · Σ_{j ∈ P(i)} log( e^(d_i·s_j/τ) / Σ_k e^(d_i·s_k/τ) )
        L       = ½ · (L_drone + L_satellite), the latter with the views swapped

    τ is learnt through its logarithm and kept at or above 0.01.

    Args:
        temperature: starting τ.

    Example:
        >>> embeddings = torch.eye(4)
        >>> bool(MultiPositiveInfoNCE()(embeddings, embeddings, torch.eye(4).bool()) < 1e-4)
        True
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """τ, a scalar."""
        return self.log_temperature.clamp(min=math.log(LOWEST_TEMPERATURE)).exp()

    def forward(self, drone: Tensor, satellite: Tensor, same: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            drone: float [N, D], L2-normalised.
            satellite: float [M, D], L2-normalised.
            same: bool [N, M] from `places.same_place`.

        Returns:
            A scalar.
        """
        # Outside autocast: at τ = 0.01 bfloat16's rounding of the products would be ±0.2.
        with torch.autocast(drone.device.type, enabled=False):
            similarity = at_least_float32(drone) @ at_least_float32(satellite).T
        logits = similarity / self.temperature
        return (_pick(logits, same) + _pick(logits.T, same.T)) / 2


def _pick(logits: Tensor, same: Tensor) -> Tensor:
    """Cross-entropy of each row against a target spread evenly over its positives."""
    target = functional.normalize(same.to(logits.dtype), p=1, dim=1)
    return functional.cross_entropy(logits, target)
