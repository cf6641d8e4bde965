"""A whole run on invented imagery: configuration, cache, training, resuming, export."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("onnxscript")

from mobilegeo.encoder.base import METADATA_KEY, ImageSpec  # noqa: E402
from mobilegeo.errors import ResourceError, UsageError  # noqa: E402
from mobilegeo.learn import checkpoint  # noqa: E402
from mobilegeo.learn.export.run import Request, export  # noqa: E402
from mobilegeo.learn.layout import run  # noqa: E402
from mobilegeo.learn.layout.cache import load_pools, near_held_out, seen_grids  # noqa: E402
from mobilegeo.learn.layout.config import load_config  # noqa: E402
from mobilegeo.learn.layout.loop import schedule  # noqa: E402
from mobilegeo.learn.layout.sampler import batch_indices, overlapping, turned_grids  # noqa: E402
from mobilegeo.learn.layout.stages import TrunkStages, unpacked  # noqa: E402
from mobilegeo.learn.models.place_encoder import ModelConfig, PlaceEncoder  # noqa: E402

CONFIG = """
model_id = "tiny"
data_root = "data"
out = "run"
seed = 3
groups = 6
validation_groups = 3
group_size = 3
workers = 1
steps = {steps}
batch_groups = 3
warmup_steps = 1
checkpoint_every = 1

[model]
embedding_dim = 16
last_trunk_block = 2
size_px = 64

[[sources]]
kind = "images"
path = "imagery"
gsd_m = 0.5
footprint_m = [30.0, 40.0]

[[validation]]
kind = "images"
path = "held_out"
gsd_m = 0.5
footprint_m = [30.0, 40.0]
"""


def write_config(folder: Path, steps: int = 2, text: str = CONFIG) -> Path:
    path = folder / "tiny.toml"
    path.write_text(text.replace("{steps}", str(steps)))
    return path


def write_imagery(folder: Path) -> None:
    """One image to train on and another to hold out."""
    for seed, name in enumerate(("imagery", "held_out")):
        coarse = np.random.default_rng(seed).integers(0, 256, (60, 60, 3), np.uint8)
        image = cv2.resize(coarse, (360, 360), interpolation=cv2.INTER_CUBIC)
        path = folder / "data" / name / "a.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run of two steps."""
    folder = tmp_path_factory.mktemp("learn")
    write_imagery(folder)
    assert run(write_config(folder)) == folder / "run" / "network.safetensors"
    return folder


@pytest.fixture(scope="module")
def exported(finished: Path) -> Path:
    return export(Request(str(finished / "run/network.safetensors"), finished / "tiny.onnx")).path


def tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_run_notes_its_metrics(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert all(np.isfinite(line["total"]) and 0 <= line["recall_at_1"] <= 1 for line in lines)


def test_resumed_run_equals_an_uninterrupted_one(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "again")
    out = tmp_path / "again" / "run"
    (out / "step-0000002.safetensors").unlink()
    run(write_config(tmp_path / "again"))
    resumed = out / "step-0000002.safetensors"
    straight = finished / "run" / "step-0000002.safetensors"
    expected, found = tensors(straight), tensors(resumed)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_the_network_is_the_last_checkpoint_without_what_only_training_needs(
    finished: Path,
) -> None:
    last = tensors(finished / "run/step-0000002.safetensors")
    network = tensors(finished / "run/network.safetensors")
    assert network
    assert all(name.startswith("model.") for name in network)
    for name, tensor in network.items():
        torch.testing.assert_close(tensor, last[name], rtol=0, atol=0, msg=name)


METHOD = CONFIG.replace(
    "[model]",
    """exits = [0, 1]
teachers = ["{teacher}"]

[objective]
exit_info_nce = 0.25
fisd = 0.5
triplet = 0.2
uapa = 0.2
cross = 0.3

[model]""",
)


def test_the_method_trains_with_exits_and_a_teacher_on_one_cache(tmp_path: Path) -> None:
    write_imagery(tmp_path)
    shared = f"cache={tmp_path / 'cache'}"
    wide = ["model.shallow=[0, 1]", "model.hidden_dim=24", f"out={tmp_path / 'teacher'}", shared]
    teacher = run(write_config(tmp_path, 1), wide)
    shards = sorted((tmp_path / "cache").rglob("grids.npy"))
    text = METHOD.replace("{teacher}", str(teacher))
    student = run(write_config(tmp_path, 2, text), [shared])
    assert sorted((tmp_path / "cache").rglob("grids.npy")) == shards
    line = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    terms = {"info_nce", "fisd", "triplet", "uapa", "cross_logits", "cross_features"}
    assert terms < set(line)
    assert all(np.isfinite(line[term]) for term in terms)
    assert not any("exits" in name for name in tensors(student))


def test_training_images_that_show_held_out_ground_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    scene, other = (
        cv2.resize(rng.integers(0, 256, (50, 80, 3), np.uint8), (640, 400), interpolation=2)
        for _ in range(2)
    )
    pieces = {"train/same.png": scene[:, :400], "train/other.png": other, "test/a.png": scene}
    pieces["test/a.png"] = scene[:, 120:520]
    for name, piece in pieces.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", piece)[1].tobytes())
    text = CONFIG.replace('"imagery"', '"train"').replace('"held_out"', '"test"')
    config = load_config(write_config(tmp_path, 1, text))
    for _ in range(2):  # the second time from its note
        assert near_held_out(config, tmp_path) == ["train/same.png[0:1]"]
    (tmp_path / "data/train/other.png").unlink()
    with pytest.raises(ResourceError, match="shows nothing but ground that is held out"):
        load_pools(config.sources, config.data_root, ["train/same.png[0:1]"])


def test_training_moves_the_head_and_nothing_below(finished: Path) -> None:
    start, end = (tensors(finished / f"run/step-000000{k}.safetensors") for k in (1, 2))
    for name, tensor in start.items():
        moved = not torch.equal(tensor, end[name])
        if "trunk" in name or "standardise" in name:
            assert not moved, name
    assert not torch.equal(start["model.head.cell.0.weight"], end["model.head.cell.0.weight"])


def test_features_are_standardised_over_the_imagery(finished: Path) -> None:
    end = tensors(finished / "run/step-0000002.safetensors")
    assert end["model.standardise.std"].min() > 0
    assert not torch.equal(end["model.standardise.mean"], torch.zeros(32))


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 64)])
def test_export_agrees_with_torch(
    finished: Path, exported: Path, shape: tuple[int, int, int]
) -> None:
    model = PlaceEncoder(ModelConfig(16, 2, 64), weights=None)
    checkpoint.load(finished / "run/step-0000002.safetensors", {"model": model})
    image = torch.rand(shape[0], 3, *shape[1:]) * 2 - 1
    image[:, :, :, :20] = -1.0
    with torch.no_grad():
        embedding, features = model.eval()(image)
    session = onnxruntime.InferenceSession(exported)
    found = session.run(["embedding", "features"], {"image": image.numpy()})
    cosine = (found[0] * embedding.numpy()).sum(axis=1)
    assert cosine.min() > 1 - 1e-4
    np.testing.assert_allclose(found[1], features.numpy(), atol=1e-3)
    (alone,) = session.run(["embedding"], {"image": image[:1].numpy()})
    np.testing.assert_allclose(alone, found[0][:1], atol=1e-5)


def test_export_carries_its_spec(exported: Path) -> None:
    metadata = onnxruntime.InferenceSession(exported).get_modelmeta().custom_metadata_map
    spec = ImageSpec.from_json(metadata[METADATA_KEY], str(exported))
    assert (spec.model_id, spec.size_px, spec.embedding_dim) == ("tiny", 64, 16)
    assert (spec.feature_dim, spec.feature_stride_px, spec.feature_halo_px) == (32, 8, 32)
    assert list(exported.parent.glob("*.partial")) == []


def test_export_names_no_file_of_this_machine(exported: Path) -> None:
    content = exported.read_bytes()
    assert b".py" not in content
    assert str(Path(__file__).parent).encode() not in content


def test_export_rejects_what_is_no_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(ResourceError, match="is not a readable checkpoint"):
        export(Request(str(tmp_path / "step-0000001.safetensors"), tmp_path / "out.onnx"))
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(ResourceError, match="does not say which network it holds"):
        export(Request(str(foreign), tmp_path / "out.onnx"))
    model = {"model_id": "x", "model": "{}"}
    save_file({"a": torch.zeros(1)}, foreign, model)
    with pytest.raises(ResourceError, match="is not a checkpoint of this network"):
        export(Request(str(foreign), tmp_path / "out.onnx"))
    with pytest.raises(ResourceError, match="is not named step-NNNNNNN"):
        checkpoint.step_of(foreign)


