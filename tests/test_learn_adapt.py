"""Adapting an encoder to a map: a whole run on a generated world, with a clock of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnxscript")

from cli_kit import call  # noqa: E402
from mobilegeo.encoder import load_encoder  # noqa: E402
from mobilegeo.errors import ResourceError, UsageError  # noqa: E402
from mobilegeo.learn.adapt import origin as origin_module  # noqa: E402
from mobilegeo.learn.adapt import run as run_module  # noqa: E402
from mobilegeo.learn.adapt import training as training_module  # noqa: E402
from mobilegeo.learn.adapt.budget import Budget  # noqa: E402
from mobilegeo.learn.adapt.origin import open_origin  # noqa: E402
from mobilegeo.learn.adapt.records import Adapted, Request  # noqa: E402
from mobilegeo.learn.adapt.run import adapt  # noqa: E402
from mobilegeo.learn.adapt.training import Fit, between  # noqa: E402
from mobilegeo.learn.checkpoint import read_tensors, tensors_of, write_tensors  # noqa: E402
from mobilegeo.learn.export.network import described, image_spec  # noqa: E402
from mobilegeo.learn.export.onnx import write_onnx  # noqa: E402
from mobilegeo.learn.models.place_encoder import ModelConfig, PlaceEncoder  # noqa: E402
from mobilegeo.locate.calibration import NEUTRAL, Calibration, calibration_for  # noqa: E402
from mobilegeo.world import Appearance, generate_world, render_ortho  # noqa: E402
from mobilegeo.world.geotiff import write_geotiff  # noqa: E402

CONSTANTS = Calibration("0" * 64, NEUTRAL.aligned, NEUTRAL.retrieved)


def silent(stage: str, done: int, total: int) -> None:
    """No progress."""


def ticking(step_s: float = 20.0) -> Callable[[], float]:
    """A clock that advances each time it is looked at, so that no machine is too slow."""
    state = {"now": 0.0}

    def clock() -> float:
        state["now"] += step_s
        return state["now"]

    return clock


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of 240 × 240 m with a surface model, and a tiny encoder, trained on nothing."""
    folder = tmp_path_factory.mktemp("adapt")
    world = generate_world(3, (240.0, 240.0), 0.5)
    corner = (500_000.0, 5_250_000.0)
    write_geotiff(folder / "map.tif", render_ortho(world, Appearance()), "EPSG:32632", corner, 0.5)
    heights = np.asarray(world.surface_m, np.float32)
    write_geotiff(folder / "dsm.tif", heights, "EPSG:32632", corner, world.gsd_m)
    torch.manual_seed(0)
    model = PlaceEncoder(ModelConfig(16, 2, 64, shallow=(1,)), weights=None)
    facts = described(model, "tiny")
    write_tensors(folder / "tiny.safetensors", tensors_of({"model": model}), facts)
    write_onnx(model, image_spec(model, "tiny"), folder / "tiny.onnx")
    return folder


def let_tiny_ship(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """As if the tiny encoder were a shipped one, with a calibration."""
    patch.setattr(origin_module, "SHIPPED", {"tiny": "tiny.onnx"})
    patch.setattr(origin_module, "model_file", lambda _: folder / "tiny.onnx")
    patch.setattr(origin_module, "shipped", lambda _: CONSTANTS)


@pytest.fixture(scope="module")
def done(folder: Path) -> Adapted:
    """A run that starts from the shipped tiny encoder."""
    with pytest.MonkeyPatch.context() as patch:
        let_tiny_ship(folder, patch)
        patch.setattr(run_module, "SURE", 1.0)  # so few photos are held out
        patch.setattr(run_module, "SIMULATED_UNTIL", 0.35)
        patch.setattr(training_module, "LEARNING_RATE", 2e-3)
        request = Request([folder / "map.tif"], folder / "out.onnx", folder / "dsm.tif", "tiny", 1)
        return adapt(request, Budget(14.0, ticking(12.0)), silent)


@pytest.mark.slow
def test_a_run_learns_what_held_out_ground_confirms(done: Adapted) -> None:
    assert done.kept == "adapted"
    assert done.recall.after > done.recall.before
    assert done.fit.last_loss < done.fit.first_loss
    assert (done.map.blocks, done.map.held_out, done.map.with_heights) == (4, 1, 4)
    assert done.seconds <= 14 * 60


@pytest.mark.slow
def test_features_stay_and_embeddings_change(done: Adapted, folder: Path) -> None:
    before, after = load_encoder(folder / "tiny.onnx"), load_encoder(done.path)
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 64, 3), np.uint8)
    image[:, :20] = 0
    assert np.array_equal(before.features(image), after.features(image))
    assert (before.embed(image) * after.embed(image)).sum() < 0.999
    assert after.spec.model_id == "tiny-adapted"
    assert after.spec.derived_from is None
    assert after.sha256 == done.sha256 != before.sha256


