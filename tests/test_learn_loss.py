"""The contrastive loss against hand calculations."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from mobilegeo.learn.losses.contrastive import SymmetricInfoNCE  # noqa: E402


@pytest.mark.parametrize("pairs", [2, 5])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_orthonormal_pairs_give_the_closed_form(pairs: int, temperature: float) -> None:
    embeddings = torch.eye(pairs)
    loss = SymmetricInfoNCE(temperature)(embeddings, embeddings)
    expected = math.log(1.0 + (pairs - 1) * math.exp(-1.0 / temperature))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_unsymmetric_batch_matches_a_hand_calculation() -> None:
    query = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    tile = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
    s = [[0.8, 0.0], [0.96, 0.8]]  # query i · tile j

    def nll(right: float, wrong: float) -> float:
        return math.log(1.0 + math.exp(wrong - right))

    forth = (nll(s[0][0], s[0][1]) + nll(s[1][1], s[1][0])) / 2
    back = (nll(s[0][0], s[1][0]) + nll(s[1][1], s[0][1])) / 2
    loss = SymmetricInfoNCE(temperature=1.0)(query, tile)
    assert loss.item() == pytest.approx((forth + back) / 2, abs=1e-6)


def test_ignored_pairs_are_no_negatives() -> None:
    torch.manual_seed(0)
    query, tile = (torch.nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    loss = SymmetricInfoNCE()
    everything_ignored = torch.ones(4, 4, dtype=torch.bool)
    assert loss(query, tile, everything_ignored).item() == pytest.approx(0.0, abs=1e-7)
    last_ignored = torch.zeros(4, 4, dtype=torch.bool)
    last_ignored[3, :3] = last_ignored[:3, 3] = True
    three = loss(query[:3], tile[:3]).item()
    assert loss(query, tile, last_ignored).item() == pytest.approx(three * 3 / 4, abs=1e-6)


def test_temperature_learns_and_keeps_its_floor() -> None:
    loss = SymmetricInfoNCE(temperature=0.07)
    assert loss.temperature.item() == pytest.approx(0.07)
    loss(torch.eye(3), torch.eye(3).roll(1, 0)).backward()
    assert loss.log_temperature.grad is not None
    assert loss.log_temperature.grad.item() < 0.0  # wrong answers ask for a softer distribution
    assert SymmetricInfoNCE(temperature=1e-4).temperature.item() == pytest.approx(0.01)
