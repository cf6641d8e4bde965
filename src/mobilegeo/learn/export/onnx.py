"""Writes an encoder as one ONNX file that carries its own `ImageSpec`."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from mobilegeo.encoder.base import METADATA_KEY, ImageSpec
from mobilegeo.learn.export.gelu import reorder_gelu

OPSET = 18
MULTIPLE_PX = 32


def write_onnx(model: nn.Module, spec: ImageSpec, out: Path) -> Path:
    """Writes an encoder with batch size, height and width left free; atomic.

    Input `image` float32 [B, 3, H, W]; outputs `embedding` [B, D] and `features` [B, C, h, w].
    """
    batch = torch.export.Dim("batch", min=1, max=4096)
    rows, columns = (torch.export.Dim(name, min=1, max=1024) for name in ("rows", "columns"))
    sample = torch.zeros(2, 3, 3 * MULTIPLE_PX, 4 * MULTIPLE_PX)
    free = {0: batch, 2: MULTIPLE_PX * rows, 3: MULTIPLE_PX * columns}
    proto = traced(model.eval(), {"image": sample}, ["embedding", "features"], [free])
    reorder_gelu(proto.graph)
    return save_encoder(proto, spec, out)


def traced(
    model: nn.Module,
    samples: Mapping[str, Tensor],
    gives: list[str],
    free: Sequence[dict[int, Any]],
) -> onnx.ModelProto:
    """The graph of a network.

    Args:
        model: in evaluation mode.
        samples: the inputs' names, and an example of each.
        gives: the outputs' names.
        free: each input's dimensions that may vary, and how (`torch.export.Dim`).
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Inputs of one batch share its size, as they should.
        warnings.filterwarnings("ignore", message=".*shares the same shape constraints")
        program = torch.onnx.export(
            model,
            tuple(samples.values()),
            input_names=list(samples),
            output_names=gives,
            dynamic_shapes=tuple(free),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


def save_encoder(proto: onnx.ModelProto, spec: ImageSpec, out: Path) -> Path:
    """Writes a graph with its facts and nothing else beside it; atomic."""
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
