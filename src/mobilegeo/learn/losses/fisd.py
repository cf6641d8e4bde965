"""Fine-grained inverse self-distillation: the shallow exits teach the deepest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mobilegeo.errors import UsageError
from mobilegeo.learn.losses.divergence import DISTILLATION_TEMPERATURE, softened_kl


class FISD(nn.Module):
    """The deepest exit keeps the fine spatial detail that the shallow ones still have.

    The inverse of usual self-distillation, where the deepest exit teaches. With z_i the logits of
    exit i of n, T the temperature and λ_i the weights (L_FISD of MobileGeo, arXiv 2510.22582):

        L = Σ_{i<n} λ_i · T² · KL( softmax(z_i / T) ‖ softmax(z_n / T) )

    The shallow exits are detached: they learn from the places alone.

    Args:
        lambdas: λ_i of the shallow exits, shallow to deep.
        temperature: T.

    Example:
        >>> agreed = torch.tensor([[1.0, 2.0]])
        >>> float(FISD()((agreed, agreed, agreed, agreed)))
        0.0
    """

    def __init__(
        self,
        lambdas: Sequence[float] = (0.1, 0.2, 0.3),
        temperature: float = DISTILLATION_TEMPERATURE,
    ) -> None:
        super().__init__()
        self.lambdas = tuple(lambdas)
        self.temperature = temperature

    def forward(self, logits: Sequence[Tensor]) -> Tensor:
        """The loss of one branch.

        Args:
            logits: float [B, places] of every exit, shallow to deep.

        Returns:
            A scalar.

        Raises:
            UsageError: the number of exits does not match the λ.
        """
        *shallow, deepest = logits
        if len(shallow) != len(self.lambdas):
            raise UsageError(
                "FISD",
                f"has {len(self.lambdas)} lambdas for {len(shallow)} shallow exits",
                "give one lambda for each exit but the deepest",
            )
        terms = [
            weight * softened_kl(teacher, deepest, self.temperature)
            for weight, teacher in zip(self.lambdas, shallow, strict=True)
        ]
        return torch.stack(terms).sum()
