"""Whole runs on tiny places: the paper's three steps, what they note, when they stop, export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import timm  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import dataset_twins  # noqa: E402
import training_ranks  # noqa: E402
from conftest import REPOSITORY  # noqa: E402
from mobilegeo.cli import app  # noqa: E402
from mobilegeo.encoder.onnx import OnnxEncoder  # noqa: E402
from mobilegeo.errors import MissingExtraError, ResourceError, UsageError  # noqa: E402
from mobilegeo.learn.checkpoint import NETWORK_FILE  # noqa: E402
from mobilegeo.learn.export.run import Request, export  # noqa: E402
from mobilegeo.learn.models.saved import load_network  # noqa: E402
from mobilegeo.learn.models.student import Student  # noqa: E402
from mobilegeo.learn.train import train  # noqa: E402
from mobilegeo.learn.training import log, loop  # noqa: E402
from mobilegeo.learn.training.config import load_config  # noqa: E402
from mobilegeo.learn.training.data.opening import open_training_data  # noqa: E402
from mobilegeo.learn.training.data.training import TrainingData  # noqa: E402
from mobilegeo.learn.training.data.validation import ValidationData  # noqa: E402
from mobilegeo.learn.training.learner import input_size_px  # noqa: E402
from mobilegeo.learn.training.preparation import prepare  # noqa: E402
from mobilegeo.learn.training.validation import (  # noqa: E402
    feature_statistics,
    places_alike,
    validate,
)
from training_kit import CONFIG, TEACHER, write_config  # noqa: E402

TEACHER_CONFIG = TEACHER + CONFIG[CONFIG.index("[data]") :] + "\n[loss]\nfisd = 0\nce_exit = 0\n"
STEP_2 = CONFIG.replace("self_distillation", "cross_distillation").replace(
    'out = "run"',
    'out = "step2"\nstart = "run/network.safetensors"\n'
    'teacher_network = "teacher/network.safetensors"',
)
CONFIGS = [
    REPOSITORY / "configs" / f"{dataset}_{step}.toml"
    for dataset in ("university1652", "sues200")
    for step in ("step1", "teacher", "step2")
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(config: Path, *overrides: str) -> list[str]:
    """Trains and returns what was told."""
    told: list[str] = []
    train(config, overrides, tell=told.append, advance=lambda *_: None)
    return told


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a student, a teacher and a student taught by it."""
    folder = tmp_path_factory.mktemp("steps")
    trained(write_config(folder))
    trained(write_config(folder, TEACHER_CONFIG, "teacher.toml"))
    trained(write_config(folder, STEP_2, "step2.toml"))
    return folder


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


STEP_1_TERMS = ["cross_entropy", "fisd", "triplet", "info_nce", "uapa"]


@pytest.mark.parametrize(
    ("run", "terms"),
    [
        ("run", STEP_1_TERMS),
        ("teacher", ["cross_entropy", "triplet", "info_nce", "uapa"]),
        ("step2", [*STEP_1_TERMS, "cross_logits", "cross_features"]),
    ],
)
def test_each_step_notes_every_term_by_name(steps: Path, run: str, terms: list[str]) -> None:
    lines = metrics(steps / run)
    assert [line["epoch"] for line in lines] == [1, 2]
    assert [line["step"] for line in lines] == [3, 6]
    assert list(lines[0]) == [
        "step",
        "epoch",
        *(f"loss/{name}" for name in ("total", *terms)),
        "learning_rate",
        "temperature",
        "images_per_s",
        "validation/R@1",
        "validation/R@5",
        "validation/AP",
    ]
    assert all(np.isfinite(list(line.values())).all() for line in lines)


def test_a_longer_run_learns(tmp_path: Path) -> None:
    trained(
        write_config(tmp_path),
        "schedule.epochs=20",
        "schedule.evaluate_every=20",
        "sampling.places_per_batch=6",
        "optimiser.learning_rate=1e-2",
        "optimiser.trunk_factor=1",
        "data.augmentation=none",
    )
    losses = [line["loss/total"] for line in metrics(tmp_path / "run")]
    assert losses[-1] < 0.6 * losses[0]