def test_configuration_rejects_unknown_keys(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown keys \['stepz'\]"):
        load_config(write_config(tmp_path, text="stepz = 1\n" + CONFIG))
    with pytest.raises(UsageError, match=r"\[model\]: has unknown keys \['layers'\]"):
        load_config(write_config(tmp_path, text=CONFIG.replace("size_px", "layers")))
    with pytest.raises(UsageError, match=r"\[\[sources\]\]: has unknown keys \['gsd'\]"):
        load_config(write_config(tmp_path, text=CONFIG.replace("gsd_m", "gsd", 1)))


def test_configuration_rejects_what_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a readable TOML file"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="is not a readable TOML file"):
        load_config(write_config(tmp_path, text="steps ="))
    with pytest.raises(UsageError, match="cannot be used"):
        load_config(write_config(tmp_path, text=CONFIG.replace('model_id = "tiny"', "")))
    with pytest.raises(UsageError, match=r"no \[\[sources\]\]"):
        load_config(write_config(tmp_path, text=CONFIG.replace("[[validation]]", "[[sources]]")))
    with pytest.raises(UsageError, match="groups is below 1"):
        load_config(write_config(tmp_path, text=CONFIG.replace("groups = 6", "groups = 0")))


def test_configuration_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path))
    assert config.data_root == tmp_path / "data"
    assert config.out == tmp_path / "run"
    assert config.sources[0].footprint_m == (30.0, 40.0)


def test_schedule_rises_then_falls_to_zero(tmp_path: Path) -> None:
    config = replace(load_config(write_config(tmp_path)), steps=100, warmup_steps=10)
    assert schedule(0, config) == pytest.approx(0.1)
    assert schedule(50, config) == pytest.approx(0.5)
    assert schedule(100, config) == pytest.approx(0.0, abs=1e-12)


def test_batches_are_whole_groups_and_an_epoch_has_each_once() -> None:
    groups = np.repeat(np.arange(10.0), 3)
    batches = batch_indices(groups, 5, seed=0)
    one, two, three = next(batches), next(batches), next(batches)
    assert sorted(np.concatenate([one, two])) == list(range(30))
    assert (
        np.bincount(groups[one].astype(int))[np.unique(groups[one]).astype(int)].tolist() == [3] * 5
    )
    assert not np.array_equal(one, three)
    assert np.array_equal(next(batch_indices(groups, 5, seed=0)), one)


def test_overlap_needs_one_source_and_near_centres() -> None:
    places = np.array(
        [
            [0, 7, 0.0, 0.0, 100.0],
            [0, 7, 40.0, 0.0, 100.0],
            [0, 7, 50.0, 0.0, 100.0],
            [0, 8, 0.0, 0.0, 100.0],
        ]
    )
    expected = np.zeros((4, 4), bool)
    expected[0, 1] = expected[1, 0] = expected[1, 2] = expected[2, 1] = True
    assert np.array_equal(overlapping(places).numpy(), expected)


def test_a_head_embeds_what_is_cached_as_it_embeds_the_image(tmp_path: Path) -> None:
    model = PlaceEncoder(ModelConfig(16, 3, 64, hidden_dim=8, cell_dim=4, shallow=(2,)), None)
    stages = TrunkStages(model.eval().trunk, (2,))
    session = onnxruntime.InferenceSession(stages.write(64, tmp_path / "trunk.onnx"))
    images = np.random.default_rng(0).integers(1, 256, (2, 64, 64, 3), np.uint8)
    images[0, :, :32] = 0
    grids, coverage = seen_grids(images, session)
    assert grids.dtype == np.int8
    assert grids.shape == (2, 96, 7, 7)
    assert coverage.dtype == np.uint8
    assert coverage.shape == (2, 7, 7)
    assert (coverage[1] == 255).all()
    assert not coverage[0, :, 0].any()
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    with torch.no_grad():
        seen = torch.from_numpy(coverage)[:, None].float() / 255.0
        cached = model.head.embed(unpacked(grids), seen)
        directly, _ = model(pixels)
    assert (cached * directly).sum(dim=1).min() > 0.99


def test_cached_grids_turn_as_images_do() -> None:
    from mobilegeo.learn.datasets.simulated import turned

    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    grids = image.transpose(2, 0, 1)[None]
    for symmetry in range(8):
        found = turned_grids(grids, symmetry)[0].transpose(1, 2, 0)
        assert np.array_equal(found, turned(image, symmetry))
