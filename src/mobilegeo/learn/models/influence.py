"""How far a cell of a feature map can see, measured."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilegeo.errors import UsageError

STRIP_PX = (2048, 64)
"""Height and width of the probe: square kernels reach as far down as across, so a strip will do."""


def overhang_px(features: Callable[[Tensor], Tensor], stride_px: int) -> int:
    """Input pixels beyond its own square on which a cell of a feature map depends.

    Measured as the extent of the gradient of one cell, down a strip of noise. That is exact but
    for influences too small for float32, and counts pooling and parallel branches right.

    Args:
        features: float32 [1, 3, H, W] to [1, C, H / stride, W / stride], in evaluation mode.
        stride_px: of the map.

    Returns:
        The larger of the overhangs above and below.

    Raises:
        UsageError: a cell depends on the whole image, as behind attention or
            squeeze-and-excitation.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, *STRIP_PX, generator=generator).requires_grad_()
    cells = features(image)
    row = cells.shape[2] // 2
    of_cell = cells[0, :, row, cells.shape[3] // 2]
    mixed = (of_cell * torch.randn(of_cell.shape, generator=generator)).sum()
    (gradient,) = torch.autograd.grad(mixed, image)
    seen = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    first, last = int(seen[0]), int(seen[-1])
    if first == 0 or last == STRIP_PX[0] - 1:
        raise UsageError(
            "features",
            "depend on the whole image, so that a map's would depend on where it is cut",
            "export a student without squeeze-and-excitation or attention, such as convnext_* or "
            "mobilenetv4_conv_*",
        )
    top = row * stride_px
    return max(top - first, last - (top + stride_px - 1), 0)