def test_the_networks_know_what_they_are(steps: Path) -> None:
    student, teacher, taught = (
        load_network(steps / run / "network.safetensors") for run in ("run", "teacher", "step2")
    )
    assert [s.kind for s in (student, teacher, taught)] == ["student", "teacher", "student"]
    assert student.places == 6
    assert student.places_sha256 == teacher.places_sha256 == taught.places_sha256
    assert teacher.features is None
    assert len(student.features.mean) == 48


def test_step_2_starts_from_step_1(steps: Path, tmp_path: Path) -> None:
    config = write_config(steps, STEP_2, "still.toml")
    trained(
        config, f"out={tmp_path / 'still'}", "optimiser.learning_rate=1e-12", "schedule.epochs=1"
    )
    start, end = (
        load_network(path / "network.safetensors").network.state_dict()
        for path in (steps / "run", tmp_path / "still")
    )
    for name in ("classifier.2.weight", "embedder.trunk.stem_0.weight"):
        torch.testing.assert_close(end[name], start[name], rtol=1e-5, atol=1e-8)


class TestRefusals:
    def test_a_teacher_of_other_places(self, steps: Path, tmp_path: Path) -> None:
        with pytest.raises(
            ResourceError, match=r"network\.safetensors: was trained on other places \(6\) than"
        ):
            trained(
                write_config(steps, STEP_2, "other.toml"),
                f"out={tmp_path}",
                "data.validation_share=0.5",
            )

    def test_a_student_as_teacher(self, steps: Path, tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match="holds a student, not a teacher; give what the te"):
            trained(
                write_config(steps, STEP_2, "wrong.toml"),
                f"out={tmp_path}",
                "teacher_network=run/network.safetensors",
            )

    def test_a_start_of_another_size(self, steps: Path, tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match="holds another network than the configuration"):
            trained(
                write_config(steps, STEP_2, "size.toml"),
                f"out={tmp_path}",
                "student.embedding_dim=8",
            )

    def test_a_missing_teacher(self, steps: Path, tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match=r"none\.safetensors: is not a readable checkpoint"):
            trained(
                write_config(steps, STEP_2, "none.toml"),
                f"out={tmp_path}",
                "teacher_network=none.safetensors",
            )

    def test_more_accumulation_than_batches(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"is 4, an epoch has 3 batches; lower it"):
            trained(write_config(tmp_path), "memory.accumulation=4")

    def test_gradient_checkpointing_that_timm_lacks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lacking(*_: object) -> None:
            raise AssertionError("gradient checkpointing not supported")

        features = type(timm.create_model("test_convnext", features_only=True))
        monkeypatch.setattr(features, "set_grad_checkpointing", lacking)
        with pytest.raises(UsageError, match="not something that timm offers for test_convnext"):
            trained(write_config(tmp_path), "memory.grad_checkpointing=true")

    @pytest.mark.parametrize("size", ["", "size_px = 32"])
    def test_an_unknown_backbone(self, tmp_path: Path, size: str) -> None:
        text = CONFIG.replace("test_convnext", "no_such_net").replace("size_px = 32", size)
        with pytest.raises(UsageError, match=r"no_such_net: .*choose a name from timm"):
            trained(write_config(tmp_path, text))

    @pytest.mark.parametrize("task", ["", 'task = "teach"'])
    def test_an_unknown_task(self, tmp_path: Path, task: str) -> None:
        text = CONFIG.replace('task = "self_distillation"', task)
        with pytest.raises(UsageError, match=r"tiny\.toml: has task .*write task = one of: self_d"):
            trained(write_config(tmp_path, text))


def test_gradient_checkpointing_changes_no_weight(steps: Path, tmp_path: Path) -> None:
    found = []
    for number, on in enumerate(("false", "true")):
        out = tmp_path / str(number)
        trained(
            write_config(steps, name=f"gc{number}.toml"),
            f"out={out}",
            f"memory.grad_checkpointing={on}",
            "schedule.epochs=1",
            "schedule.warmup_epochs=0",
        )
        found.append(load_network(out / "network.safetensors").network.state_dict())
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_costs_are_told_before_training(tmp_path: Path) -> None:
    told = trained(write_config(tmp_path), "schedule.epochs=1", "schedule.warmup_epochs=0")
    assert re.match(
        r"test_convnext: 0\.21 M parameters, 0\.00 G multiply-adds at 32 px as deployed; "
        r"in training 0\.21 M parameters, of which 0\.21 M learn",
        told[0],
    )
    assert told[1].startswith("epoch 1: loss/total ")


