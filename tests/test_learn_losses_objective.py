"""The objective: every term by name, its weight, who learns and who does not."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from mobilegeo.errors import UsageError  # noqa: E402
from mobilegeo.learn.losses import objective  # noqa: E402
from mobilegeo.learn.losses.divergence import softened_kl  # noqa: E402
from mobilegeo.learn.losses.fisd import FISD  # noqa: E402
from mobilegeo.learn.losses.objective import (  # noqa: E402
    Branches,
    CrossDistillation,
    Objective,
    ObjectiveWeights,
    SelfDistillation,
)
from mobilegeo.learn.losses.uapa import UAPA  # noqa: E402
from mobilegeo.learn.models.exits import PlaceOutput  # noqa: E402

DRONE = torch.tensor([0, 0, 3, 3, 5, 5])
SATELLITE = torch.tensor([0, 3, 5])
STEP1 = ["cross_entropy", "fisd", "triplet", "info_nce", "uapa"]
STEP2 = [*STEP1, "cross_logits", "cross_features"]
WEIGHT_OF = {
    "cross_entropy": 1.0,
    "fisd": 0.5,
    "triplet": 1.0,
    "info_nce": 0.5,
    "uapa": 0.2,
    "cross_logits": 0.3,
    "cross_features": 0.3,
}
NOTHING = ObjectiveWeights(
    ce_final=0.0, ce_exit=0.0, fisd=0.0, triplet=0.0, info_nce=1.0, uapa=0.0, cross=0.0
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def output(count: int, exits: int = 4, dim: int = 8) -> PlaceOutput:
    logits = tuple(torch.randn(count, 6, requires_grad=True) for _ in range(exits))
    embedding = functional.normalize(torch.randn(count, dim), dim=1).requires_grad_()
    return PlaceOutput(logits, embedding)


def branches(exits: int = 4, dim: int = 8) -> Branches:
    return Branches(output(len(DRONE), exits, dim), output(len(SATELLITE), exits, dim))


def learns(out: PlaceOutput) -> tuple[list[bool], bool]:
    def moved(tensor: torch.Tensor) -> bool:
        return tensor.grad is not None and float(tensor.grad.abs().sum()) > 0

    return [moved(z) for z in out.logits], moved(out.embedding)


def weighted_sum(loss: Objective) -> float:
    return sum(WEIGHT_OF[name] * term.item() for name, term in loss.terms.items())


def test_example_of_the_docstring_runs() -> None:
    result = doctest.testmod(objective)
    assert result.attempted >= 4
    assert result.failed == 0


class TestWeights:
    def test_defaults_are_the_public_ones(self) -> None:
        assert ObjectiveWeights() == ObjectiveWeights(
            ce_final=1.0, ce_exit=0.25, fisd=0.5, triplet=1.0, info_nce=0.5, uapa=0.2, cross=0.3
        )

    @pytest.mark.parametrize("bad", [-0.1, float("nan")])
    def test_refuse_a_negative_one(self, bad: float) -> None:
        with pytest.raises(UsageError, match=r"triplet: weight .* give 0 or more"):
            ObjectiveWeights(triplet=bad)

    def test_refuse_nothing_to_minimise(self) -> None:
        with pytest.raises(UsageError, match="all 0 in step 1"):
            replace(NOTHING, info_nce=0.0, cross=0.3)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"fisd": 0.5}, "fisd: .* ce_exit is 0; give ce_exit a weight or set fisd to 0"),
            ({"uapa": 0.2}, "uapa: .* ce_final is 0; give ce_final a weight"),
        ],
    )
    def test_refuse_teaching_by_untrained_exits(
        self, changes: dict[str, float], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            replace(NOTHING, **changes)


class TestStep1:
    def test_total_is_the_weighted_sum_of_named_terms(self) -> None:
        loss = SelfDistillation(ObjectiveWeights())(branches(), DRONE, SATELLITE)
        assert list(loss.terms) == STEP1
        assert all(term.item() > 0 for term in loss.terms.values())
        assert loss.total.item() == pytest.approx(weighted_sum(loss), rel=1e-6)

    def test_terms_are_the_losses_of_both_views(self) -> None:
        out, step1 = branches(), SelfDistillation(ObjectiveWeights())
        terms = step1(out, DRONE, SATELLITE).terms
        ce = [
            sum(
                weight * functional.cross_entropy(z, places)
                for weight, z in zip((0.25, 0.25, 0.25, 1.0), view.logits, strict=True)
            )
            for view, places in ((out.drone, DRONE), (out.satellite, SATELLITE))
        ]
        assert terms["cross_entropy"].item() == pytest.approx((ce[0] + ce[1]).item() / 2)
        fisd = FISD()(out.drone.logits) + FISD()(out.satellite.logits)
        assert terms["fisd"].item() == pytest.approx(fisd.item() / 2)
        satellite_of_drone = torch.tensor([0, 0, 1, 1, 2, 2])
        uapa = UAPA()(out.drone.logits[3], out.satellite.logits[3][satellite_of_drone])
        assert terms["uapa"].item() == pytest.approx(uapa.item())

    def test_every_exit_and_embedding_of_both_views_learns(self) -> None:
        out = branches()
        SelfDistillation(ObjectiveWeights())(out, DRONE, SATELLITE).total.backward()
        assert learns(out.drone) == learns(out.satellite) == ([True] * 4, True)

    @pytest.mark.parametrize(
        ("changes", "names"),
        [
            ({}, ["info_nce"]),
            ({"triplet": 1.0}, ["triplet", "info_nce"]),
            ({"ce_final": 1.0}, ["cross_entropy", "info_nce"]),
            ({"ce_exit": 1.0, "fisd": 0.5}, ["cross_entropy", "fisd", "info_nce"]),
            ({"ce_final": 1.0, "uapa": 0.2}, ["cross_entropy", "info_nce", "uapa"]),
        ],
    )
    def test_a_term_without_weight_is_left_out(
        self, changes: dict[str, float], names: list[str]
    ) -> None:
        out = branches()
        loss = SelfDistillation(replace(NOTHING, **changes))(out, DRONE, SATELLITE)
        assert list(loss.terms) == names
        loss.total.backward()
        assert learns(out.drone)[0][0] == ("ce_exit" in changes)

    def test_a_teacher_with_one_exit_is_trained_without_fisd(self) -> None:
        out = branches(exits=1)
        weights = ObjectiveWeights(fisd=0.0)
        loss = SelfDistillation(weights)(out, DRONE, SATELLITE)
        assert list(loss.terms) == ["cross_entropy", "triplet", "info_nce", "uapa"]

    def test_scalars_are_plain_numbers_for_the_log(self) -> None:
        loss = SelfDistillation(ObjectiveWeights())(branches(), DRONE, SATELLITE)
        scalars = loss.scalars()
        assert list(scalars) == ["total", *STEP1]
        assert all(type(value) is float for value in scalars.values())
        assert scalars["total"] == loss.total.item()

    def test_refuses_one_place(self) -> None:
        out = Branches(output(2), output(1))
        with pytest.raises(UsageError, match="one place only"):
            SelfDistillation(ObjectiveWeights())(out, torch.tensor([4, 4]), torch.tensor([4]))


class TestStep2:
    def test_total_adds_the_teachers_terms_to_step_1(self) -> None:
        student, teacher = branches(), branches(exits=1, dim=12)
        step2 = CrossDistillation(ObjectiveWeights(), student_dim=8, teacher_dim=12)
        loss = step2(student, teacher, DRONE, SATELLITE)
        assert list(loss.terms) == STEP2
        assert loss.total.item() == pytest.approx(weighted_sum(loss), rel=1e-6)
        step1 = step2.step1(student, DRONE, SATELLITE)
        assert {name: loss.terms[name].item() for name in STEP1} == {
            name: term.item() for name, term in step1.terms.items()
        }

    def test_terms_are_the_losses_of_both_views(self) -> None:
        student, teacher = branches(), branches(exits=1, dim=12)
        step2 = CrossDistillation(ObjectiveWeights(), student_dim=8, teacher_dim=12)
        terms = step2(student, teacher, DRONE, SATELLITE).terms
        views = [(teacher.drone, student.drone), (teacher.satellite, student.satellite)]
        logits = [softened_kl(t.logits[0], s.logits[3], 4.0).item() for t, s in views]
        features = [step2.features(t.embedding, s.embedding).item() for t, s in views]
        assert terms["cross_logits"].item() == pytest.approx(sum(logits) / 2)
        assert terms["cross_features"].item() == pytest.approx(sum(features) / 2)

    def test_the_teacher_does_not_learn(self) -> None:
        student, teacher = branches(), branches(exits=1, dim=12)
        step2 = CrossDistillation(ObjectiveWeights(), student_dim=8, teacher_dim=12)
        step2(student, teacher, DRONE, SATELLITE).total.backward()
        assert learns(teacher.drone) == learns(teacher.satellite) == ([False], False)
        assert learns(student.drone) == learns(student.satellite) == ([True] * 4, True)

    def test_holds_the_temperature_and_the_projector_for_the_optimiser(self) -> None:
        step2 = CrossDistillation(ObjectiveWeights(), student_dim=8, teacher_dim=12)
        assert {name: tuple(p.shape) for name, p in step2.named_parameters()} == {
            "step1.info_nce.log_temperature": (),
            "features.projector.weight": (12, 8),
        }

    def test_refuses_a_teacher_without_weight(self) -> None:
        with pytest.raises(UsageError, match=r"cross: is 0.*train step 1"):
            CrossDistillation(ObjectiveWeights(cross=0.0), student_dim=8, teacher_dim=12)

    def test_descends_on_random_outputs(self) -> None:
        student, teacher = branches(), branches(exits=1, dim=12)
        step2 = CrossDistillation(ObjectiveWeights(), student_dim=8, teacher_dim=12)
        leaves = [*student.drone.logits, *student.satellite.logits, *step2.parameters()]
        optimiser = torch.optim.SGD(leaves, lr=0.05)
        totals = []
        for _ in range(5):
            optimiser.zero_grad()
            loss = step2(student, teacher, DRONE, SATELLITE)
            loss.total.backward()
            optimiser.step()
            totals.append(loss.total.item())
        assert totals == sorted(totals, reverse=True)
        assert totals[-1] < totals[0]
