"""Writes an encoder as one ONNX file that carries its own `ImageSpec`."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from torch import nn

from mobilegeo.encoder.base import METADATA_KEY, ImageSpec
from mobilegeo.errors import ResourceError
from mobilegeo.learn.checkpoint import load, read_metadata
from mobilegeo.learn.export_student import student_encoder
from mobilegeo.learn.models.place_encoder import ModelConfig, PlaceEncoder
from mobilegeo.learn.models.saved import holds_network

OPSET = 18
FEATURE_GSD_M = 0.5
MULTIPLE_PX = 32


def described(model: PlaceEncoder, model_id: str) -> dict[str, str]:
    """What a checkpoint must say so that `export_onnx` can rebuild the network."""
    return {"model_id": model_id, "model": json.dumps(asdict(model.config))}


def export_onnx(checkpoint: Path, out: Path) -> Path:
    """Turns a training checkpoint into an encoder file.

    Args:
        checkpoint: the `network.safetensors` of a student's run, or a `step-*.safetensors` of a
            layout head's.
        out: the ONNX file to write; atomic.

    Raises:
        ResourceError: the checkpoint is missing, damaged or not one of ours.
    """
    metadata = read_metadata(checkpoint)
    if holds_network(metadata):
        return write_onnx(*student_encoder(checkpoint, FEATURE_GSD_M, MULTIPLE_PX), out)
    if not {"model", "model_id"} <= set(metadata):
        raise ResourceError(
            checkpoint, "does not say which network it holds", "give a file that training wrote"
        )
    model = PlaceEncoder(ModelConfig(**json.loads(metadata["model"])), weights=None)
    load(checkpoint, {"model": model})
    return write_onnx(model, image_spec(model, metadata["model_id"]), out)


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


def write_onnx(model: nn.Module, spec: ImageSpec, out: Path) -> Path:
    """Writes an encoder with batch size, height and width left free; atomic.

    Input `image` float32 [B, 3, H, W]; outputs `embedding` [B, D] and `features` [B, C, h, w].
    """
    model.eval()
    batch = torch.export.Dim("batch", min=1, max=4096)
    rows, columns = (torch.export.Dim(name, min=1, max=1024) for name in ("rows", "columns"))
    sample = torch.zeros(2, 3, 3 * MULTIPLE_PX, 4 * MULTIPLE_PX)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    program = torch.onnx.export(
        model,
        (sample,),
        input_names=["image"],
        output_names=["embedding", "features"],
        dynamic_shapes=({0: batch, 2: MULTIPLE_PX * rows, 3: MULTIPLE_PX * columns},),
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    proto = program.model_proto
    strip_traces(proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, spec.to_json()
    _save(proto, out)
    return out


def strip_traces(proto: onnx.ModelProto) -> None:
    """Removes what the exporter notes of its own run, such as the paths of source files."""
    graph = proto.graph
    values = (*graph.initializer, *graph.value_info, *graph.input, *graph.output)
    for part in (proto, graph, *graph.node, *values):
        del part.metadata_props[:]
        part.doc_string = ""


def _save(proto: onnx.ModelProto, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=out.parent, suffix=".partial")
    os.close(handle)
    try:
        onnx.save(proto, partial)
        Path(partial).chmod(0o644)
        Path(partial).replace(out)
    finally:
        Path(partial).unlink(missing_ok=True)