def test_the_input_is_as_large_as_the_larger_network_wants(steps: Path) -> None:
    config = write_config(steps, STEP_2, "input.toml")
    assert input_size_px(load_config(config)) == 32
    assert input_size_px(load_config(config, ["student.backbone.size_px=64"])) == 64
    assert input_size_px(load_config(config, ["student.backbone.size_px=16"])) == 32
    text = STEP_2.replace('"test_convnext"', '"convnext_tiny.fb_in22k"').replace("size_px = 32", "")
    assert input_size_px(load_config(write_config(steps, text, "input.toml"))) == 224


class TestValidation:
    @pytest.fixture
    def opened(self, tmp_path: Path) -> tuple[TrainingData, ValidationData]:
        config = load_config(write_config(tmp_path))
        training, validation = open_training_data(
            config.data, config.sampling, size_px=32, seed=config.seed
        )
        assert validation is not None
        return training, validation

    @staticmethod
    def embedded(network: Student, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return network.eval().embed(prepare(images, network.preprocessing))

    def test_is_the_share_of_drone_views_whose_nearest_tile_is_right(
        self, opened: tuple[TrainingData, ValidationData]
    ) -> None:
        _, validation = opened
        network = training_ranks.student("test_convnext")
        found = validate(network, validation, torch.device("cpu"), nullcontext)
        query, gallery = (
            self.embedded(network, torch.cat(list(images.chunks())))
            for images in (validation.query, validation.gallery)
        )
        nearest = (query @ gallery.T).argmax(dim=1).numpy()
        right = validation.gallery.labels[nearest] == validation.query.labels
        assert found["R@1"] == pytest.approx(right.mean())
        assert found["R@5"] == 1.0

    def test_places_alike_are_the_nearest_tiles(
        self, opened: tuple[TrainingData, ValidationData]
    ) -> None:
        training, _ = opened
        network = training_ranks.student("test_convnext")
        found = places_alike(network, training, 2, torch.device("cpu"), nullcontext)
        images = torch.cat([images for _, images in training.reference_views()])
        embeddings = self.embedded(network, images)
        likeness = (embeddings @ embeddings.T).fill_diagonal_(-2)
        assert found.tolist() == likeness.topk(2, dim=1).indices.tolist()

    def test_statistics_are_those_of_all_cells(
        self, opened: tuple[TrainingData, ValidationData]
    ) -> None:
        training, _ = opened
        network = training_ranks.student("test_convnext")
        found = feature_statistics(network, training, torch.device("cpu"))
        images = torch.cat([images for _, images in training.reference_views()])
        with torch.no_grad():
            cells = network.embedder.trunk(prepare(images, network.preprocessing))[-2]
        cells = cells.transpose(0, 1).flatten(1)
        torch.testing.assert_close(found.mean, cells.mean(dim=1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.std, cells.std(dim=1, correction=0), rtol=1e-3, atol=1e-5)


class TestStopping:
    def scores(self, monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
        left = iter(values)

        def scored(*_: object) -> dict[str, float]:
            value = next(left)
            return {"R@1": value, "R@5": 1.0, "AP": 1.0 - value}

        monkeypatch.setattr(loop, "validate", scored)

    def test_early_when_the_metric_no_longer_improves(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.scores(monkeypatch, [0.2, 0.5, 0.5, 0.4])
        told = trained(write_config(tmp_path), "schedule.epochs=9", "schedule.patience=2")
        assert [line["validation/R@1"] for line in metrics(tmp_path / "run")] == [
            0.2,
            0.5,
            0.5,
            0.4,
        ]
        assert told[-1] == "stopped early: the best R@1, 0.5, is 2 evaluations old"
        assert (
            trained(tmp_path / "tiny.toml", "schedule.epochs=9", "schedule.patience=2")[-1]
            == (told[-1])
        )

    def test_the_best_network_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.scores(monkeypatch, [0.5, 0.2])
        trained(write_config(tmp_path))
        best = load_network(tmp_path / "run" / "network.safetensors").network.state_dict()
        first, last = (
            load_network(tmp_path / "run" / f"step-000000{k}.safetensors").network.state_dict()
            for k in (3, 6)
        )
        assert all(torch.equal(best[name], first[name]) for name in best)
        assert not torch.equal(best["classifier.2.weight"], last["classifier.2.weight"])

    def test_by_another_metric_and_not_each_epoch(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.scores(monkeypatch, [0.5, 0.2])
        trained(
            write_config(tmp_path),
            "schedule.metric=AP",
            "schedule.epochs=3",
            "schedule.evaluate_every=2",
        )
        lines = metrics(tmp_path / "run")
        assert ["validation/AP" in line for line in lines] == [False, True, True]
        best = load_network(tmp_path / "run" / "network.safetensors").network.state_dict()
        last = load_network(tmp_path / "run" / "step-0000009.safetensors").network.state_dict()
        assert all(torch.equal(best[name], last[name]) for name in best)


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path)
    real = loop.Stepper.take

    def poisoned(self: loop.Stepper, batches: object, step: int) -> dict[str, float]:
        if step == 4:
            with torch.no_grad():
                self.learner.network.classifier[2].weight.fill_(float("nan"))
        return real(self, batches, step)

    monkeypatch.setattr(loop.Stepper, "take", poisoned)
    with pytest.raises(ResourceError, match="step 5: the loss is not finite: cross_entropy = nan"):
        trained(config)
    assert [p.name for p in (tmp_path / "run").glob("step-*")] == ["step-0000003.safetensors"]
    network = load_network(tmp_path / "run" / "step-0000003.safetensors").network
    assert all(torch.isfinite(t).all() for t in network.state_dict().values())


class TestLog:
    def test_tensorboard_has_every_value(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        trained(write_config(tmp_path), "logging.tensorboard=true")
        events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
        events.Reload()
        lines = metrics(tmp_path / "run")
        for name in ("loss/fisd", "validation/AP", "learning_rate"):
            found = [(e.step, e.value) for e in events.Scalars(name)]
            assert found == [(line["step"], pytest.approx(line[name])) for line in lines]

    def test_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(
            MissingExtraError, match=r"logging\.tensorboard: needs the package .*set logging\.ten"
        ):
            log.RunLog(tmp_path, 0, tensorboard=True)

    def test_drops_lines_of_steps_that_are_taken_again(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        path.write_text('{"step": 3}\n{"step": 6}\n{"step": 9}\n{"ste')
        log.RunLog(tmp_path, 6, tensorboard=False).write(9, {"epoch": 3})
        assert path.read_text() == '{"step": 3}\n{"step": 6}\n{"step": 9, "epoch": 3}\n'


@pytest.fixture(scope="module")
def encoder_file(steps: Path) -> Path:
    return export(Request(str(steps / "run" / "network.safetensors"), steps / "tiny.onnx")).path


class TestExport:
    def test_a_student_becomes_an_encoder(self, steps: Path, encoder_file: Path) -> None:
        saved = load_network(steps / "run" / "network.safetensors")
        encoder = OnnxEncoder(encoder_file)
        spec = encoder.spec
        assert (spec.model_id, spec.size_px, spec.embedding_dim) == ("tiny", 32, 16)
        assert (spec.feature_dim, spec.feature_stride_px, spec.multiple_px) == (48, 16, 32)
        assert spec.feature_halo_px % 32 == 0
        for shape in ((3, 32, 32), (1, 96, 64)):
            images = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
            found = encoder.encode(images)
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0
            pixels = (pixels - 0.5) / 0.5
            with torch.no_grad():
                embedding = saved.network.embed(pixels).numpy()
                stage = saved.network.embedder.trunk(pixels)[-2]
            mean, std = saved.features.mean[:, None, None], saved.features.std[:, None, None]
            features = ((stage - mean) / std).permute(0, 2, 3, 1).numpy()
            assert (found.embedding * embedding).sum(axis=1).min() > 1 - 1e-5
            np.testing.assert_allclose(found.features, features, atol=2e-3)

    def test_features_do_not_depend_on_where_the_image_is_cut(self, encoder_file: Path) -> None:
        spec = OnnxEncoder(encoder_file).spec
        session = onnxruntime.InferenceSession(encoder_file)
        side = 2 * spec.feature_halo_px + 64
        noise = np.random.default_rng(2).standard_normal((1, 3, side + 32, side)).astype(np.float32)
        cells = spec.feature_halo_px // 16
        cut = slice(cells, cells + 4)
        (whole,) = session.run(["features"], {"image": noise})
        (lower,) = session.run(["features"], {"image": noise[:, :, 32:]})
        np.testing.assert_allclose(whole[0, :, 2:][:, cut, cut], lower[0, :, cut, cut], atol=1e-4)

    def test_refuses_a_teacher(self, steps: Path, tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match="holds a teacher; distil it into a student"):
            export(Request(str(steps / "teacher" / "network.safetensors"), tmp_path / "x.onnx"))

    def test_refuses_a_checkpoint_without_statistics(self, steps: Path, tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match=r"does not tell mean .* network\.safetensors in"):
            export(Request(str(steps / "run" / "step-0000006.safetensors"), tmp_path / "x.onnx"))

    def test_refuses_features_that_see_everything(self, tmp_path: Path) -> None:
        text = CONFIG.replace("test_convnext", "repvit_m0_9")
        trained(write_config(tmp_path, text), "schedule.epochs=1", "schedule.warmup_epochs=0")
        with pytest.raises(UsageError, match=r"features: depend on the whole image.*convnext_\*"):
            export(Request(str(tmp_path / "run" / "network.safetensors"), tmp_path / "x.onnx"))


SMALL = (
    "student.backbone.name=test_convnext",
    "student.backbone.pretrained=false",
    "student.backbone.size_px=32",
)
SMALL_TEACHER = tuple(
    override.replace("student", "teacher").replace("convnext", "vit") for override in SMALL
)
TWIN = (
    "sampling.places_per_batch=2",
    "sampling.hard_from_epoch=0",
    "schedule.epochs=1",
    "schedule.warmup_epochs=0",
    "logging.tensorboard=false",
    "data.workers=1",
)


@pytest.mark.parametrize("dataset", ["university1652", "sues200"])
def test_the_papers_configurations_run_on_the_twin(dataset: str, tmp_path: Path) -> None:
    root = dataset_twins.WRITERS[dataset](tmp_path / "twin")
    shared = (*TWIN, f"data.root={root}")
    for step, small in (("step1", SMALL), ("teacher", SMALL_TEACHER), ("step2", SMALL)):
        overrides = [*shared, *small, f"out={tmp_path / step}"]
        if step == "step2":
            overrides += [
                f"start={tmp_path / 'step1' / NETWORK_FILE}",
                f"teacher_network={tmp_path / 'teacher' / NETWORK_FILE}",
            ]
        arguments = ["learn", "train", str(REPOSITORY / f"configs/{dataset}_{step}.toml")]
        for override in overrides:
            arguments += ["--set", override]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        assert result.stdout.strip() == str(tmp_path / step / NETWORK_FILE)
        assert load_network(tmp_path / step / NETWORK_FILE).places == 3
    assert "loss/cross_features" in metrics(tmp_path / "step2")[0]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_papers_settings(path: Path) -> None:
    config = load_config(path)
    assert config.network.backbone.size_px == 224
    assert config.network.backbone.pretrained
    assert config.network.backbone.name in timm.list_pretrained()
    sampling = config.sampling
    assert (sampling.places_per_batch, sampling.drone_views) == (8, 4)
    weights = config.loss
    assert (weights.triplet, weights.info_nce, weights.uapa) == (1.0, 0.5, 0.2)
    if config.task != "teacher":
        assert (config.schedule.epochs, config.schedule.warmup_epochs) == (120, 5)
        assert (weights.ce_final, weights.ce_exit, weights.fisd) == (1.0, 0.25, 0.5)
        assert config.network.backbone.name == "convnext_tiny.fb_in22k"
