"""The teacher: a big pretrained network, of which the last blocks are fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from timm.models import group_parameters
from torch import Tensor, nn

from mobilegeo.errors import UsageError
from mobilegeo.learn.models.embedder import Bottleneck, Embedder, unit
from mobilegeo.learn.models.exits import PlaceClassifier, PlaceOutput
from mobilegeo.learn.models.gem import GeM
from mobilegeo.learn.models.timm_model import BackboneConfig, create_model, preprocessing_of


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """What the teacher is made of.

    Attributes:
        backbone: any timm model; the paper's DINOv2 ViT-B/14 by default, at 224 px.
        embedding_dim: D of its embedding.
        dropout: of the classifier.
        trainable_blocks: how many of the last blocks are fine-tuned; 0 trains the head alone.
    """

    backbone: BackboneConfig = field(
        default_factory=lambda: BackboneConfig("vit_base_patch14_dinov2", size_px=224)
    )
    embedding_dim: int = 768
    dropout: float = 0.5
    trainable_blocks: int = 4


class LastFeatures(nn.Module):
    """The last feature map of any timm model; of a transformer, its patch tokens as a map.

    Args:
        model: with timm's `forward_intermediates`; its classification head is cut off.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.model.prune_intermediate_layers(1, prune_norm=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps float [B, 3, H, W] to one map, float [B, C, h, w], after the last norm layer."""
        maps: list[Tensor] = self.model.forward_intermediates(
            image, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps


class Teacher(nn.Module):
    """Trunk, GeM over its tokens or cells, and the student's head.

    Has its own `preprocessing`: a batch of views must be normalised for it apart.

    Args:
        config: sizes.
        places: number of training places.
    """

    def __init__(self, config: TeacherConfig, places: int) -> None:
        super().__init__()
        model: Any = create_model(config.backbone, num_classes=0)
        self.preprocessing = preprocessing_of(model, config.backbone)
        _fit_input(model, config.backbone, self.preprocessing.size_px)
        dim = config.embedding_dim
        trunk = LastFeatures(model)
        self.embedder = Embedder(trunk, Bottleneck(GeM(), model.num_features, dim))
        self.classifier = PlaceClassifier(dim, places, config.dropout)
        train_last_blocks(model, config.trainable_blocks, config.backbone.name)

    def forward(self, image: Tensor) -> PlaceOutput:
        """Its one exit and the embedding of normalised images, float [B, 3, H, W]."""
        bottleneck = self.embedder.head(self.embedder.trunk(image)[-1])
        return PlaceOutput((self.classifier(bottleneck),), unit(bottleneck))

    def train(self, mode: bool = True) -> Self:
        """Training mode for what is trained; frozen layers keep their batch-norm statistics."""
        super().train(mode)
        for module in self.embedder.trunk.modules():
            own = list(module.parameters(recurse=False))
            if own and not any(p.requires_grad for p in own):
                module.train(False)
        return self


def train_last_blocks(model: nn.Module, blocks: int, name: str) -> None:
    """Freezes a timm model up to its last blocks, as timm itself counts them.

    Args:
        model: of timm.
        blocks: how many of the last stay trainable; a final norm layer belongs to the last.
        name: of the model, for the error.

    Raises:
        UsageError: the model has fewer blocks.
    """
    timm_model: Any = model
    groups = group_parameters(model, timm_model.group_matcher(coarse=False))
    if not 0 <= blocks <= len(groups):
        raise UsageError(
            "trainable_blocks", f"is {blocks}, {name} has {len(groups)}", "give 0 up to that many"
        )
    trained = {p for group in range(len(groups) - blocks, len(groups)) for p in groups[group]}
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter_name in trained)


def _fit_input(model: Any, config: BackboneConfig, size_px: int) -> None:
    """Interpolates position embeddings where the model has some for one input size only."""
    patch_px = getattr(getattr(model, "patch_embed", None), "patch_size", (1,))[0]
    if size_px % patch_px:
        raise UsageError(
            "size_px",
            f"{size_px} is no multiple of {config.name}'s patch of {patch_px} px",
            f"take {size_px // patch_px * patch_px} or {(size_px // patch_px + 1) * patch_px}",
        )
    if hasattr(model, "set_input_size"):
        model.set_input_size(img_size=(size_px, size_px))
