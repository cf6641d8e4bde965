"""Cross-entropy of every exit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilegeo.learn.losses.divergence import at_least_float32


class ExitCrossEntropy(nn.Module):
    """Every exit must name the place; the deepest counts most.

    With z_i the logits of exit i of n, shallow to deep, and y the place (deep supervision, Lee et
    al., arXiv 1409.5185; L_CE of MobileGeo, arXiv 2510.22582):

        L = Σ_i w_i · CE(z_i, y),   w_n = `final`, w_i = `shallow` for i < n

    Args:
        final: weight of the deepest exit.
        shallow: weight of each other exit.

    Example:
        >>> even = torch.zeros(2, 8)
        >>> loss = ExitCrossEntropy()((even, even, even, even), torch.tensor([0, 3]))
        >>> round(float(loss), 4), round(1.75 * float(torch.tensor(8.0).log()), 4)
        (3.639, 3.639)
    """

    def __init__(self, final: float = 1.0, shallow: float = 0.25) -> None:
        super().__init__()
        self.final = final
        self.shallow = shallow

    def forward(self, logits: Sequence[Tensor], places: Tensor) -> Tensor:
        """The loss of one branch.

        Args:
            logits: float [B, places] of every exit, shallow to deep.
            places: int64 [B], place of each view.

        Returns:
            A scalar.
        """
        weights = [self.shallow] * (len(logits) - 1) + [self.final]
        terms = [
            weight * functional.cross_entropy(at_least_float32(z), places)
            for weight, z in zip(weights, logits, strict=True)
        ]
        return torch.stack(terms).sum()
