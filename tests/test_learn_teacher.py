"""The teacher: tokens or maps, which blocks learn, and its own preprocessing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

import timm  # noqa: E402

from mobilegeo.errors import UsageError  # noqa: E402
from mobilegeo.learn.losses.objective import (  # noqa: E402
    Branches,
    CrossDistillation,
    ObjectiveWeights,
    SelfDistillation,
)
from mobilegeo.learn.models.student import Student, StudentConfig  # noqa: E402
from mobilegeo.learn.models.teacher import LastFeatures, Teacher, TeacherConfig  # noqa: E402
from mobilegeo.learn.models.timm_model import BackboneConfig, Preprocessing  # noqa: E402


def config(name: str, trainable_blocks: int = 2, size_px: int = 64) -> TeacherConfig:
    backbone = BackboneConfig(name, pretrained=False, size_px=size_px)
    return TeacherConfig(backbone, embedding_dim=24, trainable_blocks=trainable_blocks)


VIT = config("vit_tiny_patch16_224")
CNN = config("resnet18")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def trained_names(teacher: Teacher) -> set[str]:
    named = teacher.embedder.trunk.model.named_parameters()
    return {".".join(name.split(".")[:2]) for name, p in named if p.requires_grad}


@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224",
        "vit_small_patch16_dinov3",
        "convnext_atto",
        "resnet18",
        "mobilenetv4_conv_small",
    ],
)
def test_any_model_gives_one_exit_and_a_unit_embedding(name: str) -> None:
    teacher = Teacher(config(name), places=5).eval()
    with torch.no_grad():
        out = teacher(torch.randn(2, 3, 64, 64))
    assert [tuple(z.shape) for z in out.logits] == [(2, 5)]
    assert out.embedding.shape == (2, 24)
    assert torch.allclose(out.embedding.norm(dim=1), torch.ones(2))
    assert torch.equal(out.final_logits, out.logits[0])


def test_a_transformers_map_is_its_normalised_patch_tokens_without_the_class_token() -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0).eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        tokens = model.forward_features(image)
        (found,) = LastFeatures(model)(image)
    expected = tokens[:, 1:].transpose(1, 2).reshape(2, 192, 4, 4)
    torch.testing.assert_close(found, expected)


def test_position_embeddings_are_fitted_to_the_size() -> None:
    teacher = Teacher(config("vit_tiny_patch16_224", size_px=96), places=2).eval()
    assert teacher.preprocessing == Preprocessing(96, (0.5,) * 3, (0.5,) * 3)
    with torch.no_grad():
        (found,) = teacher.embedder.trunk(torch.randn(1, 3, 96, 96))
    assert found.shape == (1, 192, 6, 6)


def test_refuses_a_size_that_cuts_patches() -> None:
    with pytest.raises(UsageError, match=r"100 is no multiple of .* 16 px; take 96 or 112"):
        Teacher(config("vit_tiny_patch16_224", size_px=100), places=2)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (VIT, {"blocks.10", "blocks.11", "norm.weight", "norm.bias"}),
        (CNN, {"layer4.0", "layer4.1"}),
        (config("vit_tiny_patch16_224", 0), set()),
    ],
    ids=["vit", "cnn", "head alone"],
)
def test_only_the_last_blocks_and_the_head_learn(given: TeacherConfig, names: set[str]) -> None:
    teacher = Teacher(given, places=3)
    assert trained_names(teacher) == names
    before = {name: p.detach().clone() for name, p in teacher.named_parameters()}
    images, places = torch.randn(6, 3, 64, 64), torch.arange(3)
    out = Branches(teacher(images), teacher(images[:3]))
    loss = SelfDistillation(ObjectiveWeights(fisd=0.0))
    loss(out, places.repeat_interleave(2), places).total.backward()
    torch.optim.SGD([p for p in teacher.parameters() if p.requires_grad], lr=0.1).step()
    moved = {name for name, p in teacher.named_parameters() if not torch.equal(p, before[name])}
    untrained = {name for name, p in teacher.named_parameters() if not p.requires_grad}
    assert not moved & untrained
    assert any(name.startswith("classifier") for name in moved)
    assert any(name.startswith("embedder.trunk") for name in moved) == bool(names)


@pytest.mark.parametrize("blocks", [-1, 14])
def test_refuses_more_blocks_than_there_are(blocks: int) -> None:
    with pytest.raises(UsageError, match=rf"trainable_blocks: is {blocks}, vit_tiny.* has 13"):
        Teacher(config("vit_tiny_patch16_224", blocks), places=2)


def test_frozen_batch_norms_keep_their_statistics_in_training() -> None:
    teacher = Teacher(CNN, places=2).train()
    trunk = teacher.embedder.trunk.model
    frozen, trained = trunk.layer1[0].bn1, trunk.layer4[0].bn1
    before = frozen.running_mean.clone(), trained.running_mean.clone()
    teacher(torch.randn(4, 3, 64, 64))
    assert torch.equal(frozen.running_mean, before[0])
    assert not torch.equal(trained.running_mean, before[1])
    assert not teacher.eval().embedder.trunk.model.layer4[0].bn1.training


def test_a_frozen_teacher_teaches_a_student() -> None:
    teacher = Teacher(VIT, places=3).eval().requires_grad_(False)
    backbone = BackboneConfig("convnext_atto", pretrained=False)
    student = Student(StudentConfig(backbone, embedding_dim=16), places=3)
    step2 = CrossDistillation(ObjectiveWeights(), student_dim=16, teacher_dim=24)
    images, places = torch.randn(6, 3, 64, 64), torch.arange(3)
    with torch.no_grad():
        taught = Branches(teacher(images), teacher(images[:3]))
    out = Branches(student(images), student(images[:3]))
    loss = step2(out, taught, places.repeat_interleave(2), places)
    loss.total.backward()
    assert loss.terms["cross_logits"].item() > 0
    assert loss.terms["cross_features"].item() > 0
    assert all(p.grad is not None for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())
