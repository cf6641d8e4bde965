"""Encoders by name."""

from __future__ import annotations

import hashlib
import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from mobilegeo.encoder.base import Encoder
from mobilegeo.encoder.runtimes import CHECKPOINT_SUFFIX, open_encoder
from mobilegeo.errors import EncoderError, PackError

if TYPE_CHECKING:
    from mobilegeo.maps.pack import MapPack

SHIPPED: dict[str, str] = {"first": "first.onnx"}
"""Models inside the package: name → file in `mobilegeo/encoder/weights`."""

DEFAULT = "first"


def load_encoder(
    name: str | os.PathLike[str] = DEFAULT,
    *,
    threads: int | None = None,
    runtime: str | None = None,
) -> Encoder:
    """An encoder that ships with the package, or one from a file.

    Args:
        name: a name in `SHIPPED`, or the path of an exported `.onnx` file; for a runtime of
            PyTorch that of a training checkpoint, `.safetensors`.
        threads: CPU threads; all cores when `None`.
        runtime: what computes it, a name in `RUNTIMES` or `auto`; `DEFAULT_RUNTIME` when `None`.

    Raises:
        EncoderError: there is no such name, file or runtime, or the file is no encoder.
        MissingExtraError: the runtime is not installed.
    """
    if isinstance(name, str) and name in SHIPPED:
        with as_file(files("mobilegeo.encoder") / "weights" / SHIPPED[name]) as path:
            return open_encoder(path, threads=threads, runtime=runtime)
    if Path(name).suffix.lower() not in {".onnx", CHECKPOINT_SUFFIX}:
        raise EncoderError(
            name,
            "is neither a shipped encoder nor an .onnx file",
            f"choose one of {', '.join(SHIPPED)} or give the path of an exported .onnx file",
        )
    return open_encoder(name, threads=threads, runtime=runtime)


def encoder_for(
    pack: MapPack,
    name: str | os.PathLike[str] | None = None,
    *,
    threads: int | None = None,
    runtime: str | None = None,
) -> Encoder:
    """The encoder that made a pack, or one of the same origin.

    Args:
        pack: the map.
        name: as in `load_encoder`; when `None`, the shipped encoder with the pack's hash, or else
            the shipped one that the pack's was derived from.
        threads: CPU threads; all cores when `None`.
        runtime: what computes it, a name in `RUNTIMES` or `auto`; `DEFAULT_RUNTIME` when `None`.

    Raises:
        PackError: no shipped encoder made the pack, or the one named did not.
        EncoderError: there is no such encoder or runtime.
        MissingExtraError: the runtime is not installed.
    """
    if name is None:
        name = _shipped(pack.encoder_sha256) or _shipped(pack.spec.derived_from)
    if name is None:
        raise PackError(
            pack.path,
            f"was built with encoder {pack.encoder_id} ({pack.encoder_sha256[:12]}…), "
            "which does not ship with this version",
            "name its .onnx file with --encoder, or build the map again",
        )
    encoder = load_encoder(name, threads=threads, runtime=runtime)
    pack.require(encoder)
    return encoder


def _shipped(sha256: str | None) -> str | None:
    """Name of the shipped encoder with a hash; None where there is none."""
    return next((name for name in SHIPPED if _shipped_sha256(name) == sha256), None)


def _shipped_sha256(name: str) -> str:
    weights = files("mobilegeo.encoder") / "weights" / SHIPPED[name]
    return hashlib.sha256(weights.read_bytes()).hexdigest()
