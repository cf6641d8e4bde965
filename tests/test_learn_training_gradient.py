"""Gradient caching and accumulation: the gradients are those of the whole batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import training_ranks  # noqa: E402
from mobilegeo.errors import ResourceError, UsageError  # noqa: E402
from mobilegeo.learn.losses.objective import Objective  # noqa: E402
from mobilegeo.learn.models.exits import PlaceOutput  # noqa: E402
from mobilegeo.learn.training import step as step_module  # noqa: E402
from mobilegeo.learn.training.config import MemoryConfig, PrecisionConfig  # noqa: E402
from mobilegeo.learn.training.distributed import Ranks  # noqa: E402
from mobilegeo.learn.training.gradient import accumulate_gradients  # noqa: E402
from mobilegeo.learn.training.learner import split  # noqa: E402
from mobilegeo.learn.training.step import Stepper  # noqa: E402

ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


class Plain(nn.Module):
    """No batch norm: each image for itself."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.GELU(), nn.LayerNorm(8))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> PlaceOutput:
        features = self.dropout(self.body(images / 255))
        return PlaceOutput((self.classifier(features),), nn.functional.normalize(features, dim=1))


def joint_loss(output: PlaceOutput) -> Objective:
    """Every image against every other, so that a chunk alone cannot know it."""
    likeness = torch.logsumexp(output.embedding @ output.embedding.T / 0.1, dim=1).mean()
    spread = output.final_logits.logsumexp(dim=0).mean()
    return Objective(likeness + spread, {"likeness": likeness, "spread": spread})


def unscaled(total: Tensor) -> Tensor:
    return total


def gradients(
    network: nn.Module, chunk: int, images: Tensor, loss: Callable[[PlaceOutput], Objective]
) -> tuple[float, dict[str, Tensor]]:
    network.zero_grad()
    objective = accumulate_gradients(network, network, loss, unscaled, images, chunk)
    return objective.total.item(), {n: p.grad.clone() for n, p in network.named_parameters()}


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 9, 10, 11])
def test_cached_gradients_are_those_of_the_whole_batch(chunk: int) -> None:
    network, images = Plain(), torch.randint(0, 256, (10, 3, 2, 2), dtype=torch.uint8)
    total, expected = gradients(network, 0, images, joint_loss)
    cached_total, found = gradients(network, chunk, images, joint_loss)
    assert cached_total == pytest.approx(total, rel=1e-6)
    assert float(expected["body.1.weight"].abs().sum()) > 0
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-7)


def test_the_second_run_replays_the_firsts_dropout() -> None:
    network, images = Plain(0.5), torch.randint(0, 256, (10, 3, 2, 2), dtype=torch.uint8)
    seen: list[PlaceOutput] = []

    def watched(part: Tensor) -> PlaceOutput:
        seen.append(network(part))
        return seen[-1]

    accumulate_gradients(network, watched, joint_loss, unscaled, images, 4)
    assert [len(out.embedding) for out in seen] == [4, 3, 3, 4, 3, 3]
    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first.embedding, second.embedding)
        assert not first.embedding.requires_grad
        assert second.embedding.requires_grad


def test_with_batch_norm_it_is_a_joint_loss_over_chunks() -> None:
    """The same as keeping all chunks' graphs: gradients, and statistics noted once a chunk."""
    network = training_ranks.student("test_convnext").train()
    kept = copy.deepcopy(network)
    images = torch.randint(0, 256, (12, 3, 64, 64), dtype=torch.uint8)

    def forward(part: Tensor) -> PlaceOutput:
        out: PlaceOutput = network(part / 255)
        return out

    accumulate_gradients(network, forward, joint_loss, unscaled, images, 6)
    chunks = [kept(images[first::2] / 255) for first in range(2)]
    order = torch.argsort(torch.cat([torch.arange(first, 12, 2) for first in range(2)]))
    logits = tuple(torch.cat(z)[order] for z in zip(*(c.logits for c in chunks), strict=True))
    embedding = torch.cat([c.embedding for c in chunks])[order]
    joint_loss(PlaceOutput(logits, embedding)).total.backward()
    found = dict(network.named_parameters())
    for name, parameter in kept.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name].grad, parameter.grad, rtol=1e-4, atol=1e-6)
    for name, buffer in kept.named_buffers():
        torch.testing.assert_close(dict(network.named_buffers())[name], buffer)


def stepper(accumulation: int = 1, **changes: object) -> Stepper:
    config = replace(training_ranks.config(accumulation), **changes)
    return Stepper(config, training_ranks.learner("convnext"), ALONE)


def test_accumulated_gradient_is_the_mean_over_batches() -> None:
    batches = [training_ranks.joint_batch(seed) for seed in (0, 1)]
    found = stepper(2)
    values = found.take(batches, step=0)
    alone = [stepper() for _ in batches]
    singles = [s.take([batch], step=0) for s, batch in zip(alone, batches, strict=True)]
    assert values["triplet"] == pytest.approx((singles[0]["triplet"] + singles[1]["triplet"]) / 2)
    parameters = [dict(s.learner.network.named_parameters()) for s in (found, *alone)]
    for name, parameter in parameters[0].items():
        mean = (parameters[1][name].grad + parameters[2][name].grad) / 2
        torch.testing.assert_close(parameter.grad, mean, rtol=1e-4, atol=1e-6)


