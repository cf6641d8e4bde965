"""What goes wrong in a training step, explained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from mobilegeo.errors import ResourceError

_CPU_SIGNS = ("not enough memory", "can't allocate memory", "cannot allocate memory")


@contextmanager
def memory_explained(step: int, images: int) -> Iterator[None]:
    """Turns a lack of memory into an error with a cure.

    Args:
        step: optimiser steps done.
        images: in a batch of this process.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _too_large(step, images) from error
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _CPU_SIGNS):
            raise
        raise _too_large(step, images) from error


def check_terms(terms: Mapping[str, Tensor], step: int, precision: str) -> None:
    """Refuses to go on from a loss that is not finite.

    Args:
        terms: scalars by name.
        step: optimiser steps done.
        precision: of the run, for the cure.
    """
    values = torch.stack([term.detach() for term in terms.values()]).tolist()
    lost = [f"{name} = {v}" for name, v in zip(terms, values, strict=True) if not math.isfinite(v)]
    if lost:
        raise diverged(step, f"the loss is not finite: {', '.join(lost)}", precision)


def check_gradient(norm: Tensor, step: int, precision: str) -> None:
    """Refuses to go on from gradients that are not finite; arguments as for `check_terms`."""
    if not torch.isfinite(norm):
        raise diverged(step, f"the gradient's norm is {float(norm)}", precision)


def diverged(step: int, problem: str, precision: str) -> ResourceError:
    """The error of a run that has diverged."""
    other = {"fp16": "bf16 or off", "bf16": "off"}.get(precision)
    switch = f" or set precision.mode to {other}" if other else ""
    return ResourceError(
        f"step {step + 1}",
        problem,
        "the last checkpoint is sound: lower optimiser.learning_rate or optimiser.clip_norm, "
        f"or lengthen schedule.warmup_epochs{switch}, in a new `out` folder",
    )


def _too_large(step: int, images: int) -> ResourceError:
    return ResourceError(
        f"step {step + 1}",
        f"memory ran out with {images} images a batch",
        "lower sampling.places_per_batch or drone_views, set memory.chunk_images "
        f"(below {images}) or memory.grad_checkpointing, or choose precision.mode bf16",
    )
