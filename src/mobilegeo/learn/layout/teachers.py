"""Layout heads that were trained before, as one frozen teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilegeo.errors import UsageError
from mobilegeo.learn.checkpoint import read_metadata
from mobilegeo.learn.export.network import load_place_encoder
from mobilegeo.learn.layout.objective import InBatchLogits, Taught
from mobilegeo.learn.layout.recall import embed_pairs
from mobilegeo.learn.layout.stages import Channels, TrunkStages
from mobilegeo.learn.models.heads import LayoutHead

TEMPERATURE = "temperature"
"""Metadata entry of a checkpoint: τ of its deepest exit."""


@dataclass(frozen=True)
class Teacher:
    """One member of the ensemble.

    Attributes:
        head: in evaluation mode.
        logits: with the temperature it has learnt.
        channels: which of the cached channels it looks at.
    """

    head: LayoutHead
    logits: InBatchLogits
    channels: Channels


class Ensemble:
    """Teachers whose logits are averaged and whose embeddings lie side by side.

    Args:
        checkpoints: of layout heads on the same trunk and imagery.
        stages: what is cached.

    Raises:
        UsageError: a teacher looks at stages that are not cached or standardised otherwise.
        ResourceError: a checkpoint is missing, damaged or of another kind.
    """

    def __init__(self, checkpoints: Sequence[Path], stages: TrunkStages) -> None:
        self.members = [_teacher(path, stages) for path in checkpoints]

    @property
    def dim(self) -> int:
        """Dimensions of all embeddings together."""
        return sum(member.head.embedding_dim for member in self.members)

    @torch.no_grad()
    def teach(
        self, grids: NDArray[np.int8], coverage: NDArray[np.uint8], ignored: Tensor
    ) -> Taught:
        """What they say of a batch: int8 [B, 2, C, 7, 7], uint8 [B, 2, 7, 7], bool [B, B]."""
        sides = [embed_pairs(m.head, grids[:, :, m.channels], coverage) for m in self.members]
        logits = [m.logits(pair, ignored) for m, pair in zip(self.members, sides, strict=True)]
        query, tile = (torch.cat(side, 1) / len(sides) ** 0.5 for side in zip(*sides, strict=True))
        return Taught(torch.stack(logits).mean(dim=0), (query, tile))


def _teacher(path: Path, stages: TrunkStages) -> Teacher:
    model = load_place_encoder(path)
    wanted = (*model.config.shallow, model.config.last_trunk_block)
    if not set(wanted) <= set(stages.channels):
        raise UsageError(
            path,
            f"looks at stages {list(wanted)}, of which only {list(stages.channels)} are at hand",
            "add them to the student's `exits`, or train another teacher",
        )
    channels = stages.channels_at(wanted)
    if not torch.allclose(model.standardise.std, stages.standardise.std[channels], rtol=0.1):
        raise UsageError(
            path,
            "was trained on otherwise standardised features",
            "train teacher and student with the same weights, sources and seeds",
        )
    metadata = read_metadata(path)
    if TEMPERATURE not in metadata:
        raise UsageError(path, "does not say its temperature", "train it again with this version")
    return Teacher(model.head, InBatchLogits(float(metadata[TEMPERATURE])), channels)
