"""The lower stages of an ImageNet MobileNetV2, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from mobilegeo.errors import ResourceError, UsageError
from mobilegeo.learn.models.padding import fix_same_padding


def load_mobilenet(weights: Path | None) -> nn.Module:
    """MobileNetV2 1.0 with exportable padding; weights random when `weights` is `None`.

    Args:
        weights: safetensors of `timm`'s `mobilenetv2_100` with 1001 classes, padding SAME.

    Raises:
        ResourceError: the file is missing or belongs to another network.
    """
    model: nn.Module = timm.create_model("mobilenetv2_100", num_classes=1001, pad_type="same")
    if weights is not None:
        if not weights.is_file():
            raise ResourceError(weights, "no such weights file", "give its path as `weights`")
        try:
            model.load_state_dict({k: v.float() for k, v in load_file(weights).items()})
        except (RuntimeError, SafetensorError) as error:
            raise ResourceError(
                weights,
                f"is not a mobilenetv2_100 with 1001 classes ({str(error).splitlines()[0]})",
                "export it with timm.create_model('mobilenetv2_100', num_classes=1001)",
            ) from error
    fix_same_padding(model)
    return model


class FrozenTrunk(nn.Module):
    """The lower stages, always in evaluation mode and without gradients.

    Its ImageNet features align real photos with maps as they are; training them on simulated
    views could only fit them to the simulator. `train()` leaves batch-norm statistics alone.

    Args:
        mobilenet: from `load_mobilenet`.
        last_block: index of the last stage inside the trunk.
    """

    def __init__(self, mobilenet: nn.Module, last_block: int) -> None:
        super().__init__()
        blocks = mobilenet.get_submodule("blocks")
        self.stem = nn.Sequential(
            mobilenet.get_submodule("conv_stem"), mobilenet.get_submodule("bn1")
        )
        self.blocks = nn.Sequential(*list(blocks.children())[: last_block + 1])
        self.requires_grad_(False)
        self.eval()

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return self.channels_of(len(self.blocks) - 1)

    def check_shallow(self, stages: Sequence[int]) -> None:
        """Sees that stages lie below the last one, in order.

        Raises:
            UsageError: they do not.
        """
        last = len(self.blocks) - 1
        if list(stages) != sorted({stage for stage in stages if 0 <= stage < last}):
            raise UsageError(
                f"stages {list(stages)}",
                f"are not different stages below the trunk's last, {last}, in order",
                "give some of the stages from 0 on",
            )

    def channels_of(self, stage: int) -> int:
        """Channels of the output of one stage."""
        norms = [m for m in self.blocks[stage].modules() if isinstance(m, nn.BatchNorm2d)]
        return norms[-1].num_features

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - the frozen trunk has one mode
        """Stays in evaluation mode, whatever `mode`."""
        return super().train(mode=False)

    def forward(self, image: Tensor) -> Tensor:
        """Features of normalised images.

        Args:
            image: float32 [B, 3, H, W], (RGB / 255 − 0.5) / 0.5.

        Returns:
            float32 [B, C, H / stride, W / stride].
        """
        features: Tensor = self.blocks(self.stem(image))
        return features

    def grids(self, image: Tensor, shallow: Sequence[int]) -> Tensor:
        """Some stages' outputs and the last one's side by side.

        Args:
            image: as for `forward`.
            shallow: stages below the last, shallow to deep; averaged to the last one's grid.

        Returns:
            float32 [B, sum of channels, H / stride, W / stride].
        """
        output, outputs = self.stem(image), []
        for block in self.blocks:
            output = block(output)
            outputs.append(output)
        side = output.shape[2]
        taken = [outputs[stage] for stage in shallow]
        averaged = [functional.avg_pool2d(grid, grid.shape[2] // side) for grid in taken]
        return torch.cat([*averaged, output], dim=1)
