"""An encoder with a trained alignment head behind its features.

The graph of the base encoder stays as it is, so that embeddings are the base's to the last bit.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.compose
import torch
from numpy.typing import NDArray

from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.encoder.base import FLOAT32, Encoded, ImageSpec
from mobilegeo.encoder.graph import EMBEDDING, FEATURES
from mobilegeo.errors import ResourceError
from mobilegeo.learn.export.onnx import save_encoder, traced
from mobilegeo.learn.export.parity import Encode
from mobilegeo.learn.export.source import model_file
from mobilegeo.learn.models.alignment_head import REACH_CELLS, AlignmentHead
from mobilegeo.learn.models.saved_head import SavedHead

PREFIX = "alignment/"
"""Before all names of the head's graph."""
TRUNK_FEATURES = "trunk_features"
"""What the base's features are called in the new graph."""


def base_of(saved: SavedHead) -> Encoder:
    """The encoder that a head was trained on.

    Raises:
        ResourceError: the file of that name is another encoder by now.
        EncoderError: there is no such encoder.
    """
    base = load_encoder(saved.base)
    if base.sha256 != saved.base_sha256:
        raise ResourceError(
            saved.base,
            f"has hash {base.sha256[:12]}…, the head was trained on {saved.base_sha256[:12]}…",
            "put the encoder back, or train the head again",
        )
    return base


def aligned_spec(base: ImageSpec, saved: SavedHead) -> ImageSpec:
    """The facts of the new encoder."""
    reach_px = REACH_CELLS * base.feature_stride_px
    halo_px = -(-(base.feature_halo_px + reach_px) // base.multiple_px) * base.multiple_px
    return replace(
        base,
        model_id=saved.model_id,
        feature_dim=saved.head.config.descriptors,
        feature_halo_px=halo_px,
    )


def aligned_encode(saved: SavedHead, base: Encoder) -> Encode:
    """What the base and PyTorch's head make of images, to compare the new file with."""

    def encode(images: NDArray[np.uint8]) -> Encoded:
        found = base.encode(images)
        features = torch.from_numpy(found.features).permute(0, 3, 1, 2)
        with torch.inference_mode():
            descriptors = saved.head(features)
        return Encoded(found.embedding, descriptors.permute(0, 2, 3, 1).numpy())

    return encode


def write_aligned(saved: SavedHead, base: Encoder, out: Path) -> Path:
    """Writes base and head as one ONNX file; atomic.

    Raises:
        ResourceError: the base is of reduced precision.
    """
    if base.spec.precision != FLOAT32:
        raise ResourceError(
            saved.base, f"is of precision {base.spec.precision}", "train on the float32 encoder"
        )
    trunk = onnx.load(model_file(saved.base))
    head = onnx.compose.add_prefix(_head_graph(saved.head), PREFIX)
    head.ir_version = trunk.ir_version
    merged = onnx.compose.merge_models(
        trunk,
        head,
        io_map=[(FEATURES, PREFIX + TRUNK_FEATURES)],
        outputs=[EMBEDDING, PREFIX + FEATURES],
    )
    _rename(merged.graph, {FEATURES: TRUNK_FEATURES, PREFIX + FEATURES: FEATURES})
    return save_encoder(merged, aligned_spec(base.spec, saved), out)


def _head_graph(head: AlignmentHead) -> onnx.ModelProto:
    """The head alone, all sides but the channels left free."""
    names = ("batch", "rows", "columns")
    batch, rows, columns = (torch.export.Dim(name, min=1, max=16384) for name in names)
    sample = torch.zeros(2, head.channels, 5, 7)
    free = {0: batch, 2: rows, 3: columns}
    return traced(head, {TRUNK_FEATURES: sample}, [FEATURES], [free])


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Gives values new names, wherever they appear."""
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
    for value in (*graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
