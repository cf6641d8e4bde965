"""A network as ImageNet left it, as an encoder: what every trained one has to beat.

MobileNetV2 1.0: `embedding` is the average of the last layer over the whole image, `features` are
those of stage 4 (stride 16, 96 channels). Nothing is trained on aerial imagery.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.learn.export.network import FEATURE_GSD_M
from mobilegeo.learn.export.onnx import MULTIPLE_PX, write_onnx
from mobilegeo.learn.models.backbone import FrozenTrunk, load_mobilenet
from mobilegeo.learn.models.embedder import unit
from mobilegeo.learn.models.padding import receptive_field

LAST_BLOCK = 4
LAST_CHANNELS = 1280
SIZE_PX = 224


class PlainImageNet(nn.Module):
    """Images to pooled and dense ImageNet features.

    Args:
        weights: safetensors of `mobilenetv2_100`, see `load_mobilenet`.
    """

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        network = load_mobilenet(weights)
        blocks = network.get_submodule("blocks")
        self.trunk = FrozenTrunk(network, LAST_BLOCK)
        self.rest = nn.Sequential(
            *list(blocks.children())[LAST_BLOCK + 1 :],
            network.get_submodule("conv_head"),
            network.get_submodule("bn2"),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and features of normalised images.

        Args:
            image: float32 [B, 3, H, W], (RGB / 255 − 0.5) / 0.5.

        Returns:
            float32 [B, 1280], L2-normalised, and float32 [B, 96, H / 16, W / 16].
        """
        features = self.trunk(image)
        return unit(self.rest(features).mean(dim=(2, 3))), features


def write_plain_imagenet(weights: Path | None, out: Path) -> Path:
    """Writes the network as an encoder's ONNX file."""
    model = PlainImageNet(weights).eval()
    model.requires_grad_(False)
    field = receptive_field(model.trunk)
    spec = ImageSpec(
        model_id="imagenet",
        size_px=SIZE_PX,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        embedding_dim=LAST_CHANNELS,
        feature_dim=model.trunk.channels,
        feature_stride_px=field.stride_px,
        feature_halo_px=field.halo_px(MULTIPLE_PX),
        feature_gsd_m=FEATURE_GSD_M,
        multiple_px=MULTIPLE_PX,
    )
    with torch.inference_mode():
        return write_onnx(model, spec, out)
