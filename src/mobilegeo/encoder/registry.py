"""Encoders by name."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from mobilegeo.encoder.base import Encoder
from mobilegeo.encoder.runtimes import CHECKPOINT_SUFFIX, open_encoder
from mobilegeo.errors import EncoderError, PackError

if TYPE_CHECKING:
    from mobilegeo.maps.pack import MapPack

SHIPPED: dict[str, str] = {
    "nano": "nano.onnx",
    "nano-int8": "nano-int8.onnx",
    "first": "first.onnx",
}
"""Models inside the package: name → file in `mobilegeo/encoder/weights`."""

MADE_FROM: dict[str, str] = {"nano-int8": "nano"}
"""Of reduced precision: whose card and constants of the confidence hold for them too."""

SHA256: dict[str, str] = {
    "nano": "c2e7cc444b9ec7c5b981daefe618863af5f03db35a2d545398371c9531921177",
    "nano-int8": "7880c7adce80e638280433e6da0364b2c283c27eca563da98e1feb94cc529ae0",
    "first": "069b5db5781fb38bd24fa2a5345b0dd6005871fd17133f4be0c59ed8667b9e2d",
}
"""Of the files, so that a damaged installation is noticed before it gives wrong places."""

DEFAULT = "nano"


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
        EncoderError: there is no such name, file or runtime, or the file is no encoder or damaged.
        MissingExtraError: the runtime is not installed.
    """
    if isinstance(name, str) and name in SHIPPED:
        with as_file(files("mobilegeo.encoder") / "weights" / SHIPPED[name]) as path:
            return _undamaged(name, open_encoder(path, threads=threads, runtime=runtime))
    if Path(name).suffix.lower() not in {".onnx", CHECKPOINT_SUFFIX}:
        raise EncoderError(
            name,
            "is neither a shipped encoder nor an .onnx file",
            f"choose one of {', '.join(SHIPPED)} or give the path of an exported .onnx file",
        )
    return open_encoder(name, threads=threads, runtime=runtime)


def shipped_bytes(name: str) -> bytes:
    """The file of a shipped encoder."""
    return (files("mobilegeo.encoder") / "weights" / SHIPPED[name]).read_bytes()


def card(name: str) -> str:
    """The model card of a shipped encoder, Markdown.

    Raises:
        EncoderError: no encoder of this name ships.
    """
    if name not in SHIPPED:
        raise EncoderError(name, "is no shipped encoder", f"choose one of {', '.join(SHIPPED)}")
    text = files("mobilegeo.encoder") / "weights" / f"{MADE_FROM.get(name, name)}.md"
    return text.read_text(encoding="utf-8")


def _undamaged(name: str, encoder: Encoder) -> Encoder:
    if encoder.sha256 != SHA256[name]:
        raise EncoderError(
            name,
            f"is not the file that was shipped (sha256 {encoder.sha256[:12]}…)",
            "install mobilegeo again",
        )
    return encoder


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
    return next((name for name, known in SHA256.items() if known == sha256), None)
