"""One optimiser step of several small learners, alone or as a rank of `torchrun`.

Run as a script, `torchrun --nproc-per-node 2 tests/training_ranks.py FOLDER` writes what each rank
has after the step: gradients, buffers and losses.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mobilegeo.learn.losses.objective import CrossDistillation, ObjectiveWeights, SelfDistillation
from mobilegeo.learn.models.student import Student, StudentConfig
from mobilegeo.learn.models.teacher import Teacher, TeacherConfig
from mobilegeo.learn.models.timm_model import BackboneConfig
from mobilegeo.learn.training.config import (
    MemoryConfig,
    OptimiserConfig,
    PrecisionConfig,
    TrainingConfig,
)
from mobilegeo.learn.training.data.batch import ViewBatch
from mobilegeo.learn.training.data.config import DataConfig
from mobilegeo.learn.training.distributed import Ranks, joined_ranks
from mobilegeo.learn.training.joint_norm import join_batch_norms
from mobilegeo.learn.training.learner import Learner
from mobilegeo.learn.training.step import Stepper

PLACES, DRONE_VIEWS, SIDE_PX = 4, 2, 64
CASES = ("convnext", "batch_norm_trunk", "step_2", "accumulated")


def student(backbone: str) -> Student:
    config = StudentConfig(BackboneConfig(backbone, pretrained=False, size_px=SIDE_PX), 16, 0.0)
    network = Student(config, PLACES)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 0.5)
    return network


def learner(case: str) -> Learner:
    torch.manual_seed(1)
    network = student("test_efficientnet" if case == "batch_norm_trunk" else "test_convnext")
    weights = ObjectiveWeights()
    if case != "step_2":
        return Learner(network, SelfDistillation(weights))
    backbone = BackboneConfig("test_vit", pretrained=False, size_px=SIDE_PX)
    teacher = Teacher(TeacherConfig(backbone, 24), PLACES).eval().requires_grad_(False)
    objective = CrossDistillation(weights, 16, 24).float()  # embeddings are float32 always
    return Learner(network, objective, teacher)


def config(accumulation: int = 1) -> TrainingConfig:
    backbone = BackboneConfig("test_convnext", pretrained=False, size_px=SIDE_PX)
    return TrainingConfig(
        task="self_distillation",
        model_id="ranks",
        out=Path("unused"),
        data=DataConfig("folder", Path("unused")),
        student=StudentConfig(backbone, 16, 0.0),
        optimiser=OptimiserConfig(clip_norm=1e9),
        precision=PrecisionConfig("off"),
        memory=MemoryConfig(accumulation=accumulation),
    )


def joint_batch(seed: int = 0) -> ViewBatch:
    generator = torch.Generator().manual_seed(seed)

    def images(count: int) -> Tensor:
        shape = (count, 3, SIDE_PX, SIDE_PX)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    places = torch.arange(PLACES)
    return ViewBatch(
        images(PLACES * DRONE_VIEWS), images(PLACES), places.repeat_interleave(DRONE_VIEWS), places
    )


def part(batch: ViewBatch, rank: int, world: int) -> ViewBatch:
    """One rank's places of a joint batch."""
    chosen = (batch.drone_places * world // PLACES) == rank
    tiles = (batch.satellite_places * world // PLACES) == rank
    return ViewBatch(
        batch.drone[chosen],
        batch.satellite[tiles],
        batch.drone_places[chosen],
        batch.satellite_places[tiles],
    )


def after_a_step(case: str, ranks: Ranks) -> dict[str, Tensor]:
    """Gradients, buffers and losses after one step."""
    made = learner(case)
    if ranks.world > 1:
        join_batch_norms(made.network)
    seeds = (0, 1) if case == "accumulated" else (0,)
    settings = replace(config(len(seeds)), task="self_distillation")
    stepper = Stepper(settings, made, ranks)
    batches = [part(joint_batch(seed), ranks.rank, ranks.world) for seed in seeds]
    values = stepper.take(batches, step=0)
    found = {f"loss.{name}": torch.tensor(value) for name, value in values.items()}
    for prefix, module in (("network", made.network), ("objective", made.objective)):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            found[f"gradient.{prefix}.{name}"] = parameter.grad
            found[f"moved.{prefix}.{name}"] = parameter.detach()
    return found | {f"buffer.{name}": b.clone() for name, b in made.network.named_buffers()}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    with joined_ranks() as ranks:
        for case in CASES:
            save_file(after_a_step(case, ranks), folder / f"{case}-{ranks.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
