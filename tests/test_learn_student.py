"""The student: stages, exits, embedding, weights from a file, and what it costs."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import timm  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.autograd import gradcheck  # noqa: E402

from mobilegeo.errors import ResourceError, UsageError  # noqa: E402
from mobilegeo.learn.losses.objective import (  # noqa: E402
    Branches,
    ObjectiveWeights,
    SelfDistillation,
)
from mobilegeo.learn.models import complexity, student  # noqa: E402
from mobilegeo.learn.models.complexity import measure  # noqa: E402
from mobilegeo.learn.models.gem import GeM  # noqa: E402
from mobilegeo.learn.models.student import Student, StudentConfig  # noqa: E402
from mobilegeo.learn.models.timm_model import BackboneConfig, Preprocessing  # noqa: E402

ATTO = StudentConfig(BackboneConfig("convnext_atto", pretrained=False), embedding_dim=32)
FAMILY = {
    "convnext_atto": (40, 80, 160, 320),
    "convnext_femto": (48, 96, 192, 384),
    "convnext_pico": (64, 128, 256, 512),
    "convnext_nano": (80, 160, 320, 640),
    "mobilenetv4_conv_small": (32, 64, 96, 960),
    "mobilenetv4_conv_medium": (48, 80, 160, 960),
    "repvit_m0_9": (48, 96, 192, 384),
    "fastvit_t8": (48, 96, 192, 384),
    "mobilenetv2_100": (24, 32, 96, 320),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def awake(network: nn.Module) -> nn.Module:
    """Raises a fresh ConvNeXt's layer scale from 1e-6, which would hide its blocks."""
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    return network


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-5)


class TestGem:
    def test_is_calculated_by_hand(self) -> None:
        features = torch.tensor([[[[1.0, 2.0], [3.0, -5.0]]]])
        assert GeM(p=3.0)(features).item() == pytest.approx((36 / 4) ** (1 / 3), rel=1e-6)

    def test_goes_from_the_average_to_the_maximum(self) -> None:
        features = torch.rand(2, 3, 4, 4)
        assert same(GeM(p=1.0)(features), features.mean(dim=(2, 3)))
        highest = features.amax(dim=(2, 3))
        assert torch.allclose(GeM(p=50.0)(features), highest, rtol=0.06)

    def test_half_precision_neither_overflows_nor_underflows(self) -> None:
        features = torch.tensor([[[[200.0, 0.0]]], [[[1e-3, 1e-3]]]]).half()
        pooled = GeM()(features)
        assert pooled.dtype == torch.float32
        assert pooled[:, 0].tolist() == pytest.approx([200.0 * 0.5 ** (1 / 3), 1e-3], rel=1e-3)

    def test_gradient_also_of_the_exponent(self) -> None:
        gem = GeM().double()
        features = (torch.rand(2, 3, 2, 2, dtype=torch.float64) + 0.1).requires_grad_()
        assert gradcheck(lambda x, _: gem(x), (features, gem.p))


