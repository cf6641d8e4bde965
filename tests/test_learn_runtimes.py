"""PyTorch as a runtime of encoders: parity with ONNX Runtime, devices, complaints."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cli_kit import call
from mobilegeo.encoder import load_encoder
from mobilegeo.errors import EncoderError, MissingExtraError, UsageError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from mobilegeo.learn.bench.family import Member, noise, write_checkpoint  # noqa: E402
from mobilegeo.learn.checkpoint import tensors_of, write_tensors  # noqa: E402
from mobilegeo.learn.export.network import described, read_checkpoint  # noqa: E402
from mobilegeo.learn.export.onnx import write_onnx  # noqa: E402
from mobilegeo.learn.models.place_encoder import ModelConfig, PlaceEncoder  # noqa: E402
from mobilegeo.learn.models.saved import load_network  # noqa: E402
from mobilegeo.learn.runtimes import RUNTIMES, TorchEncoder  # noqa: E402
from mobilegeo.learn.runtimes.computation import Computation  # noqa: E402

ON_GPU = [name for name, computation in RUNTIMES.items() if computation.device == "cuda"]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small student; layer-scale at 0.5, as at 1e-6 its blocks would hardly count."""
    path = write_checkpoint(
        Member("convnext_atto", "atto", 64), tmp_path_factory.mktemp("c") / "n.safetensors"
    )
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    scaled = {k: torch.full_like(v, 0.5) if k.endswith("gamma") else v for k, v in tensors.items()}
    assert any(k.endswith("gamma") for k in scaled)
    save_file(scaled, path, metadata)
    return path


@pytest.fixture(scope="module")
def onnx(checkpoint):
    return load_encoder(
        write_onnx(*read_checkpoint(checkpoint), checkpoint.with_suffix(".onnx")), threads=1
    )


@pytest.mark.parametrize("shape", [(64, 64), (96, 128)])
def test_torch_agrees_with_onnx_runtime(checkpoint, onnx, shape) -> None:
    encoder = load_encoder(checkpoint, runtime="torch")
    assert (encoder.runtime, encoder.spec) == ("torch", onnx.spec)
    images = np.random.default_rng(1).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    expected = onnx.encode(images)
    got = encoder.encode(images)
    np.testing.assert_allclose(got.embedding, expected.embedding, atol=1e-4)
    scale = float(np.abs(expected.features).max())
    np.testing.assert_allclose(got.features, expected.features, atol=1e-4 * scale)
    np.testing.assert_allclose(encoder.embed(images), got.embedding, atol=1e-6)
    np.testing.assert_allclose(encoder.features(images), got.features, atol=1e-5 * scale)
    assert {got.embedding.dtype, got.features.dtype} == {np.dtype(np.float32)}


def test_a_layout_head_runs_too(tmp_path) -> None:
    torch.manual_seed(1)
    model = PlaceEncoder(ModelConfig(embedding_dim=16), weights=None).eval()
    path = tmp_path / "step.safetensors"
    write_tensors(path, tensors_of({"model": model}), described(model, "layout"))
    expected = load_encoder(write_onnx(*read_checkpoint(path), tmp_path / "m.onnx"), threads=1)
    images = noise(2, 224)
    encoder = load_encoder(path, runtime="torch")
    np.testing.assert_allclose(encoder.embed(images), expected.embed(images), atol=1e-4)


def test_bfloat16_is_close_and_not_the_same(checkpoint) -> None:
    plain = load_encoder(checkpoint, runtime="torch")
    half = TorchEncoder.open(checkpoint, Computation("cpu", "bf16"), runtime="bf16")
    images = noise(2, 64)
    expected, got = plain.embed(images), half.embed(images)
    assert np.abs(got - expected).max() > 1e-6
    assert np.sum(got * expected, axis=1).min() > 0.99


