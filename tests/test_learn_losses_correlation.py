"""Heatmaps against the device's correlation and hand calculations, and the loss on them."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mobilegeo.learn.losses.correlation import HeatmapCrossEntropy, WindowSpectra  # noqa: E402
from mobilegeo.locate.correlate import MapSpectrum, Template  # noqa: E402


def unit_cells(rng, count, side, share, channels=5):
    """Random unit descriptors [N, C, side, side], zero where there is no data."""
    cells = rng.normal(size=(count, channels, side, side))
    cells /= np.linalg.norm(cells, axis=1, keepdims=True)
    valid = rng.random((count, side, side)) < share
    return torch.tensor(cells * valid[:, None], dtype=torch.float32), torch.tensor(valid)


@pytest.mark.parametrize(("template_share", "map_share"), [(1.0, 1.0), (0.6, 0.8), (0.9, 0.5)])
def test_scores_are_those_of_the_device(template_share: float, map_share: float) -> None:
    rng = np.random.default_rng(0)
    windows, known = unit_cells(rng, 2, 11, map_share)
    cells, seen = unit_cells(rng, 3, 6, template_share)
    spectra = WindowSpectra(windows, known, 6)
    everywhere = spectra.everywhere(cells, seen)
    assert everywhere.shape == (3, 2, 12, 12)
    for n in range(3):
        template = Template(cells[n].permute(1, 2, 0).numpy(), seen[n].numpy())
        for m in range(2):
            device = MapSpectrum(windows[m].permute(1, 2, 0).numpy(), known[m].numpy(), 6)
            expected = torch.from_numpy(device.correlate(template))
            expected[expected == -1] = -torch.inf
            torch.testing.assert_close(everywhere[n, m], expected, rtol=0, atol=1e-5)
            home = torch.full((3,), m)
            at_home = spectra.at_home(cells, seen, home)[n]
            torch.testing.assert_close(at_home, expected, rtol=0, atol=1e-5)


def test_a_flat_heatmap_costs_the_logarithm_of_its_classes() -> None:
    scores = torch.full((2, 3, 4, 5), 0.3)
    scores[:, :, 0] = -torch.inf  # a row of places without a score
    offset, home = torch.tensor([[1.5, 2.25], [3.0, 4.0]]), torch.tensor([2, 0])
    loss = HeatmapCrossEntropy(temperature=0.1)
    assert loss(scores, home, offset).item() == pytest.approx(math.log(3 * 15), abs=1e-5)
    wrong = torch.full((2, 4, 4, 5), 0.3)
    found = loss(scores, home, offset, wrong=wrong).item()
    assert found == pytest.approx(math.log(3 * 15 + 80), abs=1e-5)
    ignored = torch.tensor([[True, False, True], [True, False, False]])
    found = loss(scores, home, offset, ignored).item()
    assert found == pytest.approx((math.log(2 * 15) + math.log(3 * 15)) / 2, abs=1e-5)


def test_a_fractional_offset_is_spread_over_four_corners() -> None:
    scores = torch.zeros(1, 1, 3, 3)
    scores[0, 0, 1, 1], scores[0, 0, 1, 2], scores[0, 0, 2, 1] = 0.8, 0.4, 0.2
    offset = torch.tensor([[1.25, 1.5]])  # weights 3/8 on (1, 1) and (1, 2), 1/8 on (2, 1)
    expected = math.log(6 + math.exp(1.6) + math.exp(0.8) + math.exp(0.4))
    expected -= (0.375 * 0.8 + 0.375 * 0.4 + 0.125 * 0.2) / 0.5
    loss = HeatmapCrossEntropy(temperature=0.5)(scores, torch.tensor([0]), offset)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_a_photo_whose_place_has_no_score_is_left_out() -> None:
    torch.manual_seed(0)
    scores = torch.rand(2, 2, 4, 4)
    home, offset = torch.tensor([0, 1]), torch.full((2, 2), 1.5)
    alone = HeatmapCrossEntropy()(scores[:1], home[:1], offset[:1])
    scores[1, 1, 2, 2] = -torch.inf
    torch.testing.assert_close(HeatmapCrossEntropy()(scores, home, offset), alone)


def test_gradients_are_finite_and_lead_to_the_place() -> None:
    rng = np.random.default_rng(1)
    windows, known = unit_cells(rng, 2, 10, 0.9)
    cells, seen = unit_cells(rng, 2, 4, 0.9)
    cells.requires_grad_()
    home, offset = torch.tensor([0, 1]), torch.tensor([[5.0, 4.0], [6.5, 5.5]])
    loss = HeatmapCrossEntropy()
    spectra = WindowSpectra(windows, known, 4)
    before = loss(spectra.everywhere(cells, seen), home, offset)
    before.backward()
    assert cells.grad is not None
    assert cells.grad.isfinite().all()
    assert loss.log_temperature.grad is not None
    assert loss.log_temperature.grad.isfinite()
    moved = cells.detach() - 0.1 * cells.grad
    assert loss(spectra.everywhere(moved, seen), home, offset) < before


def test_temperature_keeps_its_floor() -> None:
    assert HeatmapCrossEntropy(0.2).temperature.item() == pytest.approx(0.2)
    assert HeatmapCrossEntropy(1e-4).temperature.item() == pytest.approx(0.01)