@pytest.mark.slow
def test_the_calibration_goes_along_and_belongs_to_the_new_file(done: Adapted) -> None:
    found = calibration_for(load_encoder(done.path))
    assert found.encoder_sha256 == done.sha256
    assert (found.aligned, found.retrieved) == (CONSTANTS.aligned, CONSTANTS.retrieved)


@pytest.mark.slow
def test_the_record_lies_beside(done: Adapted, folder: Path) -> None:
    record = json.loads((folder / "out.adapted.json").read_text())
    assert record == json.loads(json.dumps(done.to_record()))
    assert record["recall"]["after"] == done.recall.after
    assert not [path for path in folder.iterdir() if "partial" in path.name]


def without_learning(head: Any, views: Any, seed: int, stage: Any) -> Fit:
    return Fit(0, 1.0, 1.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Exports that are there already; a head that is adapted must not be exported."""
    monkeypatch.setattr(run_module, "write_placed", lambda *_: None)
    monkeypatch.setattr(
        run_module, "write_onnx", lambda _, __, out: shutil.copy(folder / "tiny.onnx", out)
    )


@pytest.mark.usefixtures("quick")
def test_the_original_is_kept_where_adapting_gains_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "fine_tune", without_learning)
    (tmp_path / "out.calibration.json").write_text("of an earlier file")
    request = Request([folder / "map.tif"], tmp_path / "out.onnx", None, str(tiny(folder)))
    kept = adapt(request, Budget(14.0, ticking()), silent)
    assert (kept.kept, kept.model_id) == ("original", "tiny")
    assert kept.recall.before == kept.recall.after
    assert (tmp_path / "out.onnx").read_bytes() == (folder / "tiny.onnx").read_bytes()
    assert not (tmp_path / "out.calibration.json").exists()
    assert "out.onnx: tiny, as it was: adapting gained nothing that is sure" in kept.summary()


@pytest.mark.usefixtures("quick")
def test_ctrl_c_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Fit:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "fine_tune", interrupted)
    request = Request([folder / "map.tif"], tmp_path / "out.onnx", None, str(tiny(folder)))
    with pytest.raises(KeyboardInterrupt):
        adapt(request, Budget(14.0, ticking()), silent)
    assert list(tmp_path.iterdir()) == []


def tiny(folder: Path) -> Path:
    return folder / "tiny.safetensors"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("minutes", "problem"),
    [
        (1.0, r"--minutes 1: are too few on this machine \(60 s were spent before views of"),
        (4.0, r"--minutes 4: .*\(\d+ views of held-out ground could be simulated, not 64\); "),
        (6.0, r"--minutes 6: .*\(\d+ views to train on could be simulated, not 128\); .* as 18"),
    ],
)
def test_too_few_minutes_are_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, problem: str
) -> None:
    if minutes > 5.0:
        monkeypatch.setattr(run_module, "LEAST_HELD_OUT", 1)
    request = Request([folder / "map.tif"], tmp_path / "out.onnx", None, str(tiny(folder)))
    with pytest.raises(UsageError, match=problem):
        adapt(request, Budget(minutes, ticking()), silent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("inf"), float("nan")])
def test_minutes_have_to_be_a_length_of_time(minutes: float) -> None:
    with pytest.raises(UsageError, match=r"--minutes .* is no length of time"):
        Budget(minutes)


def test_the_name_has_to_be_that_of_an_onnx_file(folder: Path, tmp_path: Path) -> None:
    request = Request([folder / "map.tif"], tmp_path / "out.pt", None, str(tiny(folder)))
    with pytest.raises(UsageError, match=r"does not end in \.onnx"):
        adapt(request, Budget(1.0), silent)


def test_a_shipped_encoder_needs_its_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_tiny_ship(folder, monkeypatch)
    assert open_origin("tiny").exported == folder / "tiny.onnx"
    monkeypatch.setattr(origin_module, "model_file", lambda _: tmp_path / "tiny.onnx")
    with pytest.raises(ResourceError, match="tiny: ships without the weights that training"):
        open_origin("tiny")


def test_only_a_head_on_a_frozen_trunk_can_be_adapted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    with pytest.raises(ResourceError, match="is not a readable checkpoint"):
        open_origin(str(tmp_path / "absent.safetensors"))
    spec = open_origin(str(tiny(folder))).spec
    student = torch.nn.Identity()
    monkeypatch.setattr(origin_module, "read_checkpoint", lambda _: (student, spec))
    with pytest.raises(ResourceError, match="has no place head on a frozen trunk"):
        open_origin("student.safetensors")


def test_shipped_weights_are_those_of_the_shipped_file() -> None:
    """Whatever ships for training gives the file that ships for use."""
    from mobilegeo.encoder import SHIPPED
    from mobilegeo.learn.export.parity import FLOAT32_LIMIT, compare, torch_encode
    from mobilegeo.learn.export.source import model_file

    images = [np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)]
    for name in SHIPPED:
        if model_file(name).with_suffix(".safetensors").is_file():
            origin = open_origin(name)
            encode = torch_encode(origin.model, origin.spec)
            assert compare(encode, load_encoder(name).encode, images).error < FLOAT32_LIMIT


@pytest.mark.slow
def test_the_trunk_is_left_alone(folder: Path, done: Adapted) -> None:
    """The checkpoint that was started from is not written to."""
    assert done.origin == "tiny"
    stored = read_tensors(tiny(folder), "model")
    assert {name.split(".")[1] for name in stored} == {"trunk", "standardise", "head"}


# --- the command line ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_prints_one_object_or_a_summary(
    done: Adapted, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []

    def ready(request: Request, budget: Budget, progress: Any) -> Adapted:
        asked.append(request)
        return done

    monkeypatch.setattr(run_module, "adapt", ready)
    command = ("learn", "adapt", folder / "map.tif", "--minutes", 3, "-o", folder / "x.onnx")
    told = call(*command, "--dsm", folder / "dsm.tif", "--encoder", "tiny", "--seed", 4, "--json")
    assert (told.code, told.records) == (0, [json.loads(json.dumps(done.to_record()))])
    expected = Request([folder / "map.tif"], folder / "x.onnx", folder / "dsm.tif", "tiny", 4)
    assert asked == [expected]
    assert "recall@1 of" in call(*command).out


def test_the_command_rejects_minutes_that_are_none(folder: Path) -> None:
    told = call("learn", "adapt", folder / "map.tif", "--minutes", 0, "-o", folder / "x.onnx")
    assert told.code == 2
    assert told.err.startswith("mobilegeo: --minutes 0: is no length of time; give minutes")


def test_the_command_says_which_extra_it_needs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mobilegeo.cli import common

    monkeypatch.setattr(common.importlib.util, "find_spec", lambda _: None)
    told = call("learn", "adapt", folder / "map.tif", "--minutes", 1, "-o", folder / "x.onnx")
    assert told.code == 3
    assert "needs torch and timm" in told.err
    assert "pip install 'mobilegeo[learn]'" in told.err


def test_weights_between_two_heads() -> None:
    torch.manual_seed(1)
    first, second = (PlaceEncoder(ModelConfig(8, 1, 64), weights=None).head for _ in range(2))
    half = between(first, second, 0.5).state_dict()
    for name, value in first.state_dict().items():
        expected = (value + second.state_dict()[name]) / 2
        if value.is_floating_point():
            torch.testing.assert_close(half[name], expected, msg=name)
    for share, head in ((0.0, first), (1.0, second)):
        end = between(first, second, share).state_dict()
        for name, value in head.state_dict().items():
            if value.is_floating_point():
                torch.testing.assert_close(end[name], value, msg=name)
