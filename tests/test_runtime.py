"""Runtimes: the same answers from each, errors for what is missing, and the remembered trial."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from cli_kit import World, call, small_world
from mobilegeo.encoder import RUNTIMES, SHIPPED, load_encoder
from mobilegeo.encoder import trial as trial_module
from mobilegeo.encoder.graph import GraphEncoder
from mobilegeo.encoder.onnx import OnnxEncoder
from mobilegeo.encoder.openvino import OpenVinoEncoder
from mobilegeo.encoder.providers import PROVIDERS
from mobilegeo.encoder.registry import DEFAULT
from mobilegeo.encoder.runtimes import REDUCED_PRECISION, open_encoder
from mobilegeo.encoder.trial import fastest, measure
from mobilegeo.encoder.user_cache import user_cache
from mobilegeo.errors import EncoderError, MissingExtraError
from mobilegeo.world import Appearance, generate_world, render_ortho
from test_encoder import SPEC, pictures, write_model

SHIPPED_FILE = Path(str(files("mobilegeo.encoder") / "weights" / SHIPPED[DEFAULT]))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mobilegeo"


@pytest.fixture(scope="module")
def reference() -> GraphEncoder:
    return load_encoder(threads=2)


@pytest.fixture(scope="module")
def openvino() -> GraphEncoder:
    pytest.importorskip("openvino")
    return load_encoder(threads=2, runtime="openvino")


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Over the last axis."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return (x * y).sum(axis=-1) / lengths


# --- the same answers ---------------------------------------------------------------------------


def test_openvino_agrees_with_onnx_runtime(
    reference: GraphEncoder, openvino: GraphEncoder, ground: NDArray[np.uint8]
) -> None:
    expected, got = reference.encode(ground), openvino.encode(ground)
    assert cosines(expected.embedding, got.embedding).min() >= 1 - 1e-4
    assert cosines(expected.features, got.features).min() >= 1 - 1e-4
    assert got.embedding.dtype == got.features.dtype == np.float32
    assert got.features.flags.c_contiguous
    assert (openvino.spec, openvino.sha256) == (reference.spec, reference.sha256)
    assert (reference.runtime, openvino.runtime) == ("onnx", "openvino")


def test_bf16_is_close_and_not_the_same(reference: GraphEncoder, ground: NDArray[np.uint8]) -> None:
    core = pytest.importorskip("openvino").Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    reduced = load_encoder(threads=2, runtime="openvino-bf16")
    found = cosines(reference.embed(ground), reduced.embed(ground))
    assert 0.99 < found.min() < 1 - 1e-6


@pytest.mark.parametrize("size", [(1, 32, 32), (3, 96, 160), (2, 224, 224)])
def test_openvino_takes_any_batch_and_size(
    reference: GraphEncoder, openvino: GraphEncoder, size: tuple[int, int, int]
) -> None:
    images = pictures(*size)
    got = openvino.features(images)
    assert got.shape == reference.features(images).shape
    assert cosines(reference.features(images), got).min() >= 1 - 1e-4
    np.testing.assert_allclose(openvino.embed(images), reference.embed(images), atol=1e-4)


def test_openvino_results_outlive_the_next_call(openvino: GraphEncoder) -> None:
    side = openvino.spec.size_px
    first = openvino.embed(pictures(1, side, side))
    kept = first.copy()
    openvino.embed(pictures(1, side, side, seed=1))
    np.testing.assert_array_equal(first, kept)


def test_openvino_computes_only_what_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    encoder = OpenVinoEncoder(write_model(tmp_path / "m.onnx", SPEC), threads=1)
    encoder.features(pictures(1, 64, 64))
    ((outputs, compiled),) = encoder._compiled.items()
    assert outputs == ("features",)
    kinds = {op.get_type_name() for op in compiled.get_runtime_model().get_ops()}
    embedding_only = {"FullyConnected", "MatMul", "NormalizeL2"}
    assert not kinds & embedding_only


def test_threads_share_an_openvino_encoder(openvino: GraphEncoder) -> None:
    side = openvino.spec.size_px
    images = [pictures(1, side, side, seed) for seed in range(8)]
    alone = [openvino.embed(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(openvino.embed, images * 3))
    for number, vector in enumerate(together):
        np.testing.assert_allclose(vector, alone[number % 8], atol=1e-5)


@pytest.fixture(scope="module")
def ground(reference: GraphEncoder) -> NDArray[np.uint8]:
    """Tiles of a generated world, uint8 [9, S, S, 3]."""
    side = reference.spec.size_px
    image = render_ortho(generate_world(3, (200.0, 200.0)), Appearance(noise=2.0))
    return np.stack(
        [
            image[top : top + side, left : left + side]
            for top in (0, side, 2 * side)
            for left in (0, side, 2 * side)
        ]
    )


# --- what is missing or no model ----------------------------------------------------------------


def test_unknown_runtime() -> None:
    with pytest.raises(
        EncoderError, match=r"^runtime onx: is not known; choose one of onnx, .*auto"
    ):
        load_encoder(runtime="onx")


def test_missing_openvino_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    for runtime in ("openvino", "openvino-bf16"):
        with pytest.raises(MissingExtraError, match=r"pip install 'mobilegeo\[openvino\]'"):
            load_encoder(runtime=runtime)


@pytest.mark.parametrize("runtime", [name for name in PROVIDERS if name != "onnx"])
def test_missing_provider_names_the_package(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    message = rf"^runtime {runtime}: needs {PROVIDERS[runtime].name}.*{PROVIDERS[runtime].package}"
    with pytest.raises(MissingExtraError, match=message):
        load_encoder(runtime=runtime)


@pytest.mark.parametrize("runtime", [name for name in PROVIDERS if name != "onnx"])
def test_a_provider_that_cannot_start_is_not_replaced(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime gives a CPU session with a warning where, for instance, libcudnn is missing."""
    whole, asked = onnxruntime.InferenceSession, []

    def falls_back(model: bytes, options: Any, providers: list[tuple[str, Any]]) -> Any:
        asked.extend(name for name, _ in providers)
        return whole(model, options, providers=["CPUExecutionProvider"])

    name = PROVIDERS[runtime].name
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [name])
    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
    with pytest.raises(EncoderError, match=f"^runtime {runtime}: could not start {name}"):
        load_encoder(runtime=runtime)
    assert asked[0] == name