class TestStudent:
    def test_example_of_the_docstring_runs(self) -> None:
        assert doctest.testmod(student) == (0, 4)

    @pytest.mark.parametrize(("name", "channels"), FAMILY.items(), ids=list(FAMILY))
    def test_takes_the_last_four_stages_of_the_family(
        self, name: str, channels: tuple[int, ...]
    ) -> None:
        config = StudentConfig(BackboneConfig(name, pretrained=False), embedding_dim=16)
        network = Student(config, places=5).eval()
        with torch.no_grad():
            stages = network.embedder.trunk(torch.randn(1, 3, 64, 64))
            out = network(torch.randn(2, 3, 64, 64))
        assert [tuple(s.shape) for s in stages] == [
            (1, c, 64 // stride, 64 // stride)
            for c, stride in zip(channels, (4, 8, 16, 32), strict=True)
        ]
        assert [tuple(z.shape) for z in out.logits] == [(2, 5)] * 4
        assert same(out.embedding.norm(dim=1), torch.ones(2))

    def test_embed_is_the_embedding_of_forward(self) -> None:
        network = awake(Student(ATTO, places=5)).eval()
        images = torch.randn(3, 3, 64, 64)
        with torch.no_grad():
            whole, alone = network(images).embedding, network.embed(images)
            single = network.embed(images[1:2])
        assert torch.equal(whole, alone)
        assert same(alone[1:2], single)
        assert not same(alone[:1], alone[1:2])

    def test_embedder_needs_neither_exits_nor_classifiers(self) -> None:
        names = {name.split(".")[0] for name, _ in Student(ATTO, places=5).named_parameters()}
        assert names == {"embedder", "exits", "classifier"}
        network = Student(ATTO, places=5)
        few, many = network.embedder, Student(ATTO, places=500).embedder
        assert sum(p.numel() for p in few.parameters()) == sum(p.numel() for p in many.parameters())

    def test_one_step_of_the_objective_reaches_every_parameter(self) -> None:
        network, step1 = awake(Student(ATTO, places=3)), SelfDistillation(ObjectiveWeights())
        drone, satellite = torch.randn(6, 3, 64, 64), torch.randn(3, 3, 64, 64)
        out = Branches(network(drone), network(satellite))
        places = torch.arange(3)
        step1(out, places.repeat_interleave(2), places).total.backward()
        still = [
            name
            for name, p in network.named_parameters()
            if p.grad is None or not torch.isfinite(p.grad).all()
        ]
        assert still == []
        assert float(network.embedder.head.pool.p.grad.abs()) > 0

    def test_autocast_keeps_the_embedding_in_float32(self) -> None:
        network = awake(Student(ATTO, places=3)).eval()
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            exact = network.embed(images)
            with torch.autocast("cpu", torch.bfloat16):
                out = network(images)
        assert out.embedding.dtype == torch.float32
        assert float((exact * out.embedding).sum(dim=1).min()) > 0.99

    def test_preprocessing_is_timms_or_what_the_options_say(self) -> None:
        assert Student(ATTO, places=2).preprocessing == Preprocessing(
            224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        )
        half = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
        backbone = BackboneConfig(
            "mobilenetv2_100",
            pretrained=False,
            size_px=160,
            options={"pad_type": "same", "pretrained_cfg_overlay": half},
        )
        network = Student(StudentConfig(backbone), places=2)
        assert network.preprocessing == Preprocessing(160, (0.5,) * 3, (0.5,) * 3)

    @pytest.mark.parametrize("name", ["no_such_net", "convnext_atto.no_such_tag"])
    def test_refuses_an_unknown_backbone(self, name: str) -> None:
        config = StudentConfig(BackboneConfig(name, pretrained=False))
        with pytest.raises(UsageError, match=rf"{name}: timm cannot make this model .*list_models"):
            Student(config, places=2)

    def test_refuses_options_that_the_model_lacks(self) -> None:
        backbone = BackboneConfig("convnext_atto", pretrained=False, options={"pad_type": "same"})
        with pytest.raises(UsageError, match=r"convnext_atto: timm cannot make .*pad_type"):
            Student(StudentConfig(backbone), places=2)

    def test_refuses_a_backbone_with_too_few_stages(self) -> None:
        config = StudentConfig(BackboneConfig("levit_128s", pretrained=False))
        with pytest.raises(UsageError, match="fewer than 4 feature stages; choose a backbone"):
            Student(config, places=2)

    def test_refuses_a_backbone_with_channels_last(self) -> None:
        config = StudentConfig(BackboneConfig("swin_tiny_patch4_window7_224", pretrained=False))
        with pytest.raises(UsageError, match="puts the channels of its stages last; choose"):
            Student(config, places=2)

    @pytest.mark.parametrize(
        ("changes", "places", "message"),
        [
            ({}, 1, "places: 1 to train on; give at least two"),
            ({"dropout": 1.0}, 2, "dropout: is 1.0; give a number from 0 to below 1"),
            ({"embedding_dim": 0}, 2, "embedding_dim: is 0; give a positive number"),
        ],
    )
    def test_refuses_sizes_that_cannot_be(
        self, changes: dict[str, float], places: int, message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            Student(replace(ATTO, **changes), places)

    def test_refuses_an_input_without_pixels(self) -> None:
        with pytest.raises(UsageError, match="size_px: is 0; give a positive number"):
            BackboneConfig("convnext_atto", size_px=0)

    def test_says_what_to_do_offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(*_: object, **__: object) -> None:
            raise ConnectionError("no route to the hub")

        monkeypatch.setattr(timm, "create_model", offline)
        config = StudentConfig(BackboneConfig("convnext_atto"))
        with pytest.raises(ResourceError, match=r"cannot be fetched .*no route.*safetensors file"):
            Student(config, places=2)


class TestWeights:
    @pytest.mark.parametrize("name", ["convnext_atto", "mobilenetv4_conv_small", "repvit_m0_9"])
    def test_from_a_file_fill_the_whole_trunk(self, name: str, tmp_path: Path) -> None:
        source = awake(timm.create_model(name, pretrained=False, num_classes=7)).eval()
        save_file(source.state_dict(), tmp_path / "net.safetensors")
        backbone = BackboneConfig(name, weights=tmp_path / "net.safetensors")
        network = Student(StudentConfig(backbone), places=2).eval()
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            expected = source.forward_intermediates(image, indices=4, intermediates_only=True)
            found = network.embedder.trunk(image)
        assert all(same(a, b) for a, b in zip(found, expected, strict=True))

    def test_of_same_padding_load_and_agree(self, shared_data: Path) -> None:
        path = shared_data.parent / "weights" / "mobilenetv2_100_imagenet.safetensors"
        if not path.is_file():
            pytest.skip(f"no weights at {path}")
        options = {"pad_type": "same"}
        backbone = BackboneConfig("mobilenetv2_100", weights=path, options=options)
        network = Student(StudentConfig(backbone), places=2).eval()
        whole = timm.create_model("mobilenetv2_100", num_classes=1001, **options).eval()
        timm.models.load_checkpoint(whole, str(path))
        image = torch.randn(1, 3, 96, 96)
        with torch.no_grad():
            expected = whole.forward_intermediates(image, indices=4, intermediates_only=True)
            found = network.embedder.trunk(image)
        assert all(same(a, b) for a, b in zip(found, expected, strict=True))

    def test_of_another_network_are_refused(self, tmp_path: Path) -> None:
        source = timm.create_model("convnext_femto", pretrained=False)
        save_file(source.state_dict(), tmp_path / "femto.safetensors")
        backbone = BackboneConfig("convnext_atto", weights=tmp_path / "femto.safetensors")
        with pytest.raises(ResourceError, match=r"femto\.safetensors: does not hold .*stem\.0"):
            Student(StudentConfig(backbone), places=2)

    def test_with_a_gap_are_refused_even_where_timm_is_lenient(self, tmp_path: Path) -> None:
        tensors = timm.create_model("mobilenetv2_100", pretrained=False).state_dict()
        del tensors["blocks.2.0.conv_pw.weight"]
        save_file(tensors, tmp_path / "gap.safetensors")
        backbone = BackboneConfig("mobilenetv2_100", weights=tmp_path / "gap.safetensors")
        with pytest.raises(ResourceError, match=r"1 of \d+ tensors .*blocks\.2\.0\.conv_pw"):
            Student(StudentConfig(backbone), places=2)

    def test_missing_or_damaged_are_refused(self, tmp_path: Path) -> None:
        backbone = BackboneConfig("convnext_atto", weights=tmp_path / "none.safetensors")
        with pytest.raises(ResourceError, match=r"none\.safetensors: no such weights file"):
            Student(StudentConfig(backbone), places=2)
        (tmp_path / "none.safetensors").write_bytes(b"no weights")
        with pytest.raises(ResourceError, match="is not a safetensors file"):
            Student(StudentConfig(backbone), places=2)


class TestComplexity:
    def test_example_of_the_docstring_runs(self) -> None:
        assert doctest.testmod(complexity) == (0, 1)

    def test_of_the_papers_student_is_the_papers(self) -> None:
        backbone = BackboneConfig("convnext_tiny", pretrained=False)
        network = Student(StudentConfig(backbone), places=701)
        cost = measure(network.embedder, network.preprocessing.size_px)
        assert cost.size_px == 224
        assert cost.multiply_adds == pytest.approx(4.45e9, rel=0.01)
        assert cost.parameters == pytest.approx(28e6, rel=0.01)
        assert cost.parameters < sum(p.numel() for p in network.parameters())
        assert str(cost).startswith("28.21 M parameters, 4.4")

    def test_of_convolution_and_linear_layers_is_the_closed_form(self) -> None:
        layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 10),
        )
        cost = measure(layers, 32)
        assert cost.multiply_adds == 16 * 16 * (8 * 3 * 9 + 8 * 9) + 8 * 10
        assert cost.parameters == 8 * 27 + 8 + 8 * 9 + 8 + 80 + 10

    def test_counts_attention(self) -> None:
        vit = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0)
        tokens, patches, dim, depth = 17, 16, 192, 12
        block = tokens * dim * dim * 12 + 2 * tokens * tokens * dim
        assert measure(vit, 64).multiply_adds == depth * block + patches * dim * 3 * 16 * 16

    def test_merges_training_branches_in_a_copy(self) -> None:
        backbone = BackboneConfig("repvit_m0_9", pretrained=False)
        network = Student(StudentConfig(backbone), places=2)
        before = set(network.state_dict())
        network.train()
        cost = measure(network.embedder, 224)
        assert set(network.state_dict()) == before
        assert network.training
        assert cost.parameters < sum(p.numel() for p in network.embedder.parameters())
        assert cost.multiply_adds == pytest.approx(0.83e9, rel=0.02)
