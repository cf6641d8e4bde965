"""A whole run on invented imagery: configuration, cache, training, resuming, export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnxscript")

from mobilegeo.encoder import load_encoder  # noqa: E402
from mobilegeo.errors import ResourceError  # noqa: E402
from mobilegeo.learn import checkpoint  # noqa: E402
from mobilegeo.learn.export.network import read_checkpoint  # noqa: E402
from mobilegeo.learn.export.run import Request, export  # noqa: E402
from mobilegeo.learn.models.saved_head import load_head  # noqa: E402
from mobilegeo.learn.train import train  # noqa: E402

CONFIG = """
task = "alignment_head"
model_id = "tiny-aligned"
data_root = "data"
out = "run"
surveys = 16
validation_surveys = 1
workers = 1
steps = 2
batch_surveys = 4
warmup_steps = 1
checkpoint_every = 1

[layout]
window_px = 128
margin_px = 32
photo_px = 96
photos = 2
reach_px = 16

[head]
descriptors = 8
hidden = 4

[[sources]]
kind = "images"
path = "imagery"
gsd_m = 0.5
footprint_m = [96.0, 120.0]

[[validation]]
kind = "images"
path = "imagery"
gsd_m = 0.5
footprint_m = [96.0, 120.0]
"""


def run(config: Path) -> Path:
    return train(config, tell=lambda _: None, advance=lambda *_: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run of two steps."""
    folder = tmp_path_factory.mktemp("alignment")
    coarse = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    image = cv2.resize(coarse, (480, 480), interpolation=cv2.INTER_CUBIC)
    (folder / "data" / "imagery").mkdir(parents=True)
    (folder / "data" / "imagery" / "a.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    (folder / "tiny.toml").write_text(CONFIG)
    assert run(folder / "tiny.toml") == folder / "run" / "step-0000002.safetensors"
    return folder


@pytest.fixture(scope="module")
def exported(finished: Path) -> Path:
    source = finished / "run" / "step-0000002.safetensors"
    return export(Request(str(source), finished / "tiny.onnx")).path


def test_run_notes_its_metrics(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all(0 <= line["right"] <= 1 and line["noise"] > 0 for line in lines)
    assert all(np.isfinite(line["loss"]) for line in lines[1:])


def test_resumed_run_equals_an_uninterrupted_one(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "again")
    (tmp_path / "again" / "run" / "step-0000002.safetensors").unlink()
    resumed = run(tmp_path / "again" / "tiny.toml")
    expected = checkpoint.read_tensors(finished / "run" / "step-0000002.safetensors")
    found = checkpoint.read_tensors(resumed)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_training_moves_the_whole_head(finished: Path) -> None:
    start, end = (
        checkpoint.read_tensors(finished / f"run/step-000000{k}.safetensors", "head")
        for k in (0, 2)
    )
    assert not start["head.correct.weight"].any()
    for name in ("head.project.weight", "head.correct.weight", "head.around.weight"):
        assert not torch.equal(start[name], end[name]), name


def test_export_keeps_embeddings_and_puts_the_head_behind_the_features(
    finished: Path, exported: Path
) -> None:
    base, aligned = load_encoder("first"), load_encoder(exported)
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 64, 3), np.uint8)
    np.testing.assert_array_equal(aligned.embed(images), base.embed(images))
    head = load_head(finished / "run" / "step-0000002.safetensors").head
    features = torch.from_numpy(base.features(images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = head(features).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(aligned.features(images), expected, atol=1e-4)


def test_export_carries_its_spec(exported: Path) -> None:
    base, spec = load_encoder("first").spec, load_encoder(exported).spec
    assert (spec.model_id, spec.feature_dim) == ("tiny-aligned", 8)
    assert spec.feature_halo_px == base.feature_halo_px + 32
    assert (spec.size_px, spec.embedding_dim) == (base.size_px, base.embedding_dim)


def test_exported_features_do_not_depend_on_the_cut(exported: Path) -> None:
    aligned = load_encoder(exported)
    halo, cells = aligned.spec.feature_halo_px, aligned.spec.feature_halo_px // 16
    scene = np.random.default_rng(1).integers(0, 256, (1, 512, 512, 3), np.uint8)
    start = 32 + halo
    cut = scene[:, 32 : start + 32 + halo, 32 : start + 32 + halo]
    inner = aligned.features(cut)[0, cells : cells + 2, cells : cells + 2]
    row = start // 16
    whole = aligned.features(scene)[0, row : row + 2, row : row + 2]
    np.testing.assert_allclose(inner, whole, atol=1e-4)


def test_a_head_whose_base_has_changed_is_refused(finished: Path, tmp_path: Path) -> None:
    source = finished / "run" / "step-0000002.safetensors"
    metadata = checkpoint.read_metadata(source)
    (key,) = (name for name in metadata if name.startswith("mobilegeo"))
    metadata[key] = metadata[key].replace('"base_sha256": "', '"base_sha256": "beef')
    foreign = tmp_path / "step-0000002.safetensors"
    checkpoint.write_tensors(foreign, checkpoint.read_tensors(source), metadata)
    with pytest.raises(ResourceError, match=r"first: has hash .* the head was trained on beef"):
        export(Request(str(foreign), tmp_path / "out.onnx"))


def test_a_head_alone_is_no_network(finished: Path) -> None:
    with pytest.raises(ResourceError, match="holds an alignment head alone"):
        read_checkpoint(finished / "run" / "step-0000002.safetensors")
