"""PyTorch as a runtime of encoders, by the names that `--runtime` takes."""

from __future__ import annotations

import os

from mobilegeo.errors import EncoderError
from mobilegeo.learn.runtimes.computation import Computation
from mobilegeo.learn.runtimes.encoder import TorchEncoder

RUNTIMES: dict[str, Computation] = {
    "torch": Computation(),
    "torch-compile": Computation(compiled=True),
    "torch-cuda": Computation("cuda"),
    "torch-cuda-fp16": Computation("cuda", "fp16"),
    "torch-cuda-bf16": Computation("cuda", "bf16"),
    "torch-cuda-graphs": Computation("cuda", "fp16", graphs=True),
}
"""Name → how to compute."""


def open_checkpoint(
    path: str | os.PathLike[str], *, runtime: str, threads: int | None = None
) -> TorchEncoder:
    """Opens a training checkpoint with one of `RUNTIMES`.

    Raises:
        EncoderError: there is no such runtime, or its device is not there.
        ResourceError: the checkpoint is missing, damaged or not one of ours.
    """
    if runtime not in RUNTIMES:
        raise EncoderError(
            f"runtime {runtime}", "is not known", f"choose one of {', '.join(RUNTIMES)}"
        )
    return TorchEncoder.open(path, RUNTIMES[runtime], runtime=runtime, threads=threads)
