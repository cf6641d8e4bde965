"""The encoder that ships, the facts that travel with it, and files that are no encoder."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from maps_kit import FakeEncoder, PlainSource
from mobilegeo.encoder import SHIPPED, Encoder, ImageSpec, encoder_for, load_encoder
from mobilegeo.encoder.base import METADATA_KEY
from mobilegeo.encoder.graph import normalise_pixels
from mobilegeo.encoder.onnx import OnnxEncoder
from mobilegeo.encoder.registry import DEFAULT, MADE_FROM, card
from mobilegeo.errors import EncoderError, PackError
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack

SPEC = ImageSpec(
    model_id="tiny-1",
    size_px=64,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
    embedding_dim=8,
    feature_dim=3,
    feature_stride_px=32,
    feature_halo_px=0,
    feature_gsd_m=0.5,
)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(threads=2)


def pictures(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth coloured noise with detail at every scale."""
    rng = np.random.default_rng(seed)
    total = np.zeros((count, height, width, 3))
    for cell in (1, 4, 16, 64):
        size = (count, -(-height // cell), -(-width // cell), 3)
        grid = rng.normal(size=size).repeat(cell, axis=1).repeat(cell, axis=2)
        total += grid[:, :height, :width]
    return np.clip(127 + 30 * total, 0, 255).astype(np.uint8)


# --- the shipped encoder ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_encoders_load_and_agree_with_their_facts(name: str) -> None:
    shipped = load_encoder(name, threads=1)
    spec = shipped.spec
    content = (files("mobilegeo.encoder") / "weights" / SHIPPED[name]).read_bytes()
    assert shipped.sha256 == hashlib.sha256(content).hexdigest()
    assert len(content) < 32 << 20
    encoded = shipped.encode(pictures(2, spec.size_px, spec.size_px))
    cells = spec.size_px // spec.feature_stride_px
    assert encoded.embedding.shape == (2, spec.embedding_dim)
    assert encoded.features.shape == (2, cells, cells, spec.feature_dim)
    assert encoded.embedding.dtype == encoded.features.dtype == np.float32
    assert np.isfinite(encoded.features).all()
    assert spec.cell_m == spec.feature_stride_px * spec.feature_gsd_m
    assert DEFAULT in SHIPPED


def test_embeddings_have_length_one(encoder: Encoder) -> None:
    side = encoder.spec.size_px
    extremes = np.stack([np.full((side, side, 3), value, np.uint8) for value in (0, 255)])
    images = np.concatenate([pictures(3, side, side), extremes])
    lengths = np.linalg.norm(encoder.embed(images).astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-4)


def test_batch_is_the_same_as_one_by_one(encoder: Encoder) -> None:
    side = encoder.spec.size_px
    images = pictures(4, side, side)
    together = encoder.encode(images)
    for number in range(len(images)):
        alone = encoder.encode(images[number : number + 1])
        np.testing.assert_allclose(together.embedding[number], alone.embedding[0], atol=1e-4)
        scale = np.abs(alone.features).max()
        np.testing.assert_allclose(
            together.features[number] / scale, alone.features[0] / scale, atol=1e-4
        )


def test_encode_is_embed_and_features(encoder: Encoder) -> None:
    images = pictures(2, encoder.spec.size_px, encoder.spec.size_px)
    both = encoder.encode(images)
    np.testing.assert_allclose(both.embedding, encoder.embed(images), atol=1e-5)
    np.testing.assert_allclose(both.features, encoder.features(images), atol=1e-4, rtol=1e-3)


def test_embedding_tells_pictures_apart(encoder: Encoder) -> None:
    side = encoder.spec.size_px
    image = pictures(1, side, side)
    darker = (image * 0.9).astype(np.uint8)
    vectors = encoder.embed(np.concatenate([image, darker, pictures(1, side, side, seed=9)]))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


@pytest.mark.parametrize("size", [(96, 320), (32, 32), (160, 96), (224, 224)])
def test_features_cover_the_image(encoder: Encoder, size: tuple[int, int]) -> None:
    spec = encoder.spec
    height, width = (side // 32 * spec.multiple_px for side in size)
    features = encoder.features(pictures(1, height, width))
    cells = (height // spec.feature_stride_px, width // spec.feature_stride_px)
    assert features.shape == (1, *cells, spec.feature_dim)
    assert features.flags.c_contiguous


@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (2, 1)], ids=str)
def test_features_move_with_the_image(encoder: Encoder, shift: tuple[int, int]) -> None:
    """Beyond the halo a descriptor depends on the ground alone, not on where the input begins."""
    spec = encoder.spec
    stride = spec.feature_stride_px
    margin = -(-spec.feature_halo_px // stride)
    multiple = spec.multiple_px
    side = -(-(2 * margin + 6) * stride // multiple) * multiple
    scene = pictures(1, side + 2 * stride, side + 2 * stride)[0]
    down, right = (cells * stride for cells in shift)
    still = encoder.features(scene[None, :side, :side])[0]
    moved = encoder.features(scene[None, down : down + side, right : right + side])[0]
    inner = slice(margin + 2, side // stride - margin - 2)
    expected = still[inner, inner]
    rows, columns = (slice(inner.start - cells, inner.stop - cells) for cells in shift)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(moved[rows, columns] / scale, expected / scale, atol=2e-3)
    assert np.abs(moved[inner, inner] - expected).max() > 0.05 * scale


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((1, 64, 64, 4), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_other_arrays_are_refused(encoder: Encoder, images: NDArray[Any]) -> None:
    for take in (encoder.embed, encoder.features, encoder.encode):
        with pytest.raises(EncoderError, match=r"was given .*; pass uint8 \[B, H, W, 3\] RGB"):
            take(images)


@pytest.mark.parametrize("size", [(64, 65), (33, 32), (0, 32)])
def test_other_sizes_are_refused(encoder: Encoder, size: tuple[int, int]) -> None:
    height, width = size
    wanted = f"images of {width} × {height} px; both sides must be positive multiples of"
    with pytest.raises(EncoderError, match=wanted):
        encoder.embed(np.zeros((1, height, width, 3), np.uint8))


# --- pixels -------------------------------------------------------------------------------------


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(32), st.just(64), st.just(3))))
def test_pixels_follow_the_formula(images: NDArray[np.uint8]) -> None:
    batch = normalise_pixels(images, SPEC)
    expected = (images / 255.0 - np.array(SPEC.mean)) / np.array(SPEC.std)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch, expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_filled_pixels_are_zero_to_the_network() -> None:
    image = pictures(1, 32, 32)[0]
    valid = np.zeros((32, 32), bool)
    valid[:16] = True
    filled = SPEC.fill(image, valid)
    np.testing.assert_array_equal(filled[:16], image[:16])
    batch = normalise_pixels(filled[None], SPEC)
    step = 0.5 / 255 / min(SPEC.std)
    assert np.abs(batch[0, :, 16:]).max() <= step * 1.001


# --- ImageSpec ----------------------------------------------------------------------------------

unit = st.floats(0.001, 1.0)
specs = st.builds(
    ImageSpec,
    model_id=st.text(max_size=30),
    size_px=st.integers(1, 4096),
    mean=st.tuples(unit, unit, unit),
    std=st.tuples(unit, unit, unit),
    embedding_dim=st.integers(1, 4096),
    feature_dim=st.integers(1, 4096),
    feature_stride_px=st.integers(1, 64),
    feature_halo_px=st.integers(0, 1024),
    feature_gsd_m=st.floats(0.01, 10.0),
    multiple_px=st.integers(1, 64),
)


@given(specs)
def test_spec_round_trip(spec: ImageSpec) -> None:
    assert ImageSpec.from_json(spec.to_json(), "here") == spec


def test_spec_skips_what_a_later_version_added() -> None:
    text = json.dumps(asdict(SPEC) | {"licence": "Apache-2.0"})
    assert ImageSpec.from_json(text, "here") == SPEC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2]",
        "7",
        "null",
        "{}",
        json.dumps({k: v for k, v in asdict(SPEC).items() if k != "size_px"}),
        json.dumps(asdict(SPEC) | {"mean": None}),
        json.dumps(asdict(SPEC) | {"size_px": "large"}),
    ],
)
def test_text_that_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(EncoderError, match=r"^m\.onnx: holds no readable ImageSpec \(.*; export"):
        ImageSpec.from_json(text, "m.onnx")


