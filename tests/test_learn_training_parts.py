"""The parts of a training run: configuration, images, optimiser, schedule, moving average."""

from __future__ import annotations

import copy
import doctest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torchvision.transforms import v2  # noqa: E402

import training_ranks  # noqa: E402
from mobilegeo.errors import UsageError  # noqa: E402
from mobilegeo.learn.configuration import read_toml, record  # noqa: E402
from mobilegeo.learn.losses.objective import CrossDistillation, ObjectiveWeights  # noqa: E402
from mobilegeo.learn.models.timm_model import Preprocessing  # noqa: E402
from mobilegeo.learn.training import optimiser  # noqa: E402
from mobilegeo.learn.training.average import MovingAverage  # noqa: E402
from mobilegeo.learn.training.config import (  # noqa: E402
    OptimiserConfig,
    ScheduleConfig,
    TrainingConfig,
    load_config,
)
from mobilegeo.learn.training.optimiser import (  # noqa: E402
    build_optimiser,
    schedule,
    set_learning_rate,
)
from mobilegeo.learn.training.preparation import prepare  # noqa: E402
from training_kit import CONFIG, TEACHER  # noqa: E402


def config_of(folder: Path, text: str = CONFIG, *overrides: str) -> TrainingConfig:
    path = folder / "tiny.toml"
    path.write_text(text)
    return load_config(path, overrides)


class TestConfig:
    def test_paths_are_relative_to_the_file(self, tmp_path: Path) -> None:
        config = config_of(tmp_path)
        assert config.out == tmp_path / "run"
        assert config.data.root == tmp_path / "data"

    def test_overrides_are_typed_as_in_the_file(self, tmp_path: Path) -> None:
        config = config_of(
            tmp_path,
            CONFIG,
            "optimiser.learning_rate=2",
            "student.backbone.name=convnext_atto",
            'model_id = "a=b"',
            "logging.tensorboard=true",
        )
        assert config.optimiser.learning_rate == 2.0
        assert isinstance(config.optimiser.learning_rate, float)
        assert config.student is not None
        assert config.student.backbone.name == "convnext_atto"
        assert config.model_id == "a=b"
        assert config.logging.tensorboard

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("sed=1", r"tiny\.toml: has unknown keys \['sed'\]; remove them; the known ones are"),
            ("student.depth=1", r"tiny\.toml \[student\]: has unknown keys \['depth'\]"),
            ("student.backbone.nam=1", r"\[student\.backbone\]: has unknown keys \['nam'\]"),
            ("seed=1.5", r"tiny\.toml: seed is 1\.5; give a whole number"),
            ("seed=true", r"seed is True; give a whole number"),
            ("precision.mode=fp8", r"\[precision\]: mode is 'fp8'; give one of bf16, fp16, off"),
            ("logging.tensorboard=1", r"\[logging\]: tensorboard is 1; give true or false"),
            ("student.dropout=half", r"\[student\]: dropout is 'half'; give a number"),
            ("data.root=3", r"\[data\]: root is 3; give a path"),
            ("model_id=7", "model_id is 7; give text"),
            ("loss=3", r"tiny\.toml \[loss\]: is 3, not a table"),
            ("task=step1", "task is 'step1'; give one of self_distillation, teacher, cross_dist"),
            ("seed", "--set seed: is no assignment; write it as section.key=value"),
            ("=3", "--set =3: is no assignment"),
            ("seed.x=3", r"--set seed\.x=3: seed is no section"),
            ("optimiser.learning_rate=0", r"optimiser\.learning_rate: is 0\.0; give above 0"),
            ("optimiser.trunk_factor=-1", r"optimiser\.trunk_factor: is -1\.0; give 0 or more"),
            ("schedule.epochs=0", r"schedule\.epochs: is 0; give 1 or more"),
            ("schedule.warmup_epochs=2", r"warmup_epochs: is 2\.0; give fewer than the 2 epochs"),
            ("schedule.ema_decay=1", r"schedule\.ema_decay: is 1\.0; give 0 or up to below 1"),
            ("memory.chunk_images=1", r"memory\.chunk_images: is 1; give 0 or at least 2"),
            ("memory.accumulation=0", r"memory\.accumulation: is 0; give 1 or more"),
            ("teacher_network=x", "task self_distillation: makes no use of teacher_network"),
            ("teacher.dropout=0", "task self_distillation: makes no use of teacher; remove it"),
            (
                "task=cross_distillation",
                "teacher_network is missing; give the file of a fine-tuned",
            ),
            ("task=teacher", r"task teacher: teacher is missing; give a \[teacher\] section"),
        ],
    )
    def test_refuses_what_cannot_be_meant(
        self, tmp_path: Path, override: str, message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            config_of(tmp_path, CONFIG, override)

    def test_refuses_weights_of_exits_that_a_teacher_lacks(self, tmp_path: Path) -> None:
        text = TEACHER + CONFIG[CONFIG.index("[data]") :]
        with pytest.raises(
            UsageError, match=r"loss: has weights for shallow exits.*set fisd and ce"
        ):
            config_of(tmp_path, text)

    def test_refuses_a_missing_key(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"tiny\.toml: cannot be used .*model_id"):
            config_of(tmp_path, CONFIG.replace('model_id = "tiny"', ""))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        ["task", "student", "data", "seed", "backbone", "root", "out", "x"]
                    ),
                    inner,
                )
            ),
        )
    )
    def test_any_table_is_taken_or_refused_with_a_message(self, table: object) -> None:
        with pytest.raises(UsageError):
            record(TrainingConfig, table, "FILE")

    @given(st.text())
    def test_any_override_is_taken_or_refused_with_a_message(self, override: str) -> None:
        path = Path(__file__).resolve().parents[1] / "configs" / "sues200_step1.toml"
        try:
            table = read_toml(path, [override])
        except UsageError:
            return
        assert "=" in override
        assert table["task"] == "self_distillation" or override.lstrip().startswith("task")


