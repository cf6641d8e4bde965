"""Our own family of networks, with random weights, as files that every runtime opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mobilegeo.learn.export.network import read_checkpoint
from mobilegeo.learn.export.onnx import write_onnx
from mobilegeo.learn.export.quantize import quantise
from mobilegeo.learn.models.embedder import Embedder
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
        title: how it is named in a table.
        size_px: side of the square input.
    """

    backbone: str
    title: str
    size_px: int = 224


FAMILY: dict[str, Member] = {
    "nano": Member("mobilenetv4_conv_small", "MobileNetV4-conv-S 224"),
    "tiny": Member("convnext_tiny", "ConvNeXt-T 224"),
}
"""Name → network; `tiny` is the paper's student."""


def build_embedder(member: Member) -> Embedder:
    """What is kept of a student for inference, with random weights, in evaluation mode."""
    return Student(_config(member), places=2).eval().embedder


def write_checkpoint(member: Member, path: Path) -> Path:
    """A student with random weights as training leaves it: `network.safetensors`."""
    torch.manual_seed(0)
    config = _config(member)
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
    """A member's encoder files by their kind: `float32`, `int8`.

    Args:
        member: the network.
        folder: where to write.
    """
    stem = folder / member.backbone
    checkpoint = write_checkpoint(member, stem.with_suffix(".safetensors"))
    model = write_onnx(*read_checkpoint(checkpoint), stem.with_suffix(".onnx"))
    int8 = write_int8(model, member.size_px, stem.with_suffix(".int8.onnx"))
    return {"float32": model, "int8": int8}


def noise(count: int, size_px: int) -> NDArray[np.uint8]:
    """The same noise every time, uint8 [count, size_px, size_px, 3]."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)


def _config(member: Member) -> StudentConfig:
    return StudentConfig(BackboneConfig(member.backbone, pretrained=False, size_px=member.size_px))
