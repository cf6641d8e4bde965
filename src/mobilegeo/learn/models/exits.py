"""Exits: classifiers over the training places, which exist only in training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from mobilegeo.errors import UsageError
from mobilegeo.learn.models.embedder import Bottleneck


@dataclass(frozen=True, slots=True)
class PlaceOutput:
    """What a network in training says of a batch of views.

    Attributes:
        logits: float [B, places] of every exit, shallow to deep.
        embedding: float32 [B, D], L2-normalised.
    """

    logits: tuple[Tensor, ...]
    embedding: Tensor

    @property
    def final_logits(self) -> Tensor:
        """Logits of the deepest exit, float [B, places]."""
        return self.logits[-1]


class PlaceClassifier(nn.Sequential):
    """The end of an exit: ReLU → dropout → linear classifier over the training places.

    Args:
        dim: D of the bottleneck before it.
        places: number of training places.
        dropout: probability that a number is dropped.

    Raises:
        UsageError: there are not at least two places, or `dropout` is no probability below 1.
    """

    def __init__(self, dim: int, places: int, dropout: float) -> None:
        if places < 2:
            raise UsageError("places", f"{places} to train on", "give at least two places")
        if not 0.0 <= dropout < 1.0:
            raise UsageError("dropout", f"is {dropout}", "give a number from 0 to below 1")
        super().__init__(nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, places))


class Exit(nn.Sequential):
    """An exit on a shallow stage: average pool → bottleneck → classifier.

    The average keeps the sign of activations; shallow stages often end in a linear layer.

    Args:
        channels: C of the stage.
        dim: D of the bottleneck.
        places: number of training places.
        dropout: of the classifier.
    """

    def __init__(self, channels: int, dim: int, places: int, dropout: float) -> None:
        average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(Bottleneck(average, channels, dim), PlaceClassifier(dim, places, dropout))