def test_terms_are_told_by_name_and_add_up() -> None:
    values = stepper().take([training_ranks.joint_batch()], step=0)
    weights = {"cross_entropy": 1, "fisd": 0.5, "triplet": 1, "info_nce": 0.5, "uapa": 0.2}
    assert list(values) == ["total", *weights]
    assert values["total"] == pytest.approx(sum(w * values[n] for n, w in weights.items()))


def test_a_step_depends_on_its_number_not_on_what_was_drawn_before() -> None:
    def after(step: int, noise: int) -> Tensor:
        made = stepper()
        for module in made.learner.network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.5
        torch.rand(noise)
        made.take([training_ranks.joint_batch()], step)
        return made.learner.network.classifier[2].weight.grad.clone()

    assert torch.equal(after(3, noise=0), after(3, noise=7))
    assert not torch.equal(after(3, noise=0), after(4, noise=0))


def test_bf16_is_near_float32_and_losses_stay_float32() -> None:
    exact = stepper().take([training_ranks.joint_batch()], step=0)
    half = stepper(precision=PrecisionConfig("bf16")).take([training_ranks.joint_batch()], step=0)
    assert half["cross_entropy"] == pytest.approx(exact["cross_entropy"], rel=0.02)
    assert half != exact


def test_fp16_without_a_gpu_is_refused() -> None:
    with pytest.raises(UsageError, match=r"precision\.mode: is fp16, which needs a GPU; set it to"):
        stepper(precision=PrecisionConfig("fp16"))


def test_step_2_teaches_and_leaves_the_teacher_alone() -> None:
    made = Stepper(training_ranks.config(), training_ranks.learner("step_2"), ALONE)
    teacher = made.learner.teacher
    before = {name: t.clone() for name, t in teacher.state_dict().items()}
    values = made.take([training_ranks.joint_batch()], step=0)
    assert list(values)[-2:] == ["cross_logits", "cross_features"]
    assert all(torch.equal(t, before[name]) for name, t in teacher.state_dict().items())
    assert not teacher.training
    assert made.learner.objective.features.projector.weight.grad.abs().sum() > 0


def test_the_teachers_outputs_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    taught = []
    for chunk in (0, 5):
        made = Stepper(
            replace(training_ranks.config(), memory=MemoryConfig(chunk_images=chunk)),
            training_ranks.learner("step_2"),
            ALONE,
        )
        real = made.learner.loss
        monkeypatch.setattr(
            made.learner,
            "loss",
            lambda own, t, batch, real=real: (taught.append(t), real(own, t, batch))[1],
        )
        made.take([training_ranks.joint_batch()], step=0)
    for view in ("drone", "satellite"):
        one, other = (getattr(t, view) for t in taught)
        torch.testing.assert_close(one.embedding, other.embedding)
        torch.testing.assert_close(one.final_logits, other.final_logits)


def test_split_puts_drone_views_first() -> None:
    out = PlaceOutput((torch.arange(5)[:, None],), torch.arange(5)[:, None])
    branches = split(out, 3)
    assert branches.drone.embedding.flatten().tolist() == [0, 1, 2]
    assert branches.satellite.final_logits.flatten().tolist() == [3, 4]


class TestFaults:
    @pytest.mark.parametrize(
        "error",
        [
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        ],
        ids=["gpu", "linux", "windows"],
    )
    def test_a_lack_of_memory_is_explained(
        self, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
    ) -> None:
        def full(*_: object) -> None:
            raise error

        monkeypatch.setattr(step_module, "accumulate_gradients", full)
        with pytest.raises(
            ResourceError, match=r"step 8: memory ran out with 12 images a batch; lower sampling"
        ):
            stepper().take([training_ranks.joint_batch()], step=7)

    def test_other_errors_pass_as_they_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("shapes do not fit")

        monkeypatch.setattr(step_module, "accumulate_gradients", broken)
        with pytest.raises(RuntimeError, match="shapes do not fit"):
            stepper().take([training_ranks.joint_batch()], step=7)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_a_loss_that_is_not_finite_names_step_and_terms(self, value: float) -> None:
        made = stepper(precision=PrecisionConfig("bf16"))
        weights = made.learner.network.classifier[2].weight
        with torch.no_grad():
            weights[0, 0] = value
        before = made.learner.network.exits[0][1][2].weight.clone()
        with pytest.raises(
            ResourceError,
            match=r"step 5: the loss is not finite: cross_entropy = nan, fisd = nan, uapa = nan; "
            r"the last checkpoint is sound: lower .* or set precision.mode to off",
        ):
            made.take([training_ranks.joint_batch()], step=4)
        assert torch.equal(made.learner.network.exits[0][1][2].weight, before)

    def test_a_gradient_that_is_not_finite_moves_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = stepper()
        weights = made.learner.network.classifier[2].weight
        weights.register_hook(lambda gradient: gradient * float("inf"))
        before = weights.detach().clone()
        with pytest.raises(
            ResourceError, match=r"step 1: the gradient's norm is (nan|inf); the last"
        ):
            made.take([training_ranks.joint_batch()], step=0)
        assert torch.equal(weights, before)
