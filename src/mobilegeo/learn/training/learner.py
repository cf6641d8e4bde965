"""What learns: the network, its objective and, in step 2, the frozen teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from mobilegeo.errors import ResourceError, UsageError
from mobilegeo.learn.losses.objective import (
    Branches,
    CrossDistillation,
    Objective,
    SelfDistillation,
)
from mobilegeo.learn.models.complexity import measure
from mobilegeo.learn.models.exits import PlaceOutput
from mobilegeo.learn.models.saved import (
    Network,
    Saved,
    load_network,
    places_hash,
    read_preprocessing,
)
from mobilegeo.learn.models.student import Student, StudentConfig
from mobilegeo.learn.models.teacher import Teacher, TeacherConfig
from mobilegeo.learn.models.timm_model import BackboneConfig
from mobilegeo.learn.training.config import TrainingConfig
from mobilegeo.learn.training.data.batch import ViewBatch


@dataclass
class Learner:
    """The modules of a run.

    Attributes:
        network: student or teacher, which is trained.
        objective: step 1 or step 2, with its own parameters.
        teacher: frozen, in evaluation mode; None outside step 2.
    """

    network: Network
    objective: SelfDistillation | CrossDistillation
    teacher: Teacher | None = None

    @property
    def temperature(self) -> float:
        """τ of InfoNCE."""
        objective = self.objective
        step1 = objective.step1 if isinstance(objective, CrossDistillation) else objective
        return float(step1.info_nce.temperature.detach())

    def loss(self, own: Branches, taught: Branches | None, batch: ViewBatch) -> Objective:
        """The loss of a joint batch.

        Args:
            own: outputs of the network.
            taught: outputs of the teacher, in step 2.
            batch: whose places are those of the joint batch.
        """
        places = batch.drone_places, batch.satellite_places
        if isinstance(self.objective, CrossDistillation):
            if taught is None:
                raise RuntimeError("step 2 without a teacher")
            step2: Objective = self.objective(own, taught, *places)
            return step2
        step1: Objective = self.objective(own, *places)
        return step1

    def to(self, device: torch.device) -> None:
        """Moves all modules."""
        for module in (self.network, self.objective, self.teacher):
            if module is not None:
                module.to(device)


def split(output: PlaceOutput, drone_views: int) -> Branches:
    """The outputs of drone views, which come first, and those of satellite views."""
    drone = PlaceOutput(
        tuple(z[:drone_views] for z in output.logits), output.embedding[:drone_views]
    )
    satellite = PlaceOutput(
        tuple(z[drone_views:] for z in output.logits), output.embedding[drone_views:]
    )
    return Branches(drone, satellite)


def input_size_px(config: TrainingConfig) -> int:
    """Side of the images to be fed: the larger of the network's and the teacher's."""
    own = _size_px(config.network.backbone)
    if config.teacher_network is None:
        return own
    return max(own, read_preprocessing(config.teacher_network).size_px)


def build_learner(config: TrainingConfig, place_ids: Sequence[str]) -> Learner:
    """Makes the network, the objective and the teacher of a run.

    Args:
        config: the run.
        place_ids: the training places, in the order of their classes.

    Raises:
        UsageError: the network cannot be made as asked for.
        ResourceError: weights are missing, or were trained on other places.
    """
    torch.manual_seed(config.seed)
    network = _network(config, len(place_ids))
    if config.start is not None:
        _start_from(network, config.start, place_ids)
    if config.memory.grad_checkpointing:
        _checkpoint_gradients(network, config.network.backbone.name)
    if config.teacher_network is None:
        return Learner(network, SelfDistillation(config.loss))
    teacher = _teacher(config.teacher_network, place_ids)
    dims = config.network.embedding_dim, teacher.embedder.head.linear.out_features
    return Learner(network, CrossDistillation(config.loss, *dims), teacher)


def costs(network: Network, name: str) -> str:
    """What the network costs, deployed and in training."""
    deployed = measure(network.embedder, network.preprocessing.size_px)
    sizes = [p.numel() for p in network.parameters()]
    learning = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return (
        f"{name}: {deployed} as deployed; in training {sum(sizes) / 1e6:.2f} M parameters, "
        f"of which {learning / 1e6:.2f} M learn"
    )


def _size_px(backbone: BackboneConfig) -> int:
    if backbone.size_px is not None:
        return backbone.size_px
    overlay: Any = backbone.options.get("pretrained_cfg_overlay", {})
    facts = timm.models.get_pretrained_cfg(backbone.name)
    if facts is None:
        raise UsageError(
            backbone.name, "is unknown to timm", "choose a name from timm.list_models()"
        )
    return int(overlay.get("input_size", facts.input_size)[-1])


def _network(config: TrainingConfig, places: int) -> Network:
    own = config.network
    if config.start is not None:
        own = replace(own, backbone=replace(own.backbone, pretrained=False, weights=None))
    if isinstance(own, TeacherConfig):
        return Teacher(own, places)
    if isinstance(own, StudentConfig):
        return Student(own, places)
    raise RuntimeError(f"no network for {own}")


def _start_from(network: nn.Module, path: Path, place_ids: Sequence[str]) -> None:
    saved = load_network(path)
    _check_places(saved, path, place_ids)
    try:
        network.load_state_dict(saved.network.state_dict())
    except RuntimeError as error:
        raise ResourceError(
            path,
            f"holds another network than the configuration ({str(error).splitlines()[0]})",
            "give the same backbone and sizes, or leave `start` out",
        ) from error


def _teacher(path: Path, place_ids: Sequence[str]) -> Teacher:
    saved = load_network(path)
    if not isinstance(saved.network, Teacher):
        raise ResourceError(
            path, f"holds a {saved.kind}, not a teacher", "give what the teacher's run wrote"
        )
    _check_places(saved, path, place_ids)
    saved.network.requires_grad_(False)
    return saved.network


def _check_places(saved: Saved, path: Path, place_ids: Sequence[str]) -> None:
    if saved.places_sha256 != places_hash(place_ids):
        raise ResourceError(
            path,
            f"was trained on other places ({saved.places}) than this run ({len(place_ids)}), or "
            "on the same in another order, so that its logits mean other things",
            "train it with the same [data] section",
        )


def _checkpoint_gradients(network: Network, name: str) -> None:
    trunk: Any = network.embedder.trunk
    model = getattr(trunk, "model", trunk)
    try:
        model.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:
        raise UsageError(
            "memory.grad_checkpointing",
            f"is not something that timm offers for {name}",
            "set memory.chunk_images instead",
        ) from error
