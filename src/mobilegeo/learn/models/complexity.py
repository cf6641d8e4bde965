"""Parameters and multiply-adds of a network as it is deployed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.models import reparameterize_model
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, slots=True)
class Complexity:
    """What one image costs.

    Attributes:
        parameters: numbers to be stored.
        multiply_adds: of convolutions, matrix products and attention; a multiply-add is two
            floating-point operations, though the literature often calls it one FLOP.
        size_px: side of the square image.
    """

    parameters: int
    multiply_adds: int
    size_px: int

    def __str__(self) -> str:
        return (
            f"{self.parameters / 1e6:.2f} M parameters, "
            f"{self.multiply_adds / 1e9:.2f} G multiply-adds at {self.size_px} px"
        )


def measure(network: nn.Module, size_px: int) -> Complexity:
    """Counts a network's parameters and its multiply-adds for one image.

    Branches that exist only in training (RepViT, FastViT) are merged first, in a copy.

    Args:
        network: takes float32 [1, 3, size_px, size_px], such as `Student.embedder`.
        size_px: side of the square image.

    Example:
        >>> print(measure(nn.Conv2d(3, 100, 8, stride=8, bias=False), 64))
        0.02 M parameters, 0.00 G multiply-adds at 64 px
    """
    deployed: nn.Module = reparameterize_model(network).eval()
    device = next(deployed.parameters()).device
    image = torch.zeros(1, 3, size_px, size_px, device=device)
    # Fused kernels of attention are not counted on every processor; its matrix products are.
    plain = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        deployed(image)
    parameters = sum(p.numel() for p in deployed.parameters())
    return Complexity(parameters, counter.get_total_flops() // 2, size_px)
