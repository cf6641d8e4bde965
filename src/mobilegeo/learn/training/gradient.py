"""Gradients of a loss over a batch that may be too large for memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mobilegeo.learn.losses.objective import Objective
from mobilegeo.learn.models.exits import PlaceOutput
from mobilegeo.learn.training.joint_norm import statistics_kept

Forward = Callable[[Tensor], PlaceOutput]
Loss = Callable[[PlaceOutput], Objective]
Scale = Callable[[Tensor], Tensor]


def accumulate_gradients(
    network: nn.Module, forward: Forward, loss: Loss, scale: Scale, images: Tensor, chunk: int
) -> Objective:
    """Adds the gradients of a batch's loss to those of all parameters.

    With `chunk`, by gradient caching (Gao et al., arXiv 2101.06983): the network first runs chunk
    by chunk without a graph; the loss of the joint outputs gives the gradient of each output; then
    each chunk runs again, with a graph, and passes its outputs' gradients on. Memory is that of
    one chunk, time a third more, and the gradients are those of the whole batch: the second run
    replays the first's random numbers, so that dropout is the same.

    Batch norm is where the two differ: it takes its statistics from each chunk, not from the batch,
    as it would in a batch of that size; they are noted once, in the second run. Chunks are taken
    with a stride, so that each has drone and satellite views in the batch's proportion. LayerNorm,
    as in ConvNeXt and ViT trunks, does not see the batch.

    Args:
        network: in training mode; the one that `forward` runs.
        forward: images to outputs, under the run's precision.
        loss: the joint outputs to the loss.
        scale: of the total before the backward pass.
        images: uint8 [N, 3, S, S].
        chunk: images at a time; 0, or at least N, runs all at once.
    """
    if not 0 < chunk < len(images):
        objective = loss(forward(images))
        scale(objective.total).backward()  # type: ignore[no-untyped-call]
        return objective
    parts = _strided(len(images), chunk, images.device)
    states = []
    outputs = []
    with torch.no_grad(), statistics_kept(network):
        for part in parts:
            states.append(_random_state(images.device))
            outputs.append(_flat(forward(images[part])))
    joint = [_joined(parts, tensors) for tensors in zip(*outputs, strict=True)]
    objective = loss(_unflat(joint))
    scale(objective.total).backward()  # type: ignore[no-untyped-call]
    for part, state in zip(parts, states, strict=True):
        _set_random_state(images.device, state)
        _pass_on(_flat(forward(images[part])), [t.grad for t in joint], part)
    return objective


def _strided(count: int, chunk: int, device: torch.device) -> list[Tensor]:
    """Indices of each chunk, of sizes that differ by at most one."""
    chunks = min(-(-count // chunk), count // 2)
    return [torch.arange(first, count, chunks, device=device) for first in range(chunks)]


def _joined(parts: list[Tensor], tensors: tuple[Tensor, ...]) -> Tensor:
    """Chunks' rows in the batch's order, as a leaf that collects a gradient."""
    rows = torch.cat(tensors)
    out = torch.empty_like(rows)
    out[torch.cat(parts)] = rows
    return out.requires_grad_()


def _pass_on(outputs: tuple[Tensor, ...], gradients: list[Tensor | None], part: Tensor) -> None:
    """Sends the joint outputs' gradients back through one chunk's graph."""
    used = [(out, g[part]) for out, g in zip(outputs, gradients, strict=True) if g is not None]
    torch.autograd.backward([out for out, _ in used], [gradient for _, gradient in used])


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_gpu


def _set_random_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def _flat(output: PlaceOutput) -> tuple[Tensor, ...]:
    return (*output.logits, output.embedding)


def _unflat(tensors: list[Tensor]) -> PlaceOutput:
    *logits, embedding = tensors
    return PlaceOutput(tuple(logits), embedding)
