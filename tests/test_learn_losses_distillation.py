"""Losses on predictions: cross-entropy of exits, FISD, UAPA, cross-distillation."""

from __future__ import annotations

import doctest
import math
from collections.abc import Iterator
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck  # noqa: E402
from torch.nn import functional  # noqa: E402

from mobilegeo.errors import UsageError  # noqa: E402
from mobilegeo.learn.losses import cross, divergence, exits, fisd, uapa  # noqa: E402
from mobilegeo.learn.losses.cross import FeatureDistillation, LogitDistillation  # noqa: E402
from mobilegeo.learn.losses.divergence import softened_kl  # noqa: E402
from mobilegeo.learn.losses.exits import ExitCrossEntropy  # noqa: E402
from mobilegeo.learn.losses.fisd import FISD  # noqa: E402
from mobilegeo.learn.losses.uapa import UAPA, mean_entropy  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [p / sum(powers) for p in powers]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def by_hand(teacher: list[float], student: list[float], temperature: float) -> float:
    return temperature**2 * kl(softmax(teacher, temperature), softmax(student, temperature))


def double(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("module", [divergence, exits, fisd, uapa, cross], ids=lambda m: m.__name__)
def test_examples_of_the_docstrings_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 1
    assert result.failed == 0


class TestSoftenedKl:
    def test_is_the_mean_over_rows_calculated_by_hand(self) -> None:
        teacher, student = [[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]], [[0.0, 1.0, 1.0], [2.0, 0.0, 0.0]]
        expected = (by_hand(teacher[0], student[0], 3.0) + by_hand(teacher[1], student[1], 3.0)) / 2
        found = softened_kl(torch.tensor(teacher), torch.tensor(student), 3.0)
        assert float(found) == pytest.approx(expected, rel=1e-5)

    def test_agrees_with_the_difference_of_torchs_cross_entropy_and_entropy(self) -> None:
        teacher, student = torch.randn(6, 9).double(), torch.randn(6, 9).double()
        p = (teacher / 4).softmax(1)
        entropy = torch.distributions.Categorical(probs=p).entropy().mean()
        expected = 16 * (functional.cross_entropy(student / 4, p) - entropy)
        assert float(softened_kl(teacher, student, 4.0)) == pytest.approx(float(expected))

    def test_gradient_is_the_closed_form(self) -> None:
        teacher, student = double(5, 7), double(5, 7)
        softened_kl(teacher, student, 4.0).backward()
        expected = 4.0 * ((student / 4).softmax(1) - (teacher / 4).softmax(1)) / 5
        torch.testing.assert_close(student.grad, expected.detach())
        assert teacher.grad is None

    def test_gradient_size_hardly_depends_on_the_temperature(self) -> None:
        teacher, student = double(5, 7), double(5, 7)
        grads = [
            torch.autograd.grad(softened_kl(teacher, student, t), student)[0].norm()
            for t in (50.0, 100.0)
        ]
        assert float(grads[0] / grads[1]) == pytest.approx(1.0, abs=0.05)

    def test_half_precision_is_widened(self) -> None:
        teacher, student = torch.randn(4, 700).bfloat16(), torch.randn(4, 700).bfloat16()
        found = softened_kl(teacher, student, 4.0)
        assert found.dtype == torch.float32
        assert float(found) == float(softened_kl(teacher.float(), student.float(), 4.0))

    def test_extreme_logits_stay_finite(self) -> None:
        teacher = torch.tensor([[1e4, 0.0]])
        student = torch.tensor([[0.0, 1e4]], requires_grad=True)
        loss = softened_kl(teacher, student, 4.0)
        loss.backward()
        assert loss.item() == pytest.approx(16 * 1e4 / 4)
        assert torch.isfinite(student.grad).all()


class TestExitCrossEntropy:
    def test_is_calculated_by_hand(self) -> None:
        logits = ([[0.0, 0.0]], [[math.log(3.0), 0.0]])
        loss = ExitCrossEntropy(final=2.0, shallow=0.5)
        found = loss([torch.tensor(z) for z in logits], torch.tensor([1]))
        assert float(found) == pytest.approx(0.5 * math.log(2.0) + 2.0 * math.log(4.0))

    def test_four_exits_weigh_a_quarter_and_one(self) -> None:
        logits, places = [torch.randn(6, 9) for _ in range(4)], torch.randint(9, (6,))
        ce = [functional.cross_entropy(z, places) for z in logits]
        expected = 0.25 * (ce[0] + ce[1] + ce[2]) + ce[3]
        assert float(ExitCrossEntropy()(logits, places)) == pytest.approx(float(expected))

    def test_one_exit_is_plain_cross_entropy(self) -> None:
        logits, places = torch.randn(6, 9), torch.randint(9, (6,))
        expected = float(functional.cross_entropy(logits, places))
        assert float(ExitCrossEntropy()((logits,), places)) == pytest.approx(expected)

    def test_gradient(self) -> None:
        places = torch.tensor([0, 4, 2])
        loss = ExitCrossEntropy()
        assert gradcheck(lambda *z: loss(z, places), [double(3, 5) for _ in range(4)])


class TestFisd:
    def test_is_calculated_by_hand(self) -> None:
        z = [[0.0, 0.0, 1.0], [1.0, -1.0, 0.0], [2.0, 0.0, 0.5], [0.0, 3.0, 0.0]]
        weighed = [w * by_hand(t, z[3], 4.0) for w, t in zip((0.1, 0.2, 0.3), z, strict=False)]
        found = FISD()([torch.tensor([row]) for row in z])
        assert float(found) == pytest.approx(sum(weighed), rel=1e-5)

    def test_only_the_deepest_exit_learns(self) -> None:
        logits = [double(5, 7) for _ in range(4)]
        FISD()(logits).backward()
        assert [z.grad is None for z in logits] == [True, True, True, False]
        # Σ_k of the gradient is 0: a softmax does not change when all logits rise together.
        assert float(logits[3].grad.abs().sum()) > 1e-3
        torch.testing.assert_close(logits[3].grad.sum(1), torch.zeros(5).double())

    def test_gradient(self) -> None:
        shallow = [torch.randn(3, 5).double() for _ in range(3)]
        assert gradcheck(lambda z: FISD()([*shallow, z]), double(3, 5))

    @pytest.mark.parametrize("exits_given", [1, 3, 5])
    def test_refuses_another_number_of_exits(self, exits_given: int) -> None:
        logits = [torch.randn(2, 3) for _ in range(exits_given)]
        with pytest.raises(UsageError, match=rf"3 lambdas for {exits_given - 1} shallow exits"):
            FISD()(logits)


class TestUapa:
    def test_entropy_of_even_and_of_certain_predictions(self) -> None:
        assert float(mean_entropy(torch.zeros(3, 8))) == pytest.approx(math.log(8.0))
        assert float(mean_entropy(torch.tensor([[500.0, 0.0]]))) == pytest.approx(0.0)

    def test_entropy_agrees_with_torchs_distribution(self) -> None:
        logits = torch.randn(6, 9)
        expected = torch.distributions.Categorical(logits=logits).entropy().mean()
        assert float(mean_entropy(logits)) == pytest.approx(float(expected), rel=1e-6)

    def test_is_calculated_by_hand(self) -> None:
        drone, satellite = [0.0, 0.0], [math.log(3.0), 0.0]
        gap = math.log(2.0) - (math.log(4.0) - 0.75 * math.log(3.0))
        temperature = 4.0 * (1.0 + 1.0 / (1.0 + math.exp(-gap)))
        loss = UAPA()
        given = torch.tensor([drone]), torch.tensor([satellite])
        assert float(loss.temperature(*given)) == pytest.approx(temperature, rel=1e-6)
        expected = by_hand(satellite, drone, temperature)
        assert float(loss(*given)) == pytest.approx(expected, rel=1e-4)

    def test_the_less_sure_the_drone_the_softer_the_target(self) -> None:
        satellite = 5.0 * torch.eye(6)
        temperatures = [
            float(UAPA().temperature(scale * torch.eye(6), satellite)) for scale in (9.0, 5.0, 0.0)
        ]
        assert 4.0 < temperatures[0] < 6.0 < temperatures[2] < 8.0
        assert temperatures[1] == 6.0

    def test_neither_the_satellite_nor_the_temperature_learns(self) -> None:
        drone, satellite = double(5, 7), double(5, 7)
        UAPA()(drone, satellite).backward()
        t = UAPA().temperature(drone, satellite)
        assert not t.requires_grad
        expected = t * ((drone / t).softmax(1) - (satellite / t).softmax(1)) / 5
        torch.testing.assert_close(drone.grad, expected.detach())
        assert satellite.grad is None

    def test_gradient_at_a_fixed_temperature(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(UAPA, "temperature", lambda *_: torch.tensor(5.0).double())
        satellite = torch.randn(3, 5).double()
        assert gradcheck(lambda drone: UAPA()(drone, satellite), double(3, 5))


class TestCrossDistillation:
    def test_logits_are_calculated_by_hand(self) -> None:
        teacher, student = [3.0, 0.0, -1.0], [0.0, 1.0, 0.0]
        found = LogitDistillation()(torch.tensor([teacher]), torch.tensor([student]))
        assert float(found) == pytest.approx(by_hand(teacher, student, 4.0), rel=1e-5)

    def test_features_are_calculated_by_hand(self) -> None:
        loss = FeatureDistillation(2, 3)
        with torch.no_grad():
            loss.projector.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
        student, teacher = torch.tensor([[0.6, 0.8]]), torch.tensor([[0.0, 1.0, 0.0]])
        projected = (1.2, 0.8, 0.6)
        squared = (1.2**2 + 0.2**2 + 0.6**2) / 3
        cosine = 0.8 / math.hypot(*projected)
        assert loss(teacher, student).item() == pytest.approx(squared + 1.0 - cosine, rel=1e-6)

    def test_a_right_projector_leaves_no_loss(self) -> None:
        loss = FeatureDistillation(4, 6).double()
        student = functional.normalize(torch.randn(8, 4).double(), dim=1)
        rotation = torch.linalg.qr(torch.randn(6, 4).double())[0]
        with torch.no_grad():
            loss.projector.weight.copy_(rotation)
        assert loss(student @ rotation.T, student).item() == pytest.approx(0.0, abs=1e-12)

    def test_the_teacher_does_not_learn_and_the_projector_does(self) -> None:
        loss = FeatureDistillation(4, 6).double()
        teacher, student = double(5, 6), double(5, 4)
        loss(teacher, student).backward()
        LogitDistillation()(teacher, double(5, 6)).backward()
        assert teacher.grad is None
        assert float(student.grad.abs().sum()) > 0
        assert float(loss.projector.weight.grad.abs().sum()) > 0

    def test_gradients(self) -> None:
        loss = FeatureDistillation(4, 6).double()
        teacher, logits = torch.randn(3, 6).double(), torch.randn(3, 5).double()
        assert gradcheck(lambda student: loss(teacher, student), double(3, 4))
        assert gradcheck(lambda student: LogitDistillation()(logits, student), double(3, 5))
