"""Cross-distillation: a fine-tuned, frozen teacher teaches the student."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from mobilegeo.learn.losses.divergence import (
    DISTILLATION_TEMPERATURE,
    at_least_float32,
    softened_kl,
)


class LogitDistillation(nn.Module):
    """The student's deepest exit predicts what the teacher predicts.

    With z_t, z_s the logits of teacher and student over the same places and T the temperature
    (Hinton et al., arXiv 1503.02531; MobileGeo, arXiv 2510.22582):

        L = T² · KL( softmax(z_t / T) ‖ softmax(z_s / T) )

    Args:
        temperature: T.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[3.0, 0.0, 0.0]])
        >>> float(LogitDistillation()(logits, logits))
        0.0
    """

    def __init__(self, temperature: float = DISTILLATION_TEMPERATURE) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, teacher: Tensor, student: Tensor) -> Tensor:
        """The loss of one branch; float [B, places] logits to a scalar, the teacher detached."""
        return softened_kl(teacher, student, self.temperature)


class FeatureDistillation(nn.Module):
    """The teacher's embedding can be read off the student's, linearly.

    With e_t, e_s the L2-normalised embeddings, D_t the teacher's dimension and W a linear
    projector that exists only in training (MobileGeo, arXiv 2510.22582):

        L = mean( ‖W e_s − e_t‖² / D_t  +  1 − cos(W e_s, e_t) )

    W e_s is not normalised again in the first part, which thus fixes its length; normalised, it
    would be 2 / D_t times the second part and say nothing of its own.

    Args:
        student_dim: of e_s.
        teacher_dim: D_t.

    Example:
        >>> import torch
        >>> loss = FeatureDistillation(2, 2)
        >>> _ = nn.init.eye_(loss.projector.weight)
        >>> student, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> loss(teacher, student).item()
        2.0
    """

    def __init__(self, student_dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.projector = nn.Linear(student_dim, teacher_dim, bias=False)

    def forward(self, teacher: Tensor, student: Tensor) -> Tensor:
        """The loss of one branch.

        Args:
            teacher: float [B, D_t], L2-normalised; detached.
            student: float [B, D_s], L2-normalised.

        Returns:
            A scalar.
        """
        target = at_least_float32(teacher.detach())
        projected = at_least_float32(self.projector(student))
        squared = functional.mse_loss(projected, target)
        cosine = functional.cosine_similarity(projected, target, dim=1)
        return squared + (1.0 - cosine).mean()
