"""A trained student as an encoder: its embedding, and its stage of stride 16 as dense features."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from timm.models import reparameterize_model
from torch import Tensor, nn

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.errors import ResourceError
from mobilegeo.learn.export.convolve import convolve_mlps
from mobilegeo.learn.models.embedder import Embedder, unit
from mobilegeo.learn.models.influence import overhang_px
from mobilegeo.learn.models.place_encoder import Standardise
from mobilegeo.learn.models.saved import ChannelStatistics, load_network
from mobilegeo.learn.models.student import Student

FEATURE_STAGE = -2
"""That of stride 16. Strides 8 and 16 align most precisely; 16 makes a map a quarter as large."""


class StudentEncoder(nn.Module):
    """Images to embeddings and dense features.

    Args:
        embedder: of a student, in evaluation mode.
        statistics: of the features' channels, by which they are standardised.
    """

    def __init__(self, embedder: Embedder, statistics: ChannelStatistics) -> None:
        super().__init__()
        self.embedder = cast("Embedder", reparameterize_model(embedder))
        convolve_mlps(self.embedder)
        self.standardise = Standardise(len(statistics.mean))
        self.standardise.mean.copy_(statistics.mean)
        self.standardise.std.copy_(statistics.std)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, D], L2-normalised, and features [B, C, h, w], both float32."""
        stages = self.embedder.trunk(image)
        return unit(self.embedder.head(stages[-1])), self.standardise(stages[FEATURE_STAGE])

    def features(self, image: Tensor) -> Tensor:
        """Features alone."""
        standard: Tensor = self.standardise(self.embedder.trunk(image)[FEATURE_STAGE])
        return standard


def student_encoder(
    checkpoint: Path, gsd_m: float, multiple_px: int
) -> tuple[StudentEncoder, ImageSpec]:
    """Rebuilds a student from its file, ready to be written as an encoder.

    Args:
        checkpoint: `network.safetensors` of a run.
        gsd_m: ground resolution at which the features will be matched.
        multiple_px: both sides of inputs will be multiples of this.

    Raises:
        ResourceError: the file holds no student, or not what a map needs to know of its features.
        UsageError: its features depend on the whole image.
    """
    saved = load_network(checkpoint)
    if not isinstance(saved.network, Student):
        raise ResourceError(
            checkpoint, "holds a teacher", "distil it into a student and export that"
        )
    if saved.features is None:
        raise ResourceError(
            checkpoint,
            "does not tell mean and deviation of the features",
            "export the network.safetensors in the run's folder",
        )
    encoder = StudentEncoder(saved.network.embedder, saved.features).eval()
    encoder.requires_grad_(False)
    info: Any = saved.network.embedder.trunk.feature_info
    stride_px = int(info.reduction()[FEATURE_STAGE])
    halo = overhang_px(encoder.features, stride_px)
    facts = saved.preprocessing
    spec = ImageSpec(
        model_id=saved.model_id,
        size_px=facts.size_px,
        mean=facts.mean,
        std=facts.std,
        embedding_dim=saved.config.embedding_dim,
        feature_dim=len(saved.features.mean),
        feature_stride_px=stride_px,
        feature_halo_px=-(-halo // multiple_px) * multiple_px,
        feature_gsd_m=gsd_m,
        multiple_px=multiple_px,
    )
    return encoder, spec
