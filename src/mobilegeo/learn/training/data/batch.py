"""A batch of views of several places, from both sides."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ViewBatch:
    """Views of the places of one batch, or of one rank's part of it.

    Views of a place lie side by side, places in the batch's order.

    Attributes:
        drone: uint8 [N, 3, S, S] RGB, views of the drone branch.
        satellite: uint8 [M, 3, S, S] RGB, views of the satellite branch.
        drone_places: int64 [N], index of each drone view's place among the training places.
        satellite_places: int64 [M], the same of the satellite views.
    """

    drone: Tensor
    satellite: Tensor
    drone_places: Tensor
    satellite_places: Tensor

    def to(self, device: torch.device | str) -> ViewBatch:
        """The same batch on another device."""
        return ViewBatch(
            self.drone.to(device, non_blocking=True),
            self.satellite.to(device, non_blocking=True),
            self.drone_places.to(device, non_blocking=True),
            self.satellite_places.to(device, non_blocking=True),
        )
