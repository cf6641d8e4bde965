"""Static int8 quantisation of an encoder's convolutions and matrix products."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from mobilegeo.encoder import load_encoder
from mobilegeo.encoder.graph import INPUT, normalise_pixels
from mobilegeo.learn.export.derived import derived_spec
from mobilegeo.learn.export.onnx import save_encoder

QUANTISED = ("Conv", "Gemm", "MatMul")
"""All else stays float32: the test for black, normalisation, means, L2. So do depthwise
convolutions, which have few products and channels of very different range."""


def quantise(model: Path, out: Path, images: Sequence[NDArray[np.uint8]]) -> Path:
    """Writes an int8 encoder made from a float32 one; atomic.

    QDQ form, as all runtimes read it: inputs of products uint8 a tensor, weights int8 a channel,
    ranges from the smallest to the largest value that the images give. Results stay float32, and so
    does what residual sums, the test for black and the outputs read. Weights use 7 of their 8 bits:
    processors without VNNI add pairs of uint8 × int8 products in 16 bits, which two products of
    255 × 127 overflow and two of 255 × 64 do not, so that the file gives the same everywhere.

    Args:
        model: a float32 encoder.
        out: the ONNX file to write.
        images: what the encoder will see, uint8 [H, W, 3] RGB each, sides multiples of its
            `multiple_px`; a few dozen.

    Raises:
        EncoderError: `model` is no encoder, or already derived from one.
    """
    encoder = load_encoder(model)
    spec = derived_spec(encoder, "int8")
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(model, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Images(normalise_pixels(image[None], spec) for image in images),
            quant_format=QuantFormat.QDQ,
            nodes_to_exclude=_depthwise(onnx.load(prepared).graph),
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": list(QUANTISED)},
        )
        proto = onnx.load(quantised)
        _keep_float_elsewhere(proto.graph)
        return save_encoder(proto, spec, out)


def _depthwise(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions with one input channel a group."""
    shapes = {weights.name: weights.dims for weights in graph.initializer}
    return [
        node.name for node in graph.node if node.op_type == "Conv" and shapes[node.input[1]][1] == 1
    ]


def _keep_float_elsewhere(graph: onnx.GraphProto) -> None:
    """Gives all nodes but the quantised products the tensors as they were before rounding.

    The quantiser hands a rounded tensor to every node that reads it.
    """
    made_by = {output: node for node in graph.node for output in node.output}
    before = {
        node.output[0]: made_by[node.input[0]].input[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in made_by
    }
    weights = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        rounded = node.op_type in QUANTISED and node.input[1] in weights
        if not rounded and node.op_type != "DequantizeLinear":
            for place, name in enumerate(node.input):
                node.input[place] = before.get(name, name)


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Hands batches of one to the calibration."""

    def __init__(self, batches: Iterator[NDArray[np.float32]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch; None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
