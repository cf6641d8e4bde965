"""Encoders with their weights in half precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from mobilegeo.encoder import load_encoder
from mobilegeo.errors import EncoderError
from mobilegeo.learn.export.derived import derived_spec
from mobilegeo.learn.export.onnx import save_encoder

LEAST_NUMBERS = 256
"""Smaller tensors stay as they are: they are constants of formulas, and save nothing."""


def halve(model: Path, out: Path) -> Path:
    """Writes a float16 encoder made from a float32 one; atomic.

    Weights are stored in half and widened to float32 by a cast that every runtime folds when it
    loads the file. Arithmetic, input and outputs are float32, so that it runs where a processor
    has no half-precision arithmetic, and loses the rounding of the weights only.

    Args:
        model: a float32 encoder.
        out: the ONNX file to write.

    Raises:
        EncoderError: `model` is no encoder, is already derived, or has a weight beyond float16.
    """
    encoder = load_encoder(model)
    spec = derived_spec(encoder, "float16")
    proto = onnx.load(model)
    casts = []
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_NUMBERS:
            continue
        if float(np.abs(values).max()) > float(np.finfo(np.float16).max):
            raise EncoderError(
                model, f"has a weight beyond float16 in {tensor.name}", "keep it in float32"
            )
        name, stored = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return save_encoder(proto, spec, out)
