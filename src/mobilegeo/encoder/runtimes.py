"""What can compute an encoder, by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mobilegeo.encoder.base import Encoder
from mobilegeo.encoder.graph import GraphEncoder
from mobilegeo.encoder.onnx import OnnxEncoder
from mobilegeo.encoder.openvino import PRECISIONS, OpenVinoEncoder
from mobilegeo.encoder.providers import CPU, PROVIDERS
from mobilegeo.encoder.trial import fastest
from mobilegeo.errors import EncoderError, MissingExtraError

Build = Callable[..., GraphEncoder]

RUNTIMES: dict[str, Build] = {
    **{name: partial(OnnxEncoder, runtime=name) for name in PROVIDERS},
    **{name: partial(OpenVinoEncoder, runtime=name) for name in PRECISIONS},
}
"""Name → what opens a model file: `build(path, threads=…)`."""

DEFAULT_RUNTIME = CPU

AUTO = "auto"
"""The fastest by a trial on this machine; see `mobilegeo.encoder.trial`."""

REDUCED_PRECISION = frozenset({"openvino-bf16"})
"""Runtimes that change embeddings by more than rounding; only ever used when asked for by name."""


CHECKPOINT_SUFFIX = ".safetensors"
"""Of the files that training writes; only PyTorch opens them."""

_TORCH = "torch"
"""How the names of the learning wing's runtimes begin; see `mobilegeo.learn.runtimes`."""


def open_encoder(
    path: str | os.PathLike[str], *, threads: int | None = None, runtime: str | None = None
) -> Encoder:
    """Opens a model file with a runtime; one that is missing is an error, never replaced.

    Args:
        path: an exported `.onnx` file, or for a runtime of PyTorch a training checkpoint.
        threads: CPU threads; all cores when `None`.
        runtime: a name in `RUNTIMES` or `mobilegeo.learn.runtimes.RUNTIMES`, or `AUTO`;
            `DEFAULT_RUNTIME` when `None`.

    Raises:
        EncoderError: there is no such runtime, it cannot start, or the file is no encoder.
        MissingExtraError: the runtime is not installed; names the package.
    """
    runtime = DEFAULT_RUNTIME if runtime is None else runtime
    if runtime.partition("-")[0] == _TORCH:
        return _open_with_torch(path, runtime, threads)
    if Path(path).suffix.lower() == CHECKPOINT_SUFFIX:
        raise EncoderError(
            path,
            f"is a training checkpoint, which runtime {runtime} does not open",
            "export it with `mobilegeo learn export`, or choose --runtime torch",
        )
    if runtime == AUTO:
        builds = {name: b for name, b in RUNTIMES.items() if name not in REDUCED_PRECISION}
        return fastest(path, builds, threads=threads)
    if runtime not in RUNTIMES:
        raise EncoderError(
            f"runtime {runtime}",
            "is not known",
            f"choose one of {', '.join([*RUNTIMES, _TORCH, AUTO])}",
        )
    return RUNTIMES[runtime](path, threads=threads)


def _open_with_torch(path: str | os.PathLike[str], runtime: str, threads: int | None) -> Encoder:
    missing = [name for name in ("torch", "timm") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"runtime {runtime}",
            f"needs {' and '.join(missing)}, which is not installed",
            "run pip install 'mobilegeo[learn]'",
        )
    if Path(path).suffix.lower() != CHECKPOINT_SUFFIX:
        raise EncoderError(
            path,
            f"is no training checkpoint, and runtime {runtime} opens nothing else",
            "give a network.safetensors of `mobilegeo learn train`, or choose another --runtime",
        )
    from mobilegeo.learn.runtimes import open_checkpoint

    return open_checkpoint(path, runtime=runtime, threads=threads)
