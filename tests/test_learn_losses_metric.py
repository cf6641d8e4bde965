"""Losses on embeddings: cross-domain triplet, multi-positive InfoNCE, and who belongs to whom."""

from __future__ import annotations

import doctest
import math
from collections.abc import Iterator
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from pytorch_metric_learning import distances, miners, reducers  # noqa: E402
from pytorch_metric_learning import losses as reference  # noqa: E402
from torch.autograd import gradcheck  # noqa: E402
from torch.nn import functional  # noqa: E402

from mobilegeo.errors import UsageError  # noqa: E402
from mobilegeo.learn.losses import info_nce, places, triplet  # noqa: E402
from mobilegeo.learn.losses.info_nce import MultiPositiveInfoNCE  # noqa: E402
from mobilegeo.learn.losses.places import same_place  # noqa: E402
from mobilegeo.learn.losses.triplet import CrossDomainTriplet  # noqa: E402

DRONE_PLACES = torch.tensor([7, 7, 7, 2, 2, 9, 9, 9])
SATELLITE_PLACES = torch.tensor([9, 2, 7, 7])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def embeddings(count: int, dim: int = 6) -> torch.Tensor:
    return functional.normalize(torch.randn(count, dim, dtype=torch.float64), dim=1)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    same = same_place(DRONE_PLACES, SATELLITE_PLACES)
    return embeddings(len(DRONE_PLACES)), embeddings(len(SATELLITE_PLACES)), same


@pytest.mark.parametrize("module", [places, triplet, info_nce], ids=lambda m: m.__name__)
def test_examples_of_the_docstrings_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 1
    assert result.failed == 0


class TestSamePlace:
    def test_marks_each_pair(self) -> None:
        same = same_place(DRONE_PLACES, SATELLITE_PLACES)
        assert same.shape == (8, 4)
        for i, drone in enumerate(DRONE_PLACES.tolist()):
            for j, satellite in enumerate(SATELLITE_PLACES.tolist()):
                assert bool(same[i, j]) == (drone == satellite)

    @pytest.mark.parametrize(
        ("drone", "satellite"), [([1, 2, 3], [1, 2]), ([1, 2], [1, 2, 3])], ids=["drone", "sat"]
    )
    def test_refuses_a_place_seen_from_one_side(
        self, drone: list[int], satellite: list[int]
    ) -> None:
        with pytest.raises(UsageError, match=r"places \[3\] have only .* hold both views"):
            same_place(torch.tensor(drone), torch.tensor(satellite))

    def test_refuses_a_single_place(self) -> None:
        with pytest.raises(UsageError, match=r"one place only.*at least two places"):
            same_place(torch.tensor([4, 4]), torch.tensor([4]))

    def test_refuses_an_empty_batch(self) -> None:
        empty = torch.zeros(0, dtype=torch.int64)
        with pytest.raises(UsageError, match="at least two places"):
            same_place(empty, empty)


class TestTriplet:
    def test_is_calculated_by_hand(self) -> None:
        def at(degrees: float) -> tuple[float, float]:
            return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

        def chord(degrees: float) -> float:
            return 2.0 * math.sin(math.radians(degrees) / 2.0)

        drone = torch.tensor([at(0.0), at(30.0), at(90.0)], dtype=torch.float64)
        satellite = torch.tensor([at(20.0), at(75.0)], dtype=torch.float64)
        same = same_place(torch.tensor([0, 0, 1]), torch.tensor([0, 1]))
        from_drone = [chord(20) - chord(75), chord(10) - chord(45), chord(15) - chord(70)]
        from_satellite = [chord(20) - chord(70), chord(15) - chord(45)]
        margin = 0.6
        hinge = (
            [max(0.0, margin + gap) for gap in from_drone],
            [max(0.0, margin + gap) for gap in from_satellite],
        )
        expected = (sum(hinge[0]) / 3 + sum(hinge[1]) / 2) / 2
        assert expected > 0.02
        found = CrossDomainTriplet(margin)(drone, satellite, same)
        assert float(found) == pytest.approx(expected)

    def test_agrees_with_pytorch_metric_learning(self) -> None:
        drone, satellite, same = batch()
        distance = distances.LpDistance(normalize_embeddings=False)
        miner = miners.BatchHardMiner(distance=distance)
        loss = reference.TripletMarginLoss(0.3, distance=distance, reducer=reducers.MeanReducer())

        def one_way(a: torch.Tensor, pa: torch.Tensor, b: torch.Tensor, pb: torch.Tensor) -> float:
            triplets = miner(a, pa, b, pb)
            return float(loss(a, pa, triplets, b, pb))

        forth = one_way(drone, DRONE_PLACES, satellite, SATELLITE_PLACES)
        back = one_way(satellite, SATELLITE_PLACES, drone, DRONE_PLACES)
        found = CrossDomainTriplet()(drone, satellite, same)
        assert float(found) == pytest.approx((forth + back) / 2, rel=1e-9)

    def test_coinciding_embeddings_cost_the_margin_and_give_no_nan(self) -> None:
        one = functional.normalize(torch.ones(1, 6), dim=1)
        drone = one.repeat(8, 1).requires_grad_()
        satellite = one.repeat(4, 1).requires_grad_()
        loss = CrossDomainTriplet()(drone, satellite, batch()[2])
        loss.backward()
        assert loss.item() == pytest.approx(0.3)
        assert torch.isfinite(drone.grad).all()
        assert torch.isfinite(satellite.grad).all()

    def test_small_distances_are_exact_in_single_precision(self) -> None:
        drone = embeddings(64, dim=512)
        satellite = functional.normalize(drone + 1e-5 * torch.randn_like(drone), dim=1)
        same, loss = torch.eye(64).bool(), CrossDomainTriplet(margin=2.0)
        expected = float(loss(drone, satellite, same))
        found = float(loss(drone.float(), satellite.float(), same))
        assert found == pytest.approx(expected, abs=2e-6)

    def test_well_separated_places_cost_nothing(self) -> None:
        axes = torch.eye(10)
        same = same_place(DRONE_PLACES, SATELLITE_PLACES)
        assert float(CrossDomainTriplet()(axes[DRONE_PLACES], axes[SATELLITE_PLACES], same)) == 0.0

    def test_order_of_the_views_does_not_matter(self) -> None:
        drone, satellite, same = batch()
        loss = CrossDomainTriplet()
        assert float(loss(satellite, drone, same.T)) == pytest.approx(
            float(loss(drone, satellite, same))
        )

    def test_gradient(self) -> None:
        drone, satellite, same = batch()
        assert gradcheck(
            lambda d, s: CrossDomainTriplet()(d, s, same),
            (drone.requires_grad_(), satellite.requires_grad_()),
        )


