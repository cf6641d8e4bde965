"""Parts of the alignment head's training, each against what it stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mobilegeo.errors import UsageError  # noqa: E402
from mobilegeo.learn.alignment.batch import sharing_ground, survey_order  # noqa: E402
from mobilegeo.learn.alignment.config import Layout, load_config  # noqa: E402
from mobilegeo.learn.alignment.descriptors import Whitening  # noqa: E402
from mobilegeo.learn.alignment.poses import displaced, wrong_poses  # noqa: E402
from mobilegeo.learn.alignment.surveys import SimulatedSurveys, turned_points  # noqa: E402
from mobilegeo.learn.datasets import photometry  # noqa: E402
from mobilegeo.learn.datasets.simulated import Pool, turned  # noqa: E402
from mobilegeo.learn.datasets.sources import Source  # noqa: E402
from mobilegeo.learn.models.alignment_head import AlignmentHead, HeadConfig  # noqa: E402
from mobilegeo.maps.descriptors import DescriptorBasis, unit_cells  # noqa: E402

SMALL = Layout(window_px=128, margin_px=32, photo_px=64, photos=2, reach_px=32)


def features(seed: int, *shape: int) -> np.ndarray:
    """Correlated features float32 [..., C]."""
    rng = np.random.default_rng(seed)
    mix = np.eye(shape[-1]) + 0.5 / shape[-1] ** 0.5 * np.random.default_rng(9).normal(
        size=(shape[-1],) * 2
    )
    mixed = rng.normal(size=shape) @ mix
    return (mixed + rng.normal(size=shape[-1])).astype(np.float32)


def test_whitening_has_the_cosines_of_a_pack() -> None:
    maps, photos = features(0, 3, 12, 12, 8), features(1, 2, 6, 6, 8)
    known = np.random.default_rng(2).random((3, 12, 12)) < 0.9
    basis = DescriptorBasis.of(maps[known])
    every = np.ones((2, 6, 6), bool)
    expected = basis.unit(photos, every).reshape(-1, 8) @ basis.unit(maps, known).reshape(-1, 8).T
    whitening = Whitening.of(_channels_first(maps), torch.from_numpy(known))
    on_map = whitening.descriptors(_channels_first(maps), torch.from_numpy(known))
    on_photo = whitening.descriptors(_channels_first(photos), torch.from_numpy(every))
    found = (
        on_photo.permute(0, 2, 3, 1).reshape(-1, 8) @ on_map.permute(0, 2, 3, 1).reshape(-1, 8).T
    )
    np.testing.assert_allclose(found.numpy(), expected, atol=5e-3)
    assert not on_map.permute(0, 2, 3, 1)[~torch.from_numpy(known)].any()


def test_whitening_undoes_scale_and_shift() -> None:
    maps = _channels_first(features(0, 2, 12, 12, 6)).double()
    known = torch.ones(2, 12, 12, dtype=torch.bool)
    scale = torch.from_numpy(np.random.default_rng(3).uniform(0.5, 2.0, 6))
    mixed = maps * scale[:, None, None] + 1.0
    cells = [Whitening.of(m, known).descriptors(m, known) for m in (maps, mixed)]
    torch.testing.assert_close(cells[0], cells[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("descriptors", [48, 16])
def test_head_starts_at_the_untrained_descriptors(descriptors: int) -> None:
    cells = features(0, 4, 9, 9, 96)
    basis = DescriptorBasis.of(cells.reshape(-1, 96))
    head = AlignmentHead(96, HeadConfig(descriptors, 8))
    head.start(basis)
    with torch.no_grad():
        found = head(_channels_first(cells)).permute(0, 2, 3, 1).numpy()
    fewer = DescriptorBasis(basis.mean, basis.std, basis.axes[:, :descriptors])
    every = np.ones(found.shape[:3], bool)
    np.testing.assert_allclose(unit_cells(found, every), fewer.unit(cells, every), atol=1e-5)
    assert found.std() == pytest.approx(1.0, rel=0.2)


def test_head_looks_one_cell_around_and_no_farther() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(6, HeadConfig(4, 8)).double()
    torch.nn.init.normal_(head.correct.weight)
    scene = torch.randn(1, 6, 12, 14, dtype=torch.float64)
    whole, cut = head(scene), head(scene[..., 3:9, 4:12])
    torch.testing.assert_close(cut[..., 1:-1, 1:-1], whole[..., 4:8, 5:11])
    assert not torch.allclose(cut[..., 0, :], whole[..., 3, 4:12])


def test_head_rejects_more_descriptors_than_packs_keep() -> None:
    with pytest.raises(UsageError, match="descriptors: is 49; give 1 to 48"):
        HeadConfig(descriptors=49)


def test_quarter_turns_are_exact_and_clockwise() -> None:
    torch.manual_seed(0)
    cells, seen = torch.randn(2, 3, 6, 6), torch.rand(2, 6, 6) < 0.7
    found, covered = displaced(cells, seen, 90.0, 0.0)
    torch.testing.assert_close(found, cells.rot90(-1, dims=(2, 3)))
    assert torch.equal(covered, seen.rot90(-1, dims=(1, 2)))


def test_a_doubled_scale_shows_each_cell_four_times() -> None:
    cells = torch.arange(16.0).reshape(1, 1, 4, 4)
    found, _ = displaced(cells, torch.ones(1, 4, 4, dtype=torch.bool), 0.0, float(np.log(2.0)))
    assert found[0, 0].int().tolist() == [[5, 5, 6, 6]] * 2 + [[9, 9, 10, 10]] * 2
    _, seen = displaced(cells, torch.ones(1, 4, 4, dtype=torch.bool), 0.0, float(-np.log(2.0)))
    assert seen[0].sum() == 4


def test_wrong_poses_are_symmetric() -> None:
    poses = wrong_poses(10.0, 0.25)
    assert np.sum(poses, axis=0) == pytest.approx([0.0, 0.0])
    assert np.exp(max(scale for _, scale in poses)) == pytest.approx(1.25)


@pytest.mark.parametrize("symmetry", range(8))
def test_points_turn_with_their_image(symmetry: int) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[1, 5] = 255
    (found,) = turned_points(np.array([[1.5, 5.5]]), 8.0, symmetry)
    assert turned(image, symmetry)[int(found[0]), int(found[1])].all()


@pytest.fixture
def surveys(monkeypatch: pytest.MonkeyPatch) -> SimulatedSurveys:
    """Surveys without a photometric gap."""
    monkeypatch.setattr(photometry, "degrade", lambda image, *_: np.maximum(image, 1))
    coarse = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    image = cv2.resize(coarse, (480, 480), interpolation=cv2.INTER_CUBIC)
    source = Source("noise", "noise", image, 0.5)
    return SimulatedSurveys([source], [Pool(1.0, (96.0, 120.0), (0,))], SMALL, seed=4)


def test_photos_show_the_window_around_their_middles(surveys: SimulatedSurveys) -> None:
    errors = []
    for number in range(12):
        survey = surveys.survey(number)
        assert survey.window.shape == (192, 192, 3)
        assert survey.photos.shape == (2, 64, 64, 3)
        inner = survey.window[32:160, 32:160]
        for photo, middle in zip(survey.photos, survey.middles, strict=True):
            patch = photo[20:44, 20:44]
            if not patch.any(axis=2).all():
                continue
            found = cv2.matchTemplate(inner, patch, cv2.TM_CCOEFF_NORMED)
            row, column = np.unravel_index(found.argmax(), found.shape)
            errors.append(np.hypot(*(np.array([row, column]) + 12 - middle)))
    assert len(errors) > 10
    assert np.median(errors) < 2.0


def test_surveys_are_reproducible_and_differ(surveys: SimulatedSurveys) -> None:
    assert np.array_equal(surveys.survey(1).photos, surveys.survey(1).photos)
    assert not np.array_equal(surveys.survey(1).window, surveys.survey(2).window)


def test_order_holds_each_survey_once_an_epoch() -> None:
    order = survey_order(10, 5, seed=0)
    one, two, three = next(order), next(order), next(order)
    assert sorted(np.concatenate([one, two])) == list(range(10))
    assert not np.array_equal(one, three)


def test_windows_share_ground_where_they_overlap() -> None:
    places = np.array([[0, 0, 0, 10], [0, 9, 0, 10], [0, 10, 0, 10], [1, 0, 0, 10]], float)
    shared = sharing_ground(places)
    assert shared[0].tolist() == [True, True, False, False]
    assert np.array_equal(shared, shared.T)


def test_configuration_rejects_what_cannot_be_meant(tmp_path: Path) -> None:
    text = Path(__file__).parents[1].joinpath("configs/alignment_head.toml").read_text()
    path = tmp_path / "c.toml"
    path.write_text(text)
    config = load_config(path)
    assert config.data_root == tmp_path.parent / "data"
    for override, message in (
        ("surveys=0", "surveys is below 1"),
        ("warmup_steps=400", "warmup_steps is 400; give fewer"),
        ("layout.reach_px=65", "reach_px is 65, so that photos would hang over"),
        ("head.hiden=3", r"unknown keys \['hiden'\]"),
    ):
        with pytest.raises(UsageError, match=message):
            load_config(path, [override])
    with pytest.raises(UsageError, match=r"no \[\[sources\]\]"):
        replace(config, sources=())


def _channels_first(cells: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(cells).permute(0, 3, 1, 2)
