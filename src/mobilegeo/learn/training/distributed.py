"""Data-parallel training under `torchrun`: every process has its part of one joint batch.

Each rank runs the network on its own views, gathers everybody's outputs and computes the loss of
the joint batch, so that all views of all ranks are each other's negatives. As the gathered outputs
pass gradients back to their own rank only, the *sum* of all ranks' network gradients is the
gradient of the joint loss. Parameters of the objective have that gradient on every rank already.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from mobilegeo.errors import UsageError
from mobilegeo.learn.losses.objective import Branches
from mobilegeo.learn.models.exits import PlaceOutput

_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of a run.

    Attributes:
        rank: its number; 0 alone writes files.
        world: how many there are.
        device: where it computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def share(self, thing: _Thing) -> _Thing:
        """The first rank's `thing`, on every rank; what the others pass is ignored."""
        if self.world == 1:
            return thing
        box: list[Any] = [thing]
        distributed.broadcast_object_list(box, src=0, device=self.device)
        shared: _Thing = box[0]
        return shared

    def gather(self, rows: Tensor) -> Tensor:
        """All ranks' rows below one another; gradients go back to a rank's own rows.

        Args:
            rows: [N, …], N the same on every rank.
        """
        if self.world == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, self.rank, self.world)
        return gathered

    def gather_branches(self, branches: Branches) -> Branches:
        """Both views' outputs of all ranks."""
        return Branches(
            self._gather_output(branches.drone), self._gather_output(branches.satellite)
        )

    def _gather_output(self, output: PlaceOutput) -> PlaceOutput:
        logits = tuple(self.gather(z) for z in output.logits)
        return PlaceOutput(logits, self.gather(output.embedding))

    def reduce_gradients(self, network: nn.Module, objective: nn.Module) -> None:
        """Sums the network's gradients over the ranks; averages the objective's, which agree."""
        if self.world == 1:
            return
        for gradient in _gradients(network.parameters()):
            distributed.all_reduce(gradient)
        for gradient in _gradients(objective.parameters()):
            distributed.all_reduce(gradient)
            gradient.div_(self.world)


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """This process's place in the run; alone unless `torchrun` started it.

    Raises:
        UsageError: there are more processes than GPUs on a machine that has GPUs.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        return
    device = _device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), world, device)
    finally:
        distributed.destroy_process_group()


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            "torchrun",
            f"starts process {local_rank} on a machine with {torch.cuda.device_count()} GPUs",
            "lower --nproc-per-node",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


class _Gather(torch.autograd.Function):
    """All ranks' rows; the gradient of a rank's own rows is its part of the joint gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, world: int) -> Tensor:
        ctx.own = slice(rank * len(rows), (rank + 1) * len(rows))
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(world)]
        distributed.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][ctx.own], None, None
