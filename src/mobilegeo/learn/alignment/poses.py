"""Wrong headings and scales of a template, by displacing its cells."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def wrong_poses(turn_deg: float, stretch: float) -> list[tuple[float, float]]:
    """Turns, clockwise degrees, and logarithms of scale: one pair a wrong pose."""
    log_scale = math.log1p(stretch)
    return [(turn_deg, 0.0), (-turn_deg, 0.0), (0.0, log_scale), (0.0, -log_scale)]


def displaced(
    cells: Tensor, seen: Tensor, turn_deg: float, log_scale: float
) -> tuple[Tensor, Tensor]:
    """Templates turned and stretched about their middle, as `Likeness.scores` takes them.

    Every cell takes the nearest one's descriptor: interpolation would blur, and the wrong poses
    would be told by that.

    Args:
        cells: float [N, C, h, h].
        seen: bool [N, h, h].
        turn_deg: added to the heading, clockwise.
        log_scale: added to the logarithm of the height.

    Returns:
        Cells and `seen`, of the same shapes; nothing is seen beyond the old edge.
    """
    angle, shrink = math.radians(turn_deg), math.exp(-log_scale)
    cos, sin = shrink * math.cos(angle), shrink * math.sin(angle)
    # From (east, south) of the new grid to where it was, in halves of the side.
    back = torch.tensor([[cos, sin, 0.0], [-sin, cos, 0.0]], dtype=cells.dtype)
    stacked = torch.cat([cells, seen[:, None].to(cells.dtype)], dim=1)
    grid = functional.affine_grid(
        back.expand(len(cells), 2, 3), list(stacked.shape), align_corners=False
    )
    moved = functional.grid_sample(stacked, grid, mode="nearest", align_corners=False)
    return moved[:, :-1], moved[:, -1] > 0.5