@given(st.text())
def test_any_text_is_a_spec_or_an_encoder_error(text: str) -> None:
    with pytest.raises(EncoderError):
        ImageSpec.from_json(text, "m.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_px": 0}, "tiny-1: size_px is 0, not positive; export the model again"),
        ({"embedding_dim": -1}, "embedding_dim is -1, not positive"),
        ({"feature_dim": 0}, "feature_dim is 0, not positive"),
        ({"feature_stride_px": 0}, "feature_stride_px is 0, not positive"),
        ({"multiple_px": 0}, "multiple_px is 0, not positive"),
        ({"feature_halo_px": -32}, "feature_halo_px is -32, not 0 or more"),
        ({"feature_gsd_m": 0.0}, r"feature_gsd_m is 0\.0, not positive"),
        ({"mean": (0.5, 0.5)}, "mean is .*, not three numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "std is .*, not three positive numbers"),
        ({"format_version": 2}, "has ImageSpec format 2, this version reads 1; export"),
    ],
)
def test_impossible_spec_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        replace(SPEC, **change)
    with pytest.raises(EncoderError, match=message):
        ImageSpec.from_json(json.dumps(asdict(SPEC) | change), "here")


# --- files --------------------------------------------------------------------------------------


def write_model(
    path: Path, spec: ImageSpec | None, outputs: tuple[str, ...] = ("embedding", "features")
) -> Path:
    """A graph of two poolings and a constant, with the metadata of an encoder, if wanted."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    batch = ["B", 3, "H", "W"]
    shapes = {"embedding": ["B", SPEC.embedding_dim], "features": ["B", SPEC.feature_dim, "h", "w"]}
    side = SPEC.feature_stride_px
    ones = np.ones((SPEC.feature_dim, SPEC.embedding_dim), np.float32)
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["features"], kernel_shape=[side] * 2, strides=[side] * 2
        ),
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "ones"], ["sum"]),
        helper.make_node("LpNormalization", ["sum"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, batch)],
        [helper.make_tensor_value_info(name, kind, shapes[name]) for name in outputs],
        [onnx.numpy_helper.from_array(ones, "ones")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if spec is not None:
        helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, path)
    return path


def test_a_model_of_one_s_own(tmp_path: Path) -> None:
    encoder = load_encoder(write_model(tmp_path / "my.ONNX", SPEC))
    assert encoder.spec == SPEC
    images = pictures(2, 64, 96)
    encoded = encoder.encode(images)
    expected = normalise_pixels(images, SPEC).reshape(2, 3, 2, 32, 3, 32).mean(axis=(3, 5))
    np.testing.assert_allclose(encoded.features, expected.transpose(0, 2, 3, 1), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(encoded.embedding, axis=1), 1.0, atol=1e-6)


def test_model_without_spec(tmp_path: Path) -> None:
    path = write_model(tmp_path / "plain.onnx", None)
    with pytest.raises(EncoderError, match=r"plain\.onnx: is an ONNX model without MobileGeo's"):
        OnnxEncoder(path)


@pytest.mark.parametrize(
    ("spec", "outputs"),
    [
        (replace(SPEC, embedding_dim=16), ("embedding", "features")),
        (SPEC, ("features",)),
        (SPEC, ("embedding",)),
    ],
)
def test_model_that_breaks_its_promise(
    tmp_path: Path, spec: ImageSpec, outputs: tuple[str, ...]
) -> None:
    path = write_model(tmp_path / "m.onnx", spec, outputs)
    with pytest.raises(EncoderError, match=r"m\.onnx: has outputs .*, its ImageSpec promises"):
        OnnxEncoder(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no\.onnx: cannot be read \(No such file.*; give the"):
        OnnxEncoder(tmp_path / "no.onnx")
    with pytest.raises(EncoderError, match="cannot be read"):
        load_encoder(str(tmp_path / "no.onnx"))


@pytest.mark.parametrize("content", [b"", b"no model" * 50])
def test_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(EncoderError, match=r"m\.onnx: is not a readable ONNX model .*; copy or"):
        OnnxEncoder(path)


def test_cut_model(tmp_path: Path) -> None:
    whole = (files("mobilegeo.encoder") / "weights" / SHIPPED[DEFAULT]).read_bytes()
    path = tmp_path / "m.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EncoderError, match="is not a readable ONNX model"):
        OnnxEncoder(path)


@pytest.mark.parametrize("name", ["second", "weights.pt", "", "First"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(EncoderError, match=r"neither a shipped encoder nor an \.onnx file; choose"):
        load_encoder(name)


# --- the encoder of a pack ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MapPack]:
    """Packs that claim to be of the shipped encoder and of another."""
    folder = tmp_path_factory.mktemp("packs")
    hashes = {"shipped": load_encoder(threads=1).sha256, "other": "ab" * 32}
    return {
        name: build_pack(
            PlainSource(120.0, 120.0), folder / name, FakeEncoder(sha256), footprints_m=(60.0,)
        )
        for name, sha256 in hashes.items()
    }


def test_encoder_for_a_pack_is_found_by_its_hash(packs: dict[str, MapPack]) -> None:
    assert encoder_for(packs["shipped"], threads=1).sha256 == packs["shipped"].encoder_sha256
    assert encoder_for(packs["shipped"], DEFAULT).sha256 == packs["shipped"].encoder_sha256


def test_encoder_for_a_pack_of_another(packs: dict[str, MapPack], tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"fake-1 \(abababababab…\), which does not ship with"):
        encoder_for(packs["other"])
    with pytest.raises(PackError, match=r"built with encoder fake-1 .*, not with"):
        encoder_for(packs["other"], DEFAULT)
    mine = write_model(tmp_path / "my.onnx", SPEC)
    with pytest.raises(PackError, match=r"not with tiny-1 \(.*; use that encoder, or build"):
        encoder_for(packs["shipped"], mine)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_encoder_is_the_one_its_card_describes(name: str) -> None:
    encoder = load_encoder(name)
    assert encoder.sha256 in card(name)
    assert not re.search(rb"\.py\b", Path(encoder.path).read_bytes())


@pytest.mark.parametrize(("name", "original"), MADE_FROM.items())
def test_a_shipped_file_of_reduced_precision_comes_from_a_shipped_one(
    name: str, original: str
) -> None:
    made, whole = load_encoder(name, threads=1), load_encoder(original, threads=1)
    assert made.spec.derived_from == whole.sha256
    assert made.spec.precision != whole.spec.precision
    assert len(Path(made.path).read_bytes()) < 0.5 * len(Path(whole.path).read_bytes())