class TestMultiPositiveInfoNCE:
    def test_is_calculated_by_hand(self) -> None:
        drone = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        satellite = torch.tensor([[0.8, 0.6], [0.0, 1.0]])
        same = same_place(torch.tensor([0, 0, 1]), torch.tensor([0, 1]))
        s = [[0.8, 0.0], [0.96, 0.8], [0.6, 1.0]]
        tau = 0.5

        def log_share(chosen: float, all_of: list[float]) -> float:
            return chosen / tau - math.log(sum(math.exp(x / tau) for x in all_of))

        from_drone = [log_share(s[0][0], s[0]), log_share(s[1][0], s[1]), log_share(s[2][1], s[2])]
        columns = [[row[0] for row in s], [row[1] for row in s]]
        both = (log_share(s[0][0], columns[0]) + log_share(s[1][0], columns[0])) / 2
        from_satellite = [both, log_share(s[2][1], columns[1])]
        expected = -(sum(from_drone) / 3 + sum(from_satellite) / 2) / 2
        found = MultiPositiveInfoNCE(tau)(drone, satellite, same)
        assert found.item() == pytest.approx(expected, rel=1e-6)

    def test_agrees_with_pytorch_metric_learning(self) -> None:
        drone, satellite, same = batch()
        loss = reference.SupConLoss(
            0.07, distance=distances.DotProductSimilarity(normalize_embeddings=False)
        )
        forth = loss(drone, DRONE_PLACES, None, satellite, SATELLITE_PLACES)
        back = loss(satellite, SATELLITE_PLACES, None, drone, DRONE_PLACES)
        found = MultiPositiveInfoNCE(0.07).double()(drone, satellite, same)
        assert found.item() == pytest.approx(float(forth + back) / 2, rel=1e-7)

    def test_without_information_costs_the_logarithm_of_the_choices(self) -> None:
        same = same_place(DRONE_PLACES, SATELLITE_PLACES)
        loss = MultiPositiveInfoNCE()(torch.ones(8, 1), torch.ones(4, 1), same)
        assert loss.item() == pytest.approx((math.log(4) + math.log(8)) / 2, rel=1e-6)

    def test_temperature_starts_at_7_percent_learns_and_stays_above_1_percent(self) -> None:
        drone, satellite, same = batch()
        loss = MultiPositiveInfoNCE()
        assert loss.temperature.item() == pytest.approx(0.07)
        loss(drone, satellite, same).backward()
        assert abs(loss.log_temperature.grad.item()) > 1e-3
        with torch.no_grad():
            loss.log_temperature.fill_(-20.0)
        assert loss.temperature.item() == pytest.approx(0.01)

    def test_half_precision_and_autocast_do_not_blunt_it(self) -> None:
        drone, satellite, same = batch()
        drone, satellite = drone.bfloat16().float(), satellite.bfloat16().float()
        loss = MultiPositiveInfoNCE(0.01)
        expected = loss(drone, satellite, same).item()
        assert loss(drone.bfloat16(), satellite.bfloat16(), same).item() == expected
        with torch.autocast("cpu", torch.bfloat16):
            assert loss(drone, satellite, same).item() == expected

    def test_gradient_also_of_the_temperature(self) -> None:
        drone, satellite, same = batch()
        loss = MultiPositiveInfoNCE(0.5).double()

        def call(d: torch.Tensor, s: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return loss(d, s, same)

        assert gradcheck(
            call, (drone.requires_grad_(), satellite.requires_grad_(), loss.log_temperature)
        )
