"""Which views of a batch show the same place."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilegeo.errors import UsageError


def same_place(drone_places: Tensor, satellite_places: Tensor) -> Tensor:
    """Marks the pairs of a drone and a satellite view that show the same place.

    Args:
        drone_places: int [N], place of each drone view.
        satellite_places: int [M], place of each satellite view.

    Returns:
        bool [N, M], at least one true and one false in each row and each column.

    Raises:
        UsageError: a place is seen from one side only, or there is but one place.

    Example:
        >>> same_place(torch.tensor([5, 5, 8]), torch.tensor([5, 8])).int().tolist()
        [[1, 0], [1, 0], [0, 1]]
    """
    drone, satellite = torch.unique(drone_places), torch.unique(satellite_places)
    if not torch.equal(drone, satellite):
        lonely = sorted(set(drone.tolist()) ^ set(satellite.tolist()))
        raise UsageError(
            "batch",
            f"places {lonely[:5]} have only drone views or only satellite views",
            "let each batch hold both views of every place",
        )
    if len(drone) < 2:
        raise UsageError(
            "batch",
            "holds one place only, so there is nothing to tell it from",
            "put at least two places into each batch",
        )
    return drone_places[:, None] == satellite_places[None, :]
