"""Encoders by name."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path

from mobilegeo.encoder.base import Encoder
from mobilegeo.encoder.onnx import OnnxEncoder
from mobilegeo.errors import EncoderError

SHIPPED: dict[str, str] = {"first": "first.onnx"}
"""Models inside the package: name → file in `mobilegeo/encoder/weights`."""

DEFAULT = "first"


def load_encoder(name: str | os.PathLike[str] = DEFAULT, *, threads: int | None = None) -> Encoder:
    """An encoder that ships with the package, or one from a file.

    Args:
        name: a name in `SHIPPED`, or the path of an exported `.onnx` file.
        threads: CPU threads; all cores when `None`.

    Raises:
        EncoderError: there is no such name or file, or the file is no encoder.
    """
    if isinstance(name, str) and name in SHIPPED:
        with as_file(files("mobilegeo.encoder") / "weights" / SHIPPED[name]) as path:
            return OnnxEncoder(path, threads=threads)
    if Path(name).suffix.lower() != ".onnx":
        raise EncoderError(
            name,
            "is neither a shipped encoder nor an .onnx file",
            f"choose one of {', '.join(SHIPPED)} or give the path of an exported .onnx file",
        )
    return OnnxEncoder(name, threads=threads)
