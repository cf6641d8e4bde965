"""The student: a compact backbone with an exit on each of its four stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from timm.layers.format import Format
from torch import Tensor, nn

from mobilegeo.errors import UsageError
from mobilegeo.learn.models.embedder import Bottleneck, Embedder, unit
from mobilegeo.learn.models.exits import Exit, PlaceClassifier, PlaceOutput
from mobilegeo.learn.models.gem import GeM
from mobilegeo.learn.models.timm_model import BackboneConfig, create_model, preprocessing_of

STAGES = 4
"""Stages with an exit, at strides 4, 8, 16 and 32 for the usual backbones."""


@dataclass(frozen=True, slots=True)
class StudentConfig:
    """What the student is made of.

    Attributes:
        backbone: a timm model with `features_only` stages; the paper's by default.
        embedding_dim: D of the embedding, and of the bottleneck of each exit.
        dropout: of the classifiers.
    """

    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig("convnext_tiny"))
    embedding_dim: int = 512
    dropout: float = 0.5


class Student(nn.Module):
    """Trunk with exits on four stages; the deepest one's bottleneck is the embedding.

    `embedder` is all that inference needs; `exits` and `classifier` exist for training.

    Args:
        config: sizes.
        places: number of training places.

    Example:
        >>> import torch
        >>> config = StudentConfig(BackboneConfig("convnext_atto", pretrained=False))
        >>> out = Student(config, places=10)(torch.zeros(2, 3, 64, 64))
        >>> [tuple(z.shape) for z in out.logits], tuple(out.embedding.shape)
        ([(2, 10), (2, 10), (2, 10), (2, 10)], (2, 512))
    """

    def __init__(self, config: StudentConfig, places: int) -> None:
        super().__init__()
        trunk = _stage_trunk(config.backbone)
        *shallow, deepest = _channels(trunk)
        dim, dropout = config.embedding_dim, config.dropout
        self.preprocessing = preprocessing_of(trunk, config.backbone)
        self.embedder = Embedder(trunk, Bottleneck(GeM(), deepest, dim))
        self.exits = nn.ModuleList(Exit(c, dim, places, dropout) for c in shallow)
        self.classifier = PlaceClassifier(dim, places, dropout)

    def forward(self, image: Tensor) -> PlaceOutput:
        """All exits and the embedding of normalised images, float [B, 3, H, W]."""
        *shallow, deepest = self.embedder.trunk(image)
        bottleneck = self.embedder.head(deepest)
        logits = [leave(stage) for leave, stage in zip(self.exits, shallow, strict=True)]
        return PlaceOutput((*logits, self.classifier(bottleneck)), unit(bottleneck))

    def embed(self, image: Tensor) -> Tensor:
        """Embeddings alone, float32 [B, D], of normalised images, float [B, 3, H, W]."""
        embedding: Tensor = self.embedder(image)
        return embedding


def _stage_trunk(config: BackboneConfig) -> nn.Module:
    """The backbone as a module that returns its last four stages."""
    cure = "choose a backbone with stages at strides 4, 8, 16 and 32, such as convnext_tiny"
    last = tuple(range(-STAGES, 0))
    try:
        trunk = create_model(config, features_only=True, out_indices=last)
    except (AssertionError, IndexError) as error:
        raise UsageError(config.name, f"has fewer than {STAGES} feature stages", cure) from error
    if getattr(trunk, "output_fmt", Format.NCHW) != Format.NCHW:
        raise UsageError(config.name, "puts the channels of its stages last", cure)
    return trunk


def _channels(trunk: nn.Module) -> list[int]:
    info: Any = trunk.feature_info
    return [int(c) for c in info.channels()]
