"""Checkpoints: the head, the loss and the optimiser in one safetensors file each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mobilegeo.errors import ResourceError

_NAME = re.compile(r"step-(\d{7})\.safetensors$")


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` optimiser steps lies."""
    return folder / f"step-{step:07d}.safetensors"


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps, or `None`."""
    found = [path for path in folder.glob("step-*.safetensors") if _NAME.match(path.name)]
    return max(found, default=None)


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
    modules: dict[str, nn.Module],
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
    tensors = {
        f"{name}.{key}": value.contiguous()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": value for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)


def read_metadata(path: Path) -> dict[str, str]:
    """The text in a checkpoint.

    Raises:
        ResourceError: the file is missing or damaged.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ResourceError(
            path, f"is not a readable checkpoint ({error})", "give a file that training wrote"
        ) from error


def load(
    path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer | None = None
) -> None:
    """Restores what `save` wrote, in place.

    Raises:
        ResourceError: the file is missing, damaged or belongs to another network.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for name, module in modules.items():
            module.load_state_dict(_under(tensors, name))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ResourceError(
            path,
            f"is not a checkpoint of this network ({str(error).splitlines()[0]})",
            "give a checkpoint written with the same configuration",
        ) from error
    if optimiser is not None:
        state: dict[int, dict[str, Any]] = {}
        for key, value in _under(tensors, "optimiser").items():
            number, name = key.split(".", 1)
            state.setdefault(int(number), {})[name] = value
        optimiser.load_state_dict(
            {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
        )


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    dotted = prefix + "."
    return {key[len(dotted) :]: value for key, value in tensors.items() if key.startswith(dotted)}
