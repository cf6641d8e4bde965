"""Padding, receptive field, frozen trunk and layout head."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from timm.layers.conv2d_same import Conv2dSame  # noqa: E402
from torch import nn  # noqa: E402

from mobilegeo.errors import ResourceError  # noqa: E402
from mobilegeo.learn.losses.info_nce import MultiPositiveInfoNCE  # noqa: E402
from mobilegeo.learn.models.backbone import load_mobilenet  # noqa: E402
from mobilegeo.learn.models.heads import LayoutHead, cell_coverage, masked_grid  # noqa: E402
from mobilegeo.learn.models.padding import PaddedConv2d, receptive_field  # noqa: E402
from mobilegeo.learn.models.place_encoder import ModelConfig, PlaceEncoder  # noqa: E402


@pytest.fixture(scope="module")
def model() -> PlaceEncoder:
    torch.manual_seed(0)
    return PlaceEncoder(ModelConfig(embedding_dim=16), weights=None).eval()


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 4)])
def test_fixed_padding_equals_tensorflows_for_multiples_of_the_stride(
    kernel: int, stride: int
) -> None:
    same = Conv2dSame(4, 6, kernel, stride, bias=False)
    image = torch.randn(1, 4, 64, 96)
    torch.testing.assert_close(PaddedConv2d(same)(image), same(image))


@pytest.mark.parametrize("block", [0, 1, 2])
def test_receptive_field_is_what_gradients_reach(block: int) -> None:
    torch.manual_seed(0)
    trunk = PlaceEncoder(ModelConfig(last_trunk_block=block), weights=None).trunk
    field = receptive_field(trunk)
    for module in trunk.modules():  # positive weights, no clipping: no gradient cancels or dies
        if isinstance(module, nn.Conv2d):
            module.weight.data.fill_(0.01)
        if isinstance(module, nn.ReLU6):
            module.forward = lambda x: x
    image = torch.zeros(1, 3, 128, 128, requires_grad=True)
    cell = 64 // field.stride_px
    trunk(image)[0, :, cell, cell].sum().backward()
    assert image.grad is not None
    touched = image.grad.abs().sum(dim=(0, 1, 2)).nonzero().ravel()
    assert touched.min().item() == 64 - field.before_px
    assert touched.max().item() == 64 + field.stride_px - 1 + field.after_px


def test_halo_makes_features_independent_of_the_cut(model: PlaceEncoder) -> None:
    field = receptive_field(model.trunk)
    assert (field.stride_px, field.before_px, field.after_px) == (16, 118, 133)
    halo = field.halo_px(32)
    assert halo == 160
    # In float32 another input size may take another convolution kernel, which rounds otherwise.
    trunk = copy.deepcopy(model.trunk).double()
    scene = torch.rand(1, 3, 448, 448, dtype=torch.float64) * 2 - 1
    start, side = 192, 64
    cut = scene[:, :, start - halo : start + side + halo, start - halo : start + side + halo]
    margin, cells = halo // 16, side // 16
    whole = trunk(scene)[:, :, start // 16 :, start // 16 :][:, :, :cells, :cells]
    inner = trunk(cut)[:, :, margin : margin + cells, margin : margin + cells]
    torch.testing.assert_close(inner, whole, rtol=1e-9, atol=1e-11)


def test_training_leaves_the_features_alone(model: PlaceEncoder) -> None:
    image = torch.rand(4, 3, 64, 64) * 2 - 1
    before = model.eval()(image)[1].clone()
    head_before = model.head.bottleneck[0].weight.detach().clone()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model.train()
    query, tile = model(image)[0], model(image.flip(0))[0]
    MultiPositiveInfoNCE()(query, tile, torch.eye(4, dtype=torch.bool)).backward()
    optimiser.step()
    assert not torch.equal(model.head.bottleneck[0].weight, head_before)
    assert torch.equal(model.eval()(image)[1], before)
    assert not any(p.requires_grad for p in model.trunk.parameters())


def test_grid_averages_over_the_covered_part_only() -> None:
    features = torch.full((1, 3, 14, 14), 5.0)
    coverage = torch.ones(1, 1, 14, 14)
    features[:, :, :, 0] = 1000.0
    coverage[:, :, :, 0] = 0.0
    grid, seen = masked_grid(features, coverage)
    assert grid.shape == (1, 3, 7, 7)
    torch.testing.assert_close(grid, torch.full_like(grid, 5.0), rtol=3e-3, atol=0.0)
    torch.testing.assert_close(seen[0, 0, 0], torch.tensor([0.5] + [1.0] * 6))


def test_what_is_outside_the_photo_does_not_count() -> None:
    torch.manual_seed(0)
    head = LayoutHead(8, 16).eval()
    features, coverage = torch.randn(2, 8, 14, 14), torch.ones(2, 1, 14, 14)
    coverage[:, :, :4] = 0.0
    changed = features.clone()
    changed[:, :, :4] = 100.0
    torch.testing.assert_close(head(features, coverage), head(changed, coverage))
    assert not torch.allclose(head(features, coverage), head(features, torch.ones_like(coverage)))


def test_layout_counts() -> None:
    torch.manual_seed(0)
    head = LayoutHead(8, 16).eval()
    features, coverage = torch.randn(1, 8, 14, 14), torch.ones(1, 1, 14, 14)
    similarity = head(features, coverage) @ head(features.flip(3), coverage).T
    assert similarity.item() < 0.99  # global pooling would give 1


def test_coverage_is_the_share_that_is_not_black() -> None:
    image = torch.full((1, 3, 32, 32), -1.0)
    image[:, 1, :, :8] = 1.0 / 127.5 - 1.0  # the darkest grey that is not black, in one channel
    coverage = cell_coverage(image, 16)
    torch.testing.assert_close(coverage, torch.tensor([[[[0.5, 0.0], [0.5, 0.0]]]]))


@pytest.mark.parametrize("size", [(32, 64), (224, 224), (320, 224)])
def test_any_multiple_of_32_goes_in(model: PlaceEncoder, size: tuple[int, int]) -> None:
    embedding, features = model.eval()(torch.rand(2, 3, *size) * 2 - 1)
    assert features.shape == (2, 96, size[0] // 16, size[1] // 16)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


def test_weights_must_exist_and_fit(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(ResourceError, match="no such weights file"):
        load_mobilenet(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ResourceError, match="is not a mobilenetv2_100"):
        load_mobilenet(tmp_path / "other.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    with pytest.raises(ResourceError, match="is not a mobilenetv2_100"):
        load_mobilenet(tmp_path / "damaged.safetensors")