class TestPreparation:
    FACTS = Preprocessing(8, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0))

    def test_normalises_by_hand(self) -> None:
        images = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
        images[0, 1] = 0
        found = prepare(images, self.FACTS)
        assert found.dtype == torch.float32
        assert found[0, :, 3, 3].tolist() == [1.0, -1.0, 0.5]

    def test_resizes_as_torchvision_does(self) -> None:
        images = torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8)
        found = prepare(images, self.FACTS)
        small = v2.functional.resize(images / 255.0, [8, 8], antialias=True)
        expected = v2.functional.normalize(small, list(self.FACTS.mean), list(self.FACTS.std))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


class TestOptimiser:
    def test_every_parameter_is_in_one_group_that_suits_it(self) -> None:
        network = training_ranks.student("test_convnext")
        objective = CrossDistillation(ObjectiveWeights(), 16, 24)
        adamw = build_optimiser(network, objective, OptimiserConfig(trunk_factor=0.2))
        group_of = {p: g for g in adamw.param_groups for p in g["params"]}
        assert sum(len(g["params"]) for g in adamw.param_groups) == len(group_of)
        named = [*network.named_parameters(), *objective.named_parameters()]
        assert len(named) == len(group_of)
        for name, parameter in named:
            group = group_of[parameter]
            assert group["factor"] == (0.2 if name.startswith("embedder.trunk") else 1.0), name
            assert (group["weight_decay"] > 0) == (parameter.ndim > 1), name
        for name in ("features.projector.weight", "step1.info_nce.log_temperature"):
            assert dict(named)[name] in group_of

    def test_frozen_blocks_are_left_out(self) -> None:
        made = training_ranks.learner("step_2")
        adamw = build_optimiser(made.network, made.objective, OptimiserConfig())
        teacher = set(made.teacher.parameters())
        assert not teacher & {p for g in adamw.param_groups for p in g["params"]}

    def test_each_group_gets_its_share_of_the_learning_rate(self) -> None:
        network = training_ranks.student("test_convnext")
        objective = CrossDistillation(ObjectiveWeights(), 16, 24)
        adamw = build_optimiser(network, objective, OptimiserConfig(trunk_factor=0.2))
        set_learning_rate(adamw, 0.5)
        assert [g["lr"] for g in adamw.param_groups] == [0.1, 0.1, 0.5, 0.5]


class TestSchedule:
    def test_example_of_the_docstring_runs(self) -> None:
        assert doctest.testmod(optimiser).failed == 0

    def test_is_pytorchs_cosine_after_a_linear_rise(self) -> None:
        steps, warmup = 50, 10
        parameter = torch.nn.Parameter(torch.zeros(1))
        sgd = torch.optim.SGD([parameter], lr=1.0)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, steps - warmup)
        assert [schedule(s, steps, warmup) for s in range(warmup)] == [
            pytest.approx((s + 1) / warmup) for s in range(warmup)
        ]
        for step in range(warmup, steps):
            assert schedule(step, steps, warmup) == pytest.approx(cosine.get_last_lr()[0])
            sgd.step()
            cosine.step()

    @given(st.integers(1, 500), st.floats(0, 0.99))
    def test_stays_within_0_and_1_and_peaks_after_the_warm_up(
        self, steps: int, share: float
    ) -> None:
        warmup = int(share * steps)
        rates = [schedule(step, steps, warmup) for step in range(steps)]
        assert min(rates) > 0
        assert max(rates) == rates[warmup] == 1.0

    def test_needs_no_warm_up(self) -> None:
        assert ScheduleConfig(epochs=1, warmup_epochs=0).warmup_epochs == 0
        assert schedule(0, 10, 0) == 1.0


class TestMovingAverage:
    def test_follows_the_recurrence(self) -> None:
        network = training_ranks.student("test_convnext")
        average = MovingAverage(network, decay=0.5)
        weight = network.classifier[2].weight
        expected = weight.detach().clone()
        for step in range(1, 40):
            with torch.no_grad():
                weight += 1.0
            average.update(network, step)
            beta = min(0.5, (1 + step) / (10 + step))
            expected = beta * expected + (1 - beta) * weight.detach()
        torch.testing.assert_close(average.network.classifier[2].weight, expected)

    def test_averages_statistics_and_copies_counters(self) -> None:
        network = training_ranks.student("test_convnext")
        average = MovingAverage(network, decay=0.9)
        network.embedder.head.norm.running_mean.fill_(11.0)
        network.embedder.head.norm.num_batches_tracked.fill_(5)
        average.update(network, step=0)
        norm = average.network.embedder.head.norm
        torch.testing.assert_close(norm.running_mean, torch.full((16,), 11 * 0.9))
        assert int(norm.num_batches_tracked) == 5

    def test_is_a_network_of_its_own_in_evaluation_mode(self) -> None:
        network = training_ranks.student("test_convnext").train()
        average = MovingAverage(network, decay=0.9)
        before = copy.deepcopy(network.state_dict())
        average.update(network, step=1)
        assert not average.network.training
        assert not any(p.requires_grad for p in average.network.parameters())
        assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
