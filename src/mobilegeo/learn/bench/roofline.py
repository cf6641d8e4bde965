"""The roofline: how fast a network could be at the measured rates of a machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from mobilegeo.learn.models.complexity import measure

ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Rates:
    """What a device does at best, measured.

    Attributes:
        multiply_adds_per_s: of a large matrix product.
        bytes_per_s: read and written by a large copy.
    """

    multiply_adds_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """What a batch asks of the device.

    Attributes:
        multiply_adds: of convolutions, matrix products and attention.
        bytes: weights once, and what every convolution and linear layer reads and writes once, as
            if everything between them were fused into them and nothing stayed in a cache.
    """

    multiply_adds: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Bound:
    """The least time that a batch can take at given rates, milliseconds.

    Attributes:
        compute_ms: for the multiply-adds.
        memory_ms: for the bytes.
    """

    compute_ms: float
    memory_ms: float

    @property
    def ms(self) -> float:
        """The larger: both can go on at the same time."""
        return max(self.compute_ms, self.memory_ms)

    @property
    def limit(self) -> str:
        """Which of the two it is."""
        return "compute" if self.compute_ms >= self.memory_ms else "memory"


def bound(work: Work, rates: Rates) -> Bound:
    """The roofline of Williams et al. (2009), as a time."""
    return Bound(
        1000 * work.multiply_adds / rates.multiply_adds_per_s,
        1000 * work.bytes / rates.bytes_per_s,
    )


def work_of(network: nn.Module, size_px: int, batch: int, item_bytes: int) -> Work:
    """What a network asks for a batch.

    Args:
        network: takes float32 [B, 3, size_px, size_px].
        size_px: side of the square images.
        batch: B.
        item_bytes: of a number in the arithmetic's precision.
    """
    cost = measure(network, size_px)
    numbers = batch * _layer_traffic(network, size_px) + cost.parameters
    return Work(batch * cost.multiply_adds, item_bytes * numbers)


def _layer_traffic(network: nn.Module, size_px: int) -> int:
    """Numbers that the convolutions and linear layers read and write for one image."""
    count = 0

    def add(module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:  # noqa: ARG001
        nonlocal count
        count += given[0].numel() + result.numel()

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    device = next(network.parameters()).device
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size_px, size_px, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return count


def measure_rates(device: str, dtype: torch.dtype, side: int, copy_bytes: int) -> Rates:
    """Times a matrix product and a copy.

    Args:
        device: `cpu` or `cuda`.
        dtype: of the matrices.
        side: of the square matrices; so large that the device is busy.
        copy_bytes: of the array that is copied; larger than all caches.
    """
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(copy_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product_s = _seconds(lambda: left @ right, device)
    copy_s = _seconds(lambda: target.copy_(source), device)
    return Rates(side**3 / product_s, 2 * copy_bytes / copy_s)


def synchronise(device: str) -> None:
    """Waits until the device has done all that was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()


def _seconds(call: Callable[[], object], device: str) -> float:
    """Median of some calls, after three that do not count."""
    times = []
    for turn in range(ROUNDS + 3):
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        if turn >= 3:
            times.append(time.perf_counter() - start)
    return median(times)
