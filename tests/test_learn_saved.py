"""A network in one file: rebuilt from it alone, or refused with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from mobilegeo.errors import ResourceError, UsageError  # noqa: E402
from mobilegeo.learn import checkpoint  # noqa: E402
from mobilegeo.learn.models.influence import overhang_px  # noqa: E402
from mobilegeo.learn.models.saved import (  # noqa: E402
    ChannelStatistics,
    load_network,
    places_hash,
    save_network,
)
from mobilegeo.learn.models.student import Student, StudentConfig  # noqa: E402
from mobilegeo.learn.models.teacher import Teacher, TeacherConfig  # noqa: E402
from mobilegeo.learn.models.timm_model import BackboneConfig  # noqa: E402

PLACES = ("0839", "0842", "0844")
OVERLAY = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


def student() -> tuple[Student, StudentConfig]:
    backbone = BackboneConfig(
        "test_convnext", False, size_px=64, options={"pretrained_cfg_overlay": OVERLAY}
    )
    config = StudentConfig(backbone, embedding_dim=16)
    return Student(config, len(PLACES)).eval(), config


def write(path: Path, **changes: object) -> Student:
    network, config = student()
    save_network(
        path, network, kind="student", config=config, places=PLACES, model_id="tiny", **changes
    )
    return network


def test_a_student_is_rebuilt_from_its_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    statistics = ChannelStatistics(torch.arange(48.0), torch.ones(48))
    network = write(path, features=statistics, extra={"note": "kept"})
    saved = load_network(path)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(saved.network(image).final_logits, network(image).final_logits)
        assert torch.equal(saved.network.embed(image), network.embed(image))
    assert (saved.kind, saved.model_id, saved.places) == ("student", "tiny", 3)
    assert saved.preprocessing == network.preprocessing == saved.network.preprocessing
    assert saved.preprocessing.mean == (0.1, 0.2, 0.3)
    assert saved.places_sha256 == places_hash(PLACES)
    assert not saved.network.training
    assert torch.equal(saved.features.mean, statistics.mean)
    assert checkpoint.read_metadata(path)["note"] == "kept"


def test_it_asks_no_hub_and_no_weights_file(tmp_path: Path) -> None:
    network, config = student()
    pretrained = replace(
        config, backbone=replace(config.backbone, pretrained=True, weights=tmp_path / "gone")
    )
    path = tmp_path / "student.safetensors"
    save_network(path, network, kind="student", config=pretrained, places=PLACES, model_id="tiny")
    saved = load_network(path)
    assert not saved.config.backbone.pretrained
    assert saved.config.backbone.weights is None


@pytest.mark.parametrize("backbone", ["test_vit", "test_convnext"])
def test_a_teacher_is_rebuilt_with_its_input_size(tmp_path: Path, backbone: str) -> None:
    config = TeacherConfig(BackboneConfig(backbone, False, size_px=96), 24, trainable_blocks=1)
    network = Teacher(config, len(PLACES)).eval()
    path = tmp_path / "teacher.safetensors"
    save_network(path, network, kind="teacher", config=config, places=PLACES, model_id="big")
    saved = load_network(path)
    image = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(saved.network.embedder(image), network.embedder(image))
    assert saved.kind == "teacher"
    assert saved.features is None


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    write(tmp_path / "a.safetensors")
    expected = hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    assert load_network(tmp_path / "a.safetensors").sha256 == expected


def test_the_order_of_places_counts() -> None:
    assert places_hash(["a", "b"]) == places_hash(("a", "b"))
    assert len({places_hash(p) for p in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""])}) == 4


class TestRefusals:
    def test_missing_or_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "x.safetensors"
        with pytest.raises(ResourceError, match=r"x\.safetensors: is not a readable checkpoint"):
            load_network(path)
        path.write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
        with pytest.raises(ResourceError, match=r"x\.safetensors: is not a readable checkpoint"):
            load_network(path)

    def test_other_safetensors(self, tmp_path: Path) -> None:
        save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
        with pytest.raises(ResourceError, match="does not say which student or teacher it holds"):
            load_network(tmp_path / "x.safetensors")

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("mobilegeo_network", "2", "has network format 2, this version reads 1; update"),
            ("config", "{", "does not describe a network that this version can build"),
            ("config", '{"depth": 3, "backbone": {"name": "x"}}', "does not describe a network"),
            ("preprocessing", "{}", "does not describe a network"),
            ("places", "many", "does not describe a network"),
            ("places", "7", "is not a checkpoint of this network"),
        ],
    )
    def test_a_description_that_does_not_fit(
        self, tmp_path: Path, key: str, value: str, message: str
    ) -> None:
        path = tmp_path / "x.safetensors"
        write(path)
        tensors, metadata = checkpoint.read_tensors(path), checkpoint.read_metadata(path)
        checkpoint.write_tensors(path, tensors, {**metadata, key: value})
        with pytest.raises(ResourceError, match=message):
            load_network(path)

    def test_a_backbone_that_timm_no_longer_has(self, tmp_path: Path) -> None:
        path = tmp_path / "x.safetensors"
        write(path)
        metadata = checkpoint.read_metadata(path)
        config = json.loads(metadata["config"])
        config["backbone"]["name"] = "no_such_net"
        metadata["config"] = json.dumps(config)
        checkpoint.write_tensors(path, checkpoint.read_tensors(path), metadata)
        with pytest.raises(ResourceError, match=r"can build \(no_such_net: timm cannot make this"):
            load_network(path)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match=r"x\.safetensors: cannot be written .*has room"):
        checkpoint.write_tensors(tmp_path / "file" / "x.safetensors", {}, {})


class TestOverhang:
    """How far a cell of a feature map sees, against the closed form."""

    def test_of_one_convolution(self) -> None:
        assert overhang_px(nn.Conv2d(3, 4, 7, stride=4, padding=3).eval(), 4) == 3

    def test_of_a_chain_with_pooling_and_a_branch(self) -> None:
        class Branch(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.down = nn.Conv2d(3, 4, 2, stride=2)
                self.pool = nn.AvgPool2d(3, stride=1, padding=1)
                self.wide, self.narrow = (nn.Conv2d(4, 4, k, padding=k // 2) for k in (5, 3))

            def forward(self, image: torch.Tensor) -> torch.Tensor:
                x = self.pool(self.down(image))
                return self.wide(x) + self.narrow(x)

        # The wide branch reaches 2 cells of 2 px, the pool one more.
        assert overhang_px(Branch().eval(), 2) == 6

    def test_refuses_what_sees_everything(self) -> None:
        class Global(nn.Module):
            def forward(self, image: torch.Tensor) -> torch.Tensor:
                return image * image.mean(dim=(2, 3), keepdim=True)

        with pytest.raises(UsageError, match="features: depend on the whole image"):
            overhang_px(Global(), 1)
