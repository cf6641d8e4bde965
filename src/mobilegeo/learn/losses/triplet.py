"""Batch-hard triplet loss across the two views."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilegeo.learn.losses.divergence import at_least_float32


class CrossDomainTriplet(nn.Module):
    """Each view is nearer to the other view of its place than to any other place.

    With a an anchor of one view, P(a) and N(a) the embeddings of the other view that show its
    place and other places, m the margin (batch-hard: Hermans et al., arXiv 1703.07737):

        L_a = max(0, m + max_{p ∈ P(a)} ‖a − p‖ − min_{n ∈ N(a)} ‖a − n‖)
        L   = ½ · (mean over drone anchors + mean over satellite anchors)

    Args:
        margin: m, between L2-normalised embeddings, whose distances are at most 2.

    Example:
        >>> embeddings = torch.eye(2)
        >>> float(CrossDomainTriplet()(embeddings, embeddings, torch.eye(2).bool()))
        0.0
    """

    def __init__(self, margin: float = 0.3) -> None:
        super().__init__()
        self.margin = margin

    def forward(
        self, drone: Tensor, satellite: Tensor, same: Tensor, ignored: Tensor | None = None
    ) -> Tensor:
        """The loss of one batch.

        Args:
            drone: float [N, D], L2-normalised.
            satellite: float [M, D], L2-normalised.
            same: bool [N, M] from `places.same_place`.
            ignored: bool [N, M], pairs that are not negatives either, such as overlapping places.

        Returns:
            A scalar.
        """
        distance = torch.cdist(
            at_least_float32(drone),
            at_least_float32(satellite),
            # The faster mode subtracts products and is off by up to 1e-3 near 0.
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        close = same if ignored is None else same | ignored
        forth = self._batch_hard(distance, same, close)
        return (forth + self._batch_hard(distance.T, same.T, close.T)) / 2

    def _batch_hard(self, distance: Tensor, same: Tensor, close: Tensor) -> Tensor:
        positive = distance.masked_fill(~same, -torch.inf).amax(dim=1)
        negative = distance.masked_fill(close, torch.inf).amin(dim=1)
        return functional.relu(self.margin + positive - negative).mean()