def test_the_hash_is_the_files(checkpoint) -> None:
    encoder = load_encoder(checkpoint, runtime="torch")
    assert encoder.sha256 == load_network(checkpoint).sha256


def test_results_outlive_the_next_call(checkpoint) -> None:
    encoder = load_encoder(checkpoint, runtime="torch")
    first = encoder.embed(noise(2, 64)[:1])
    kept = first.copy()
    encoder.embed(noise(2, 64)[1:])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.slow
def test_compiled_agrees_with_eager(checkpoint) -> None:
    images = noise(2, 64)
    expected = load_encoder(checkpoint, runtime="torch").embed(images)
    got = load_encoder(checkpoint, runtime="torch-compile").embed(images)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_what_cannot_be_compiled_says_so(checkpoint, monkeypatch) -> None:
    def fails(function, **options):
        def run(images):
            raise RuntimeError("no compiler")

        return run

    monkeypatch.setattr(torch, "compile", fails)
    encoder = load_encoder(checkpoint, runtime="torch-compile")
    with pytest.raises(EncoderError, match=r"torch-compile: could not be compiled \(no compiler\)"):
        encoder.embed(noise(1, 64))


@needs_gpu
@pytest.mark.parametrize("runtime", ON_GPU)
def test_a_gpu_agrees_with_the_processor(checkpoint, runtime) -> None:
    images = noise(3, 64)
    expected = load_encoder(checkpoint, runtime="torch").embed(images)
    encoder = load_encoder(checkpoint, runtime=runtime)
    for _ in range(2):
        assert np.sum(encoder.embed(images) * expected, axis=1).min() > 0.99


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("runtime", ON_GPU)
def test_a_missing_gpu_is_an_error(checkpoint, runtime) -> None:
    with pytest.raises(EncoderError, match=f"^runtime {runtime}: needs an NVIDIA GPU, and .*none"):
        load_encoder(checkpoint, runtime=runtime)


def test_torch_without_torch_names_the_extra(checkpoint, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    message = r"^runtime torch: needs torch, which is not installed.*'mobilegeo\[learn\]'"
    with pytest.raises(MissingExtraError, match=message):
        load_encoder(checkpoint, runtime="torch")


def test_files_and_runtimes_that_do_not_fit(checkpoint) -> None:
    with pytest.raises(EncoderError, match=r"nano\.onnx: is no training checkpoint, and runtime"):
        load_encoder(runtime="torch")
    with pytest.raises(EncoderError, match="is a training checkpoint, which runtime onnx does not"):
        load_encoder(checkpoint)
    with pytest.raises(
        EncoderError, match=r"^runtime torch-warp: is not known; choose one of torch"
    ):
        load_encoder(checkpoint, runtime="torch-warp")


def test_images_that_cannot_be_meant(checkpoint) -> None:
    encoder = load_encoder(checkpoint, runtime="torch")
    with pytest.raises(EncoderError, match="both sides must be positive multiples of 32"):
        encoder.embed(noise(1, 65))


def test_computations_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="precision fp8: is not known; choose one of fp32"):
        Computation("cuda", "fp8")
    with pytest.raises(UsageError, match="CUDA graphs: do not exist on cpu"):
        Computation(graphs=True)
    assert str(Computation("cuda", "fp16", compiled=True)) == "cuda fp16 compiled"


def test_info_of_a_checkpoint(checkpoint) -> None:
    (facts,) = call("encoders", "info", checkpoint, "--runtime", "torch", "--json").records
    assert (facts["runtime"], facts["size_px"]) == ("torch", 64)


def test_threads_share_an_encoder_and_read_only_images_are_taken(checkpoint) -> None:
    encoder = load_encoder(checkpoint, runtime="torch")
    images = noise(6, 64)
    images.flags.writeable = False
    alone = [encoder.embed(image[None]) for image in images]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(encoder.embed, [image[None] for image in images]))
    np.testing.assert_allclose(np.concatenate(together), np.concatenate(alone), atol=1e-5)
