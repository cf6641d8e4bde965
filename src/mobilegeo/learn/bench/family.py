"""Our own family of networks, with random weights, as files that every runtime opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mobilegeo.learn.export.float32 import export_float32
from mobilegeo.learn.export.quantize import quantise
from mobilegeo.learn.models.saved import ChannelStatistics, save_network
from mobilegeo.learn.models.student import Student, StudentConfig
from mobilegeo.learn.models.timm_model import BackboneConfig

CALIBRATION_IMAGES = 8
"""Noise images for int8: their ranges do not change how long a call takes."""


@dataclass(frozen=True, slots=True)
class Member:
    """A student of the family.

    Attributes:
        backbone: timm's name.
        size_px: side of the square input.
    """

    backbone: str
    size_px: int = 224


FAMILY: dict[str, Member] = {
    "nano": Member("mobilenetv4_conv_small"),
    "tiny": Member("convnext_tiny"),
}
"""Name → network; `tiny` is the paper's student."""


def write_checkpoint(member: Member, path: Path) -> Path:
    """A student with random weights as training leaves it: `network.safetensors`."""
    torch.manual_seed(0)
    backbone = BackboneConfig(member.backbone, pretrained=False, size_px=member.size_px)
    config = StudentConfig(backbone)
    student = Student(config, places=2).eval()
    stage = student.embedder.trunk.feature_info.channels()[-2]  # type: ignore[union-attr, operator]
    save_network(
        path,
        student,
        kind="student",
        config=config,
        places=["a", "b"],
        model_id=f"{member.backbone} with random weights",
        features=ChannelStatistics(torch.zeros(stage), torch.ones(stage)),
    )
    return path


def write_int8(model: Path, size_px: int, out: Path) -> Path:
    """The int8 twin of a float32 encoder file, calibrated on noise: good for timing only."""
    return quantise(model, out, list(noise(CALIBRATION_IMAGES, size_px)))


def write_files(member: Member, folder: Path) -> dict[str, Path]:
    """A member's files: `checkpoint`, `float32` and `int8`.

    Args:
        member: the network.
        folder: where to write.
    """
    checkpoint = write_checkpoint(member, folder / f"{member.backbone}.safetensors")
    model = export_float32(checkpoint, folder / f"{member.backbone}.onnx")
    int8 = write_int8(model, member.size_px, folder / f"{member.backbone}-int8.onnx")
    return {"checkpoint": checkpoint, "float32": model, "int8": int8}


def noise(count: int, size_px: int) -> NDArray[np.uint8]:
    """The same noise every time, uint8 [count, size_px, size_px, 3]."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)
