"""Uncertainty-aware prediction alignment: the surer satellite prediction teaches the drone's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilegeo.learn.losses.divergence import (
    DISTILLATION_TEMPERATURE,
    at_least_float32,
    softened_kl,
)


def mean_entropy(logits: Tensor) -> Tensor:
    """U: mean Shannon entropy of the predictions, nats.

    Args:
        logits: float [B, places].

    Returns:
        A scalar between 0 and log(places).
    """
    log_p = functional.log_softmax(at_least_float32(logits), dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


class UAPA(nn.Module):
    """The drone's prediction follows the satellite's, the more softly the less sure it is.

    With z_d, z_s the deepest exit's logits for pairs of views of one place, U the mean Shannon
    entropy of softmax(z), T0 the base temperature (L_UAPA of MobileGeo, arXiv 2510.22582):

        ΔU = U_drone − U_satellite
        T  = T0 · (1 + sigmoid(ΔU))
        L  = T² · KL( softmax(z_s / T) ‖ softmax(z_d / T) )

    T and the satellite side are detached (the public text is silent on it): else the loss could
    be lowered by making the drone surer of anything, or the satellite as unsure as the drone.

    Args:
        base_temperature: T0; T lies between it and its double.

    Example:
        >>> logits = torch.tensor([[3.0, 0.0, 0.0]])
        >>> float(UAPA()(logits, logits)), float(UAPA().temperature(logits, logits))
        (0.0, 6.0)
    """

    def __init__(self, base_temperature: float = DISTILLATION_TEMPERATURE) -> None:
        super().__init__()
        self.base_temperature = base_temperature

    def temperature(self, drone: Tensor, satellite: Tensor) -> Tensor:
        """T of a batch, a scalar without gradient; arguments as for `forward`."""
        gap = mean_entropy(drone.detach()) - mean_entropy(satellite.detach())
        return self.base_temperature * (1.0 + torch.sigmoid(gap))

    def forward(self, drone: Tensor, satellite: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            drone: float [B, places], logits of the deepest exit.
            satellite: float [B, places], logits for the satellite view of the same place.

        Returns:
            A scalar.
        """
        return softened_kl(satellite, drone, self.temperature(drone, satellite))
