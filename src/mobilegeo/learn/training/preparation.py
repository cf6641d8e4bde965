"""Images as a network wants them: its own size, mean and deviation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mobilegeo.learn.models.timm_model import Preprocessing


def prepare(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Resizes and normalises images on the device where they lie.

    Args:
        images: uint8 [B, 3, S, S] RGB.
        preprocessing: of the network that will see them.

    Returns:
        float32 [B, 3, size_px, size_px].
    """
    pixels = images / 255.0
    side = preprocessing.size_px
    if pixels.shape[-1] != side:
        pixels = functional.interpolate(
            pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True
        )
    mean, std = (
        torch.tensor(values, device=images.device)[:, None, None]
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (pixels - mean) / std
