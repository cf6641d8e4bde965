"""An encoder with another place head behind the same features.

The trunk's graph stays as it is, so that features are those of the base file to the last bit; and
only the head is traced, which takes a tenth of the time.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.compose
import onnx.utils
import torch
from torch import Tensor, nn

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.encoder.graph import EMBEDDING, FEATURES, INPUT
from mobilegeo.learn.export.onnx import MULTIPLE_PX, save_encoder, traced
from mobilegeo.learn.models.heads import cell_coverage
from mobilegeo.learn.models.place_encoder import PlaceEncoder

GRIDS = "grids"
"""Input of the head's graph: the stages that it looks at, side by side."""
PREFIX = "place/"
"""Before all names of the head's graph."""


class _Placing(nn.Module):
    """Head and masking of a `PlaceEncoder`, without its trunk."""

    def __init__(self, model: PlaceEncoder, stride_px: int) -> None:
        super().__init__()
        self.head = model.head
        self.stride_px = stride_px

    def forward(self, image: Tensor, grids: Tensor) -> Tensor:
        """Embeddings, float32 [B, D], of normalised images and what the trunk gives of them."""
        embedding: Tensor = self.head(grids, cell_coverage(image, self.stride_px))
        return embedding


def write_trunk(base: Path, model: PlaceEncoder, out: Path) -> Path:
    """Writes what a network's head looks at as a file of one output, `features`.

    Args:
        base: an exported encoder with the network's trunk.
        model: the network.
        out: the file.
    """
    whole = onnx.load(base)
    grids = _grids(whole, model)
    trunk = onnx.utils.Extractor(whole).extract_model([INPUT], [grids])
    for node in trunk.graph.node:
        node.output[:] = [FEATURES if name == grids else name for name in node.output]
    trunk.graph.output[0].name = FEATURES
    onnx.save(trunk, out)
    return out


def write_placed(base: Path, model: PlaceEncoder, spec: ImageSpec, out: Path) -> Path:
    """Writes the base's trunk with a network's head as one ONNX file; atomic.

    Args:
        base: an exported float32 encoder with the network's trunk.
        model: in evaluation mode.
        spec: the facts of the new encoder.
        out: the `.onnx` file.
    """
    whole = onnx.load(base)
    grids = _grids(whole, model)
    trunk = onnx.utils.Extractor(whole).extract_model([INPUT], [FEATURES])
    head = onnx.compose.add_prefix(_head_graph(model, spec), PREFIX).graph
    own = {PREFIX + INPUT: INPUT, PREFIX + GRIDS: grids, PREFIX + EMBEDDING: EMBEDDING}
    for node in head.node:
        for side in (node.input, node.output):
            side[:] = [own.get(name, name) for name in side]
    (embedding,) = head.output
    embedding.name = EMBEDDING
    trunk.graph.node.extend(head.node)
    trunk.graph.initializer.extend(head.initializer)
    trunk.graph.output.insert(0, embedding)
    return save_encoder(trunk, spec, out)


def _grids(graph: onnx.ModelProto, model: PlaceEncoder) -> str:
    """Name of the tensor that the head looks at: of all its stages before the last is cut out."""
    if not model.config.shallow:
        return FEATURES
    (cut,) = (node for node in graph.graph.node if FEATURES in node.output)
    return str(cut.input[0])


def _head_graph(model: PlaceEncoder, spec: ImageSpec) -> onnx.ModelProto:
    """The head alone; batch size, height and width are left free."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    rows, columns = (torch.export.Dim(name, min=1, max=1024) for name in ("rows", "columns"))
    stride_px = spec.feature_stride_px
    cells = MULTIPLE_PX // stride_px
    samples = {
        INPUT: torch.zeros(2, 3, 3 * MULTIPLE_PX, 4 * MULTIPLE_PX),
        GRIDS: torch.zeros(2, len(model.standardise.mean), 3 * cells, 4 * cells),
    }
    free = [{0: batch, 2: side * rows, 3: side * columns} for side in (MULTIPLE_PX, cells)]
    return traced(_Placing(model, stride_px).eval(), samples, [EMBEDDING], free)
