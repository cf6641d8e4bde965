"""The first file of a trained network: float32."""

from __future__ import annotations

from pathlib import Path

from mobilegeo.learn.export.network import read_checkpoint
from mobilegeo.learn.export.onnx import write_onnx


def export_float32(checkpoint: Path, out: Path) -> Path:
    """Turns a training checkpoint into an encoder file; atomic.

    Args:
        checkpoint: as for `read_checkpoint`.
        out: the ONNX file to write.

    Raises:
        ResourceError: the checkpoint is missing, damaged or not one of ours.
    """
    return write_onnx(*read_checkpoint(checkpoint), out)
