"""What is minimised: the paper's two steps, term by term.

Step 1 trains the student alone, and likewise the teacher, which has but one exit. Step 2 keeps
step 1's terms and adds the fine-tuned, frozen teacher's (MobileGeo, arXiv 2510.22582).

A term that exists for both views is the mean over the two, so that weights compare. Both steps
hold parameters of their own (the temperature of InfoNCE, the projector): they belong into the
optimiser beside the network's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from mobilegeo.errors import UsageError
from mobilegeo.learn.losses.cross import FeatureDistillation, LogitDistillation
from mobilegeo.learn.losses.exits import ExitCrossEntropy
from mobilegeo.learn.losses.fisd import FISD
from mobilegeo.learn.losses.info_nce import MultiPositiveInfoNCE
from mobilegeo.learn.losses.places import same_place
from mobilegeo.learn.losses.triplet import CrossDomainTriplet
from mobilegeo.learn.losses.uapa import UAPA
from mobilegeo.learn.models.exits import PlaceOutput


@dataclass(frozen=True, slots=True)
class ObjectiveWeights:
    """Weights of the terms; 0 leaves a term out. The defaults are public re-implementations'.

    Attributes:
        ce_final: cross-entropy of the deepest exit.
        ce_exit: cross-entropy of each shallow exit.
        fisd: inverse self-distillation.
        triplet: cross-domain batch-hard triplet.
        info_nce: symmetric InfoNCE.
        uapa: uncertainty-aware prediction alignment.
        cross: each of the two cross-distillations, in step 2.
    """

    ce_final: float = 1.0
    ce_exit: float = 0.25
    fisd: float = 0.5
    triplet: float = 1.0
    info_nce: float = 0.5
    uapa: float = 0.2
    cross: float = 0.3

    def __post_init__(self) -> None:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in values.items():
            if not value >= 0:
                raise UsageError(name, f"weight {value} is negative", "give 0 or more")
        if not any(values[name] for name in values if name != "cross"):
            raise UsageError("weights", "are all 0 in step 1", "give at least one term a weight")
        for term, trainer in (("fisd", "ce_exit"), ("uapa", "ce_final")):
            if values[term] and not values[trainer]:
                raise UsageError(
                    term,
                    f"would teach with exits that nothing trains, as {trainer} is 0",
                    f"give {trainer} a weight or set {term} to 0",
                )


@dataclass(frozen=True, slots=True)
class Branches:
    """A network's outputs for both views of a batch.

    Attributes:
        drone: for N drone views.
        satellite: for M satellite views of the same places.
    """

    drone: PlaceOutput
    satellite: PlaceOutput


@dataclass(frozen=True, slots=True)
class Objective:
    """The loss of a batch.

    Attributes:
        total: scalar to be minimised, the weighted sum of `terms`.
        terms: scalars by name, unweighted (`cross_entropy` has its exits' weights inside).
    """

    total: Tensor
    terms: Mapping[str, Tensor]

    def scalars(self) -> dict[str, float]:
        """Total and terms as plain numbers, for the log."""
        return {name: float(t.detach()) for name, t in {"total": self.total, **self.terms}.items()}


class SelfDistillation(nn.Module):
    """Step 1: cross-entropy, FISD, triplet, InfoNCE and UAPA.

    Args:
        weights: of the terms.

    Example:
        >>> out = PlaceOutput((torch.eye(2),) * 4, torch.eye(2))
        >>> places = torch.tensor([0, 1])
        >>> loss = SelfDistillation(ObjectiveWeights())(Branches(out, out), places, places)
        >>> list(loss.terms)
        ['cross_entropy', 'fisd', 'triplet', 'info_nce', 'uapa']
    """

    def __init__(self, weights: ObjectiveWeights) -> None:
        super().__init__()
        self.term_weights = {
            "cross_entropy": float(weights.ce_final > 0 or weights.ce_exit > 0),
            "fisd": weights.fisd,
            "triplet": weights.triplet,
            "info_nce": weights.info_nce,
            "uapa": weights.uapa,
        }
        self.cross_entropy = ExitCrossEntropy(weights.ce_final, weights.ce_exit)
        self.fisd = FISD()
        self.triplet = CrossDomainTriplet()
        self.info_nce = MultiPositiveInfoNCE()
        self.uapa = UAPA()

    def forward(
        self, student: Branches, drone_places: Tensor, satellite_places: Tensor
    ) -> Objective:
        """The loss of one batch.

        Args:
            student: outputs of the network that learns.
            drone_places: int64 [N], index of each drone view's place among the training places.
            satellite_places: int64 [M], of each satellite view's.

        Raises:
            UsageError: a place is seen from one side only, or there is but one place.
        """
        same = same_place(drone_places, satellite_places)
        drone, satellite = student.drone, student.satellite
        pair_drone, pair_satellite = same.nonzero(as_tuple=True)
        return weigh(
            self.term_weights,
            {
                "cross_entropy": lambda: _mean(
                    self.cross_entropy(drone.logits, drone_places),
                    self.cross_entropy(satellite.logits, satellite_places),
                ),
                "fisd": lambda: _mean(self.fisd(drone.logits), self.fisd(satellite.logits)),
                "triplet": lambda: self.triplet(drone.embedding, satellite.embedding, same),
                "info_nce": lambda: self.info_nce(drone.embedding, satellite.embedding, same),
                "uapa": lambda: self.uapa(
                    drone.final_logits[pair_drone], satellite.final_logits[pair_satellite]
                ),
            },
        )


class CrossDistillation(nn.Module):
    """Step 2: step 1, and the teacher's logits and features.

    Args:
        weights: of the terms.
        student_dim: dimensions of the student's embedding.
        teacher_dim: dimensions of the teacher's.

    Raises:
        UsageError: `weights.cross` is 0.
    """

    def __init__(self, weights: ObjectiveWeights, student_dim: int, teacher_dim: int) -> None:
        super().__init__()
        if not weights.cross:
            raise UsageError(
                "cross", "is 0, so the teacher teaches nothing", "give it a weight or train step 1"
            )
        self.term_weights = dict.fromkeys(("cross_logits", "cross_features"), weights.cross)
        self.step1 = SelfDistillation(weights)
        self.logits = LogitDistillation()
        self.features = FeatureDistillation(student_dim, teacher_dim)

    def forward(
        self, student: Branches, teacher: Branches, drone_places: Tensor, satellite_places: Tensor
    ) -> Objective:
        """The loss of one batch; `teacher` as `student`, of the same images, the rest as step 1."""
        step1 = self.step1(student, drone_places, satellite_places)
        step2 = weigh(
            self.term_weights,
            {
                "cross_logits": lambda: _mean(
                    self.logits(teacher.drone.final_logits, student.drone.final_logits),
                    self.logits(teacher.satellite.final_logits, student.satellite.final_logits),
                ),
                "cross_features": lambda: _mean(
                    self.features(teacher.drone.embedding, student.drone.embedding),
                    self.features(teacher.satellite.embedding, student.satellite.embedding),
                ),
            },
        )
        return Objective(step1.total + step2.total, {**step1.terms, **step2.terms})


def _mean(drone: Tensor, satellite: Tensor) -> Tensor:
    return (drone + satellite) / 2


def weigh(weights: Mapping[str, float], terms: Mapping[str, Callable[[], Tensor]]) -> Objective:
    """Computes the terms that have a weight, and their weighted sum."""
    active = {name: term() for name, term in terms.items() if weights[name]}
    total = torch.stack([weights[name] * value for name, value in active.items()]).sum()
    return Objective(total, active)
