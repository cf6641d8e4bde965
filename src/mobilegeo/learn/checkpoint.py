"""Checkpoints: tensors and text in one safetensors file each, whole or absent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mobilegeo.errors import ResourceError, UsageError

NETWORK_FILE = "network.safetensors"
"""What a finished run leaves in its folder: the network without what only training needs."""
_NAME = re.compile(r"step-(\d{7})\.safetensors$")


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` optimiser steps lies."""
    return folder / f"step-{step:07d}.safetensors"


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints of a run, in the order of their steps."""
    found = folder.glob("step-*.safetensors")
    return sorted(path for path in found if _NAME.match(path.name))


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps, or `None`."""
    return max(checkpoints(folder), default=None)


def step_of(path: Path) -> int:
    """The number of steps in a checkpoint's name.

    Raises:
        ResourceError: the file is not named as checkpoints are.
    """
    match = _NAME.match(path.name)
    if match is None:
        raise ResourceError(path, "is not named step-NNNNNNN.safetensors", "keep its name")
    return int(match[1])


def save(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    metadata: dict[str, str],
) -> None:
    """Writes the state of all modules and the optimiser; atomic.

    Args:
        path: the file.
        modules: name → module; the name prefixes its tensors.
        optimiser: its moments are kept under `optimiser.`, one entry a parameter.
        metadata: text that travels with the tensors, such as what the network is made of.
    """
    write_tensors(path, tensors_of(modules) | moments_of(optimiser), metadata)


def load(
    path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer | None = None
) -> None:
    """Restores what `save` wrote, in place.

    Raises:
        ResourceError: the file is missing, damaged or belongs to another network.
    """
    with _fitting(path):
        for name, module in modules.items():
            module.load_state_dict(under(read_tensors(path, name), name))
    if optimiser is not None:
        state: dict[int, dict[str, Any]] = {}
        for key, value in under(read_tensors(path, "optimiser"), "optimiser").items():
            number, name = key.split(".", 1)
            state.setdefault(int(number), {})[name] = value
        optimiser.load_state_dict(
            {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
        )


def tensors_of(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of modules, each under its module's name."""
    return {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state, under `optimiser.` and the number of each parameter."""
    return {
        f"optimiser.{number}.{key}": value
        for number, state in optimiser.state_dict()["state"].items()
        for key, value in state.items()
    }


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes one file; atomic.

    Raises:
        UsageError: the folder cannot be written or is full; an older file stays as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata)
        partial.chmod(0o644)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise UsageError(
            path,
            f"cannot be written ({error})",
            "choose a folder that can be written and has room",
        ) from error


def read_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a file whose names start so.

    Raises:
        ResourceError: the file is missing or damaged.
    """
    with _open(path) as file:
        names = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
        return {name: file.get_tensor(name) for name in names}


def read_metadata(path: Path) -> dict[str, str]:
    """The text in a checkpoint.

    Raises:
        ResourceError: the file is missing or damaged.
    """
    with _open(path) as file:
        return dict(file.metadata() or {})


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below a name, without it."""
    dotted = prefix + "."
    return {key[len(dotted) :]: value for key, value in tensors.items() if key.startswith(dotted)}


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ResourceError(
            path, f"is not a readable checkpoint ({error})", "give a file that training wrote"
        ) from error


@contextmanager
def _fitting(path: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ResourceError(
            path,
            f"is not a checkpoint of this network ({str(error).splitlines()[0]})",
            "give a checkpoint written with the same configuration",
        ) from error
