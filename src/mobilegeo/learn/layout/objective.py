"""The paper's two steps for simulated pairs, of which every batch brings new places.

The paper's exits are classifiers over a fixed list of training places. Here each place is seen once
or twice in a training, so that an exit's logits are taken over the places of the batch instead:
with q_i, t_i the L2-normalised embeddings that an exit gives to query and tile of place i and τ its
learnable temperature,

    z_i = (q_i · t_1, …, q_i · t_B) / τ for the query, (t_i · q_1, …, t_i · q_B) / τ for the tile.

Cross-entropy of these is InfoNCE; FISD, UAPA and the cross-distillation of logits take them as they
take a classifier's. Places that overlap are no wrong answers for each other and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from mobilegeo.errors import UsageError
from mobilegeo.learn.losses.cross import FeatureDistillation, LogitDistillation
from mobilegeo.learn.losses.exits import ExitCrossEntropy
from mobilegeo.learn.losses.fisd import FISD
from mobilegeo.learn.losses.info_nce import LOWEST_TEMPERATURE
from mobilegeo.learn.losses.objective import Objective, weigh
from mobilegeo.learn.losses.triplet import CrossDomainTriplet
from mobilegeo.learn.losses.uapa import UAPA

START_TEMPERATURE = 0.07
LEFT_OUT = -1e4
"""Logit of an overlapping place: its probability is 0, and its share of a divergence too."""
FISD_LAMBDAS = (0.1, 0.2, 0.3)
"""Of the last shallow exits, shallow to deep."""

Sides = tuple[Tensor, Tensor]
"""Embeddings of queries and tiles, float32 [B, D], row i of both of place i."""


@dataclass(frozen=True, slots=True)
class LayoutWeights:
    """Weights of the terms; 0 leaves a term out. By default InfoNCE alone.

    Attributes:
        info_nce: cross-entropy of the deepest exit over the places of the batch.
        exit_info_nce: the same of each shallow exit.
        fisd: inverse self-distillation.
        triplet: cross-domain batch-hard triplet.
        uapa: uncertainty-aware prediction alignment.
        cross: each of the two cross-distillations.
    """

    info_nce: float = 1.0
    exit_info_nce: float = 0.0
    fisd: float = 0.0
    triplet: float = 0.0
    uapa: float = 0.0
    cross: float = 0.0

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            if not getattr(self, name) >= 0:
                raise UsageError(
                    name, f"weight {getattr(self, name)} is negative", "give 0 or more"
                )
        if not self.info_nce:
            raise UsageError("info_nce", "is 0, so that nothing is learnt", "give it a weight")
        if self.fisd and not self.exit_info_nce:
            raise UsageError(
                "fisd",
                "would teach with exits that nothing trains, as exit_info_nce is 0",
                "give exit_info_nce a weight or set fisd to 0",
            )


class InBatchLogits(nn.Module):
    """z of the module's docstring, with a temperature learnt through its logarithm.

    Args:
        temperature: starting τ.
    """

    def __init__(self, temperature: float = START_TEMPERATURE) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """τ, a scalar."""
        return self.log_temperature.clamp(min=math.log(LOWEST_TEMPERATURE)).exp()

    def forward(self, sides: Sides, ignored: Tensor) -> Tensor:
        """Logits of the queries over the tiles, float32 [B, B]; transposed, those of the tiles."""
        query, tile = sides
        logits = query.float() @ tile.float().T / self.temperature
        return logits.masked_fill(ignored, LEFT_OUT)


@dataclass(frozen=True)
class Taught:
    """What an ensemble of teachers says of a batch, without gradients.

    Attributes:
        logits: float32 [B, B] of the queries over the tiles, the mean over its members.
        sides: its embeddings, float32 [B, D_t], L2-normalised.
    """

    logits: Tensor
    sides: Sides


class LayoutObjective(nn.Module):
    """The loss of a batch of simulated pairs.

    Args:
        weights: of the terms.
        exits: number of shallow exits.
        student_dim: D of the student's embedding.
        teacher_dim: D_t of the teachers' together; 0 without teachers.
        temperature: starting τ of every exit.

    Raises:
        UsageError: a term has a weight that lacks exits or teachers, or the other way round.
    """

    def __init__(
        self,
        weights: LayoutWeights,
        exits: int,
        student_dim: int,
        teacher_dim: int = 0,
        temperature: float = START_TEMPERATURE,
    ) -> None:
        super().__init__()
        _require("exit_info_nce", weights.exit_info_nce, exits, "exits")
        _require("cross", weights.cross, teacher_dim, "teachers")
        self.logits = nn.ModuleList(InBatchLogits(temperature) for _ in range(exits + 1))
        self.weights = {
            "info_nce": 1.0,
            "fisd": weights.fisd,
            "triplet": weights.triplet,
            "uapa": weights.uapa,
            "cross_logits": weights.cross,
            "cross_features": weights.cross,
        }
        self.cross_entropy = ExitCrossEntropy(weights.info_nce, weights.exit_info_nce)
        self.fisd = FISD(FISD_LAMBDAS[len(FISD_LAMBDAS) - exits :])
        self.triplet = CrossDomainTriplet()
        self.uapa = UAPA()
        self.cross_logits = LogitDistillation()
        self.cross_features = FeatureDistillation(student_dim, teacher_dim) if teacher_dim else None

    @property
    def temperature(self) -> Tensor:
        """τ of the deepest exit, a scalar."""
        deepest = self.logits[-1]
        assert isinstance(deepest, InBatchLogits)
        return deepest.temperature

    def forward(
        self, exits: Sequence[Sides], ignored: Tensor, taught: Taught | None = None
    ) -> Objective:
        """The loss of one batch.

        Args:
            exits: embeddings of every exit, shallow to deep; the last are the student's.
            ignored: bool [B, B], pairs of different places that are not negatives of each other.
            taught: of the teachers, if there are any.
        """
        query, tile = exits[-1]
        same = torch.eye(len(query), dtype=torch.bool, device=query.device)
        places = torch.arange(len(query), device=query.device)
        forth = [logits(sides, ignored) for logits, sides in zip(self.logits, exits, strict=True)]
        back = [logits.T for logits in forth]
        terms = {
            "info_nce": lambda: _mean(self.cross_entropy(z, places) for z in (forth, back)),
            "fisd": lambda: _mean(self.fisd(z) for z in (forth, back)),
            "triplet": lambda: self.triplet(query, tile, same, ignored),
            "uapa": lambda: self.uapa(forth[-1], back[-1]),
        }
        if taught is not None and self.cross_features is not None:
            project = self.cross_features
            pairs = [(taught.logits, forth[-1]), (taught.logits.T, back[-1])]
            sides = list(zip(taught.sides, (query, tile), strict=True))
            terms["cross_logits"] = lambda: _mean(self.cross_logits(*pair) for pair in pairs)
            terms["cross_features"] = lambda: _mean(project(*side) for side in sides)
        return weigh(self.weights, terms)


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()


def _require(term: str, weight: float, count: int, what: str) -> None:
    if weight and not count:
        raise UsageError(term, f"has a weight, but there are no {what}", f"name {what} or set it 0")
    if count and not weight:
        raise UsageError(what, f"are given, but {term} is 0", f"give {term} a weight")
