"""Temperature-softened Kullback-Leibler divergence, the core of every distillation here."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

DISTILLATION_TEMPERATURE = 4.0
"""T of the paper, wherever one prediction teaches another."""


def at_least_float32(values: Tensor) -> Tensor:
    """Widens half-precision values; float32 and float64 stay as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def softened_kl(teacher: Tensor, student: Tensor, temperature: float | Tensor) -> Tensor:
    """How far the student's prediction is from the teacher's, both softened.

    With t, s the logits and T the temperature (Hinton et al., arXiv 1503.02531):

        L = T² · mean_rows KL( softmax(t / T) ‖ softmax(s / T) )

    T² keeps the gradient's size about the same whatever T. The teacher side is detached.

    Args:
        teacher: float [B, places], logits.
        student: float [B, places], logits.
        temperature: T > 0; as a tensor it must be detached.

    Returns:
        A scalar.

    Example:
        >>> logits = torch.tensor([[2.0, -1.0, 0.5]])
        >>> float(softened_kl(logits, logits, 4.0))
        0.0
    """
    target = functional.log_softmax(at_least_float32(teacher.detach()) / temperature, dim=1)
    prediction = functional.log_softmax(at_least_float32(student) / temperature, dim=1)
    divergence = functional.kl_div(prediction, target, reduction="batchmean", log_target=True)
    return divergence * temperature**2
