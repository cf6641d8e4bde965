"""Batch norm whose statistics are those of the joint batch of all ranks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, distributed, nn
from torch.nn import functional

from mobilegeo.learn.losses.divergence import at_least_float32

_LOCAL = (nn.BatchNorm1d, nn.BatchNorm2d)


class JointBatchNorm(nn.Module):
    """Takes the place of a batch norm, with its parameters and buffers under the same names.

    PyTorch's own `SyncBatchNorm` needs GPUs; this one runs wherever `all_reduce` does. In
    evaluation mode it is a plain batch norm. Statistics are at least float32, the output
    is of the input's type.

    Args:
        local: what it replaces, timm's variant with an activation included.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, local: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias = local.weight, local.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(local, name))
        self.eps, self.momentum = local.eps, local.momentum or 0.0
        self.track_running_stats = True
        acts = isinstance(local, BatchNormAct2d)
        self.drop = local.get_submodule("drop") if acts else nn.Identity()
        self.act = local.get_submodule("act") if acts else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Normalises float [B, C] or [B, C, h, w]."""
        if self.training:
            normalised = self._by_the_batch(features)
        else:
            normalised = functional.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        out: Tensor = self.act(self.drop(normalised))
        return out

    def _by_the_batch(self, features: Tensor) -> Tensor:
        dims = [0, *range(2, features.ndim)]
        shape = [1, -1] + [1] * (features.ndim - 2)
        wide = at_least_float32(features)
        count = features.numel() / features.shape[1] * distributed.get_world_size()
        mean = _sum_over_ranks(wide.sum(dims)) / count
        centred = wide - mean.view(shape)
        variance = _sum_over_ranks(centred.square().sum(dims)) / count
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * count / (count - 1))
        normalised = centred * torch.rsqrt(variance + self.eps).view(shape)
        out = normalised * self.weight.view(shape) + self.bias.view(shape)
        return out.to(features.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


def join_batch_norms(module: nn.Module) -> None:
    """Replaces every batch norm that learns inside `module`, in place.

    Frozen ones stay in evaluation mode, where nothing is to be joined.
    """
    for name, child in module.named_children():
        learns = any(p.requires_grad for p in child.parameters(recurse=False))
        if isinstance(child, _LOCAL) and learns:
            setattr(module, name, JointBatchNorm(child))
        else:
            join_batch_norms(child)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Within, batch norms in training mode use the batch's statistics but do not note them."""
    norms = [
        m
        for m in network.modules()
        if isinstance(m, (nn.modules.batchnorm._BatchNorm, JointBatchNorm))
        and m.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _sum_over_ranks(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)
    return total


class _Sum(torch.autograd.Function):
    """The sum over ranks; each rank's values move every rank's loss, so gradients sum too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        total = values.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total