def test_tensorrt_keeps_its_engines_in_the_cache(cache: Path) -> None:
    (name, options), *rest = PROVIDERS["onnx-tensorrt"].chain(None)
    assert name == "TensorrtExecutionProvider"
    assert options["trt_engine_cache_enable"] == "True"
    assert Path(options["trt_engine_cache_path"]) == cache / "tensorrt"
    assert (cache / "tensorrt").is_dir()
    assert [name for name, _ in rest] == ["CUDAExecutionProvider"]


def test_bf16_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    core = SimpleNamespace(get_property=lambda *_: ["FP32", "INT8"])
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))
    with pytest.raises(EncoderError, match=r"needs a processor with bf16; this one"):
        load_encoder(runtime="openvino-bf16")


@pytest.mark.parametrize("content", [b"", b"no model" * 50])
def test_openvino_refuses_what_is_no_model(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("openvino")
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(EncoderError, match=r"m\.onnx: is not a readable ONNX model"):
        OpenVinoEncoder(path)


def test_openvino_refuses_a_model_without_facts(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(EncoderError, match="is an ONNX model without MobileGeo's ImageSpec"):
        OpenVinoEncoder(write_model(tmp_path / "plain.onnx", None))
    for outputs in (("features",), ("embedding",)):
        with pytest.raises(EncoderError, match=r"has outputs .*, its ImageSpec promises"):
            OpenVinoEncoder(write_model(tmp_path / "half.onnx", SPEC, outputs))


# --- auto ---------------------------------------------------------------------------------------


class Paced(OnnxEncoder):
    """Takes at least some seconds a call and says that it is another runtime."""

    def __init__(self, path: Path, seconds: float, name: str, threads: int | None = None) -> None:
        super().__init__(path, threads=threads)
        self.seconds, self.runtime = seconds, name

    def encode(self, images: NDArray[np.uint8]) -> Any:
        trial_module.time.sleep(self.seconds)
        return super().encode(images)


def paced(name: str, seconds: float, built: list[str]) -> Callable[..., GraphEncoder]:
    def build(path: Path, threads: int | None = None) -> GraphEncoder:
        built.append(name)
        return Paced(path, seconds, name, threads)

    return build


def absent(path: Path, threads: int | None = None) -> GraphEncoder:
    raise MissingExtraError("runtime x", "is missing", "install it")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model, and a trial of a tenth of a second."""
    monkeypatch.setattr(trial_module.measure, "__defaults__", (0.05,))
    return write_model(tmp_path / "tiny.onnx", SPEC)


def test_auto_takes_the_fastest_and_remembers(tiny: Path, cache: Path) -> None:
    built: list[str] = []
    builds = {
        "onnx": paced("onnx", 0.02, built),
        "quick": paced("quick", 0.0, built),
        "slow": paced("slow", 0.04, built),
        "x": absent,
    }
    assert fastest(tiny, builds, threads=1).runtime == "quick"
    assert built == ["onnx", "quick", "slow"]
    (key,) = json.loads((cache / "runtimes.json").read_text())
    assert load_encoder(tiny).sha256 in key
    assert onnxruntime.__version__ in key
    assert fastest(tiny, builds, threads=1).runtime == "quick"
    assert built[3:] == ["onnx", "quick"]  # no trial
    fastest(tiny, builds, threads=2)
    assert built[5:] == ["onnx", "quick", "slow"]  # another number of threads, another trial


def test_auto_tries_again_when_the_remembered_one_is_gone(tiny: Path) -> None:
    built: list[str] = []
    builds = {"onnx": paced("onnx", 0.02, built), "quick": paced("quick", 0.0, built)}
    assert fastest(tiny, builds).runtime == "quick"
    assert fastest(tiny, builds | {"quick": absent}).runtime == "onnx"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"a": 3}'])
def test_unreadable_memory_is_written_again(tiny: Path, cache: Path, content: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / "runtimes.json").write_bytes(content)
    assert fastest(tiny, {"onnx": paced("onnx", 0.0, [])}).runtime == "onnx"
    (name,) = json.loads((cache / "runtimes.json").read_text()).values()
    assert name == "onnx"
    assert [file.name for file in cache.iterdir()] == ["runtimes.json"]


def test_auto_works_where_nothing_can_be_remembered(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert fastest(tiny, {"onnx": paced("onnx", 0.0, [])}).runtime == "onnx"


def test_auto_never_lowers_precision(tiny: Path, cache: Path) -> None:
    chosen = open_encoder(tiny, runtime="auto", threads=1)
    assert chosen.runtime in set(RUNTIMES) - REDUCED_PRECISION
    (key,) = json.loads((cache / "runtimes.json").read_text())
    assert "bf16" not in key


def test_auto_refuses_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(EncoderError, match="is not a readable ONNX model"):
        open_encoder(path, runtime="auto")


def test_measured_medians_follow_the_pace(tiny: Path) -> None:
    encoders = {name: Paced(tiny, seconds, name) for name, seconds in (("a", 0.01), ("b", 0.03))}
    seconds = measure(encoders, 0.1)
    assert 0.01 <= seconds["a"] < 0.03 <= seconds["b"]


@pytest.mark.parametrize(
    ("platform", "folder"), [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "L")]
)
def test_cache_folder_of_each_platform(
    platform: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "L"))
    monkeypatch.setattr(sys, "platform", platform)
    assert user_cache("x") == tmp_path / folder / "mobilegeo" / "x"


# --- the command line ---------------------------------------------------------------------------


def test_info_shows_the_runtime() -> None:
    (facts,) = call("encoders", "info", DEFAULT, "--json").records
    assert facts["runtime"] == "onnx"
    pytest.importorskip("openvino")
    (facts,) = call("encoders", "info", DEFAULT, "--runtime", "openvino", "--json").records
    assert facts["runtime"] == "openvino"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> World:
    return small_world(tmp_path_factory.getbasetemp())


def test_commands_pass_the_runtime_on(small: World, tmp_path: Path) -> None:
    commands = {
        "locate": ("locate", *small.photos, "--map", small.pack),
        "track": ("track", small.photos[0].parent, "--map", small.pack),
        "build": ("map", "build", small.map_tif, "-o", tmp_path / "new.pack"),
    }
    for name, command in commands.items():
        refused = call(*command, "--runtime", "warp")
        assert refused.code == EncoderError.exit_code, name
        assert "runtime warp: is not known; choose one of onnx, " in refused.err, name


def test_openvino_locates_as_onnx_runtime_does(small: World) -> None:
    pytest.importorskip("openvino")
    command = ("locate", small.photos[0], "--map", small.pack, "--retrieval-only", "--json")
    (expected,) = call(*command).records
    (got,) = call(*command, "--runtime", "openvino").records
    assert got["status"] == expected["status"]
    places = [[(c["lat"], c["lon"]) for c in record["candidates"]] for record in (expected, got)]
    assert len(places[0]) == 5
    assert places[0] == places[1]
