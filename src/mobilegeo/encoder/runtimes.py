"""What can compute an encoder, by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from mobilegeo.encoder.graph import GraphEncoder
from mobilegeo.encoder.onnx import OnnxEncoder
from mobilegeo.encoder.openvino import PRECISIONS, OpenVinoEncoder
from mobilegeo.encoder.providers import CPU, PROVIDERS
from mobilegeo.encoder.trial import fastest
from mobilegeo.errors import EncoderError

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


def open_encoder(
    path: str | os.PathLike[str], *, threads: int | None = None, runtime: str | None = None
) -> GraphEncoder:
    """Opens a model file with a runtime; one that is missing is an error, never replaced.

    Args:
        path: an exported `.onnx` file.
        threads: CPU threads; all cores when `None`.
        runtime: a name in `RUNTIMES`, or `AUTO`; `DEFAULT_RUNTIME` when `None`.

    Raises:
        EncoderError: there is no such runtime, it cannot start, or the file is no encoder.
        MissingExtraError: the runtime is not installed; names the package.
    """
    runtime = DEFAULT_RUNTIME if runtime is None else runtime
    if runtime == AUTO:
        builds = {name: b for name, b in RUNTIMES.items() if name not in REDUCED_PRECISION}
        return fastest(path, builds, threads=threads)
    if runtime not in RUNTIMES:
        raise EncoderError(
            f"runtime {runtime}",
            "is not known",
            f"choose one of {', '.join([*RUNTIMES, AUTO])}",
        )
    return RUNTIMES[runtime](path, threads=threads)
