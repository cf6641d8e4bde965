"""Training checkpoints as networks that are ready to be written as an encoder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from torch import nn

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.errors import ResourceError
from mobilegeo.learn.checkpoint import load, read_metadata
from mobilegeo.learn.export.onnx import MULTIPLE_PX
from mobilegeo.learn.export.student import student_encoder
from mobilegeo.learn.models.place_encoder import ModelConfig, PlaceEncoder
from mobilegeo.learn.models.saved import holds_network
from mobilegeo.learn.models.saved_head import holds_head

FEATURE_GSD_M = 0.5


def described(model: PlaceEncoder, model_id: str) -> dict[str, str]:
    """What a checkpoint must say so that `read_checkpoint` can rebuild the network."""
    return {"model_id": model_id, "model": json.dumps(asdict(model.config))}


def read_checkpoint(checkpoint: Path) -> tuple[nn.Module, ImageSpec]:
    """Rebuilds the network in a training checkpoint.

    Args:
        checkpoint: the `network.safetensors` of a student's run, or a `step-*.safetensors` of a
            layout head's.

    Returns:
        A module in evaluation mode that maps normalised images, float32 [B, 3, H, W], to
        embeddings and features; and the facts about both.

    Raises:
        ResourceError: the checkpoint is missing, damaged or not one of ours.
    """
    metadata = read_metadata(checkpoint)
    if holds_network(metadata):
        return student_encoder(checkpoint, FEATURE_GSD_M, MULTIPLE_PX)
    if holds_head(metadata):
        raise ResourceError(
            checkpoint, "holds an alignment head alone", "export it with `mobilegeo learn export`"
        )
    model = load_place_encoder(checkpoint)
    return model, image_spec(model, metadata["model_id"])


def load_place_encoder(checkpoint: Path) -> PlaceEncoder:
    """Rebuilds a layout head with its trunk, in evaluation mode.

    Raises:
        ResourceError: the checkpoint is missing, damaged or of another kind.
    """
    metadata = read_metadata(checkpoint)
    if not {"model", "model_id"} <= set(metadata):
        raise ResourceError(
            checkpoint, "does not say which network it holds", "give a file that training wrote"
        )
    config = json.loads(metadata["model"])
    shallow = tuple(config.pop("shallow", ()))
    model = PlaceEncoder(ModelConfig(**config, shallow=shallow), weights=None)
    load(checkpoint, {"model": model})
    return model.eval()


def image_spec(model: PlaceEncoder, model_id: str) -> ImageSpec:
    """The facts about inputs and outputs that travel with the weights."""
    field = model.receptive_field
    return ImageSpec(
        model_id=model_id,
        size_px=model.config.size_px,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        embedding_dim=model.config.embedding_dim,
        feature_dim=model.trunk.channels,
        feature_stride_px=field.stride_px,
        feature_halo_px=field.halo_px(MULTIPLE_PX),
        feature_gsd_m=FEATURE_GSD_M,
        multiple_px=MULTIPLE_PX,
    )
