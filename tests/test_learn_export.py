"""Exported precisions: what they keep, what they refuse, and packs that take them all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

import onnxruntime  # noqa: E402
from torch import nn  # noqa: E402

from cli_kit import call  # noqa: E402
from maps_kit import FakeEncoder, PlainSource  # noqa: E402
from mobilegeo.encoder import encoder_for, load_encoder  # noqa: E402
from mobilegeo.encoder.base import Encoded, ImageSpec, origin  # noqa: E402
from mobilegeo.encoder.graph import normalise_pixels  # noqa: E402
from mobilegeo.errors import EncoderError, PackError, ResourceError, UsageError  # noqa: E402
from mobilegeo.learn.export import run as run_module  # noqa: E402
from mobilegeo.learn.export.half import halve  # noqa: E402
from mobilegeo.learn.export.imagery import halves, open_imagery  # noqa: E402
from mobilegeo.learn.export.onnx import write_onnx  # noqa: E402
from mobilegeo.learn.export.parity import (  # noqa: E402
    Parity,
    compare,
    require_parity,
    torch_encode,
)
from mobilegeo.learn.export.quantize import quantise  # noqa: E402
from mobilegeo.learn.export.recall import (  # noqa: E402
    RecallChange,
    recall_on_pairs,
    require_recall,
)
from mobilegeo.learn.export.run import Request, export  # noqa: E402
from mobilegeo.learn.export.student import StudentEncoder  # noqa: E402
from mobilegeo.learn.models.saved import ChannelStatistics  # noqa: E402
from mobilegeo.learn.models.student import Student, StudentConfig  # noqa: E402
from mobilegeo.learn.models.timm_model import BackboneConfig  # noqa: E402
from mobilegeo.locate.calibration import NEUTRAL, calibration_for, shipped  # noqa: E402
from mobilegeo.maps.build import build_pack  # noqa: E402
from mobilegeo.maps.pack import MapPack  # noqa: E402
from mobilegeo.world import Appearance, generate_world, render_ortho  # noqa: E402

SIDE = 224
LEAST_COSINES = {"float16": 0.9999, "int8": 0.95}
"""Of embeddings and, as the median over cells, of features; measured 0.98 and more for int8."""


@pytest.fixture(scope="module")
def world() -> NDArray[np.uint8]:
    return render_ortho(generate_world(3, (200.0, 200.0)), Appearance(noise=2.0))


@pytest.fixture(scope="module")
def tiles(world: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    steps = range(0, 3 * SIDE, SIDE)
    return [world[y : y + SIDE, x : x + SIDE] for y in steps for x in steps]


@pytest.fixture(scope="module")
def imagery(tmp_path_factory: pytest.TempPathFactory, world: NDArray[np.uint8]) -> Path:
    """A folder of two images."""
    folder = tmp_path_factory.mktemp("imagery")
    for name, part in (("a", world[:, :400]), ("b", world[:, 400:])):
        cv2.imwrite(str(folder / f"{name}.png"), part[:, :, ::-1])
    return folder


@pytest.fixture(scope="module")
def derived(
    tmp_path_factory: pytest.TempPathFactory, tiles: list[NDArray[np.uint8]]
) -> dict[str, Path]:
    folder, source = tmp_path_factory.mktemp("derived"), load_encoder().path
    return {
        "float16": halve(source, folder / "float16.onnx"),
        "int8": quantise(source, folder / "int8.onnx", tiles[::2]),
    }


# --- files of reduced precision -----------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_every_runtime_computes_nearly_the_same(
    derived: dict[str, Path], tiles: list[NDArray[np.uint8]], precision: str, runtime: str
) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    reduced = load_encoder(derived[precision], threads=1, runtime=runtime)
    parity = compare(load_encoder(threads=1).encode, reduced.encode, tiles)
    assert parity.images == len(tiles)
    assert parity.embedding_min > LEAST_COSINES[precision]
    assert parity.features_median > LEAST_COSINES[precision]
    assert parity.error > 1e-9, "the precision was not reduced"


def test_runtimes_agree_on_int8(derived: dict[str, Path], tiles: list[NDArray[np.uint8]]) -> None:
    """With 8-bit weights they would not: products overflow on processors without VNNI."""
    pytest.importorskip("openvino")
    exact = onnxruntime.SessionOptions()
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(derived["int8"], exact)
    spec = load_encoder(derived["int8"]).spec

    def unfused(images: NDArray[np.uint8]) -> Encoded:
        embedding, features = session.run(None, {"image": normalise_pixels(images, spec)})
        return Encoded(embedding, features.transpose(0, 2, 3, 1))

    for runtime in ("onnx", "openvino"):
        integer = load_encoder(derived["int8"], threads=1, runtime=runtime)
        parity = compare(unfused, integer.encode, tiles)
        assert parity.features_min > 0.95
        assert parity.features_median > 0.99


def test_files_are_smaller_and_say_what_they_are(derived: dict[str, Path]) -> None:
    base = load_encoder()
    size = base.path.stat().st_size
    for precision, share in (("float16", 0.52), ("int8", 0.35)):
        made = load_encoder(derived[precision])
        assert derived[precision].stat().st_size < share * size
        changed = {
            "model_id": f"{base.spec.model_id}-{precision}",
            "precision": precision,
            "derived_from": base.sha256,
        }
        assert made.spec == replace(base.spec, **changed)
        assert b"site-packages" not in derived[precision].read_bytes()


def test_int8_leaves_depthwise_convolutions_and_the_rest_alone(derived: dict[str, Path]) -> None:
    graph = onnx.load(derived["int8"]).graph
    kinds = {output: node.op_type for node in graph.node for output in node.output}
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    for node in graph.node:
        from_integers = [kinds.get(name) == "DequantizeLinear" for name in node.input]
        depthwise = (
            node.op_type == "Conv" and not from_integers[1] and shapes[node.input[1]][1] == 1
        )
        if node.op_type in ("Conv", "Gemm") and not depthwise:
            assert from_integers[:2] == [True, True], node.name
        elif node.op_type not in ("DequantizeLinear", "QuantizeLinear"):
            assert not any(from_integers), node.name


@pytest.mark.parametrize("make", [halve, lambda a, b: quantise(a, b, [])])
def test_a_derived_file_is_no_source(
    derived: dict[str, Path], tmp_path: Path, make: Callable[[Path, Path], Path]
) -> None:
    with pytest.raises(EncoderError, match="already of precision int8; give the float32 encoder"):
        make(derived["int8"], tmp_path / "again.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_half_are_refused(tmp_path: Path) -> None:
    proto = onnx.load(load_encoder().path)
    largest = max(proto.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    values = onnx.numpy_helper.to_array(largest).copy()
    values.flat[0] = 1e5
    largest.CopyFrom(onnx.numpy_helper.from_array(values, largest.name))
    onnx.save(proto, tmp_path / "large.onnx")
    with pytest.raises(
        EncoderError, match=r"has a weight beyond float16 in .*; keep it in float32"
    ):
        halve(tmp_path / "large.onnx", tmp_path / "half.onnx")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "int4", "derived_from": "ab"}, "precision is 'int4', not one of float32"),
        ({"precision": "int8"}, "derived_from is None"),
        ({"derived_from": "ab"}, "derived_from is 'ab'"),
    ],
)
def test_facts_that_contradict_each_other(changes: dict[str, str], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        replace(load_encoder().spec, **changes)


def test_facts_of_older_files_are_float32() -> None:
    record = json.loads(load_encoder().spec.to_json())
    del record["precision"], record["derived_from"]
    spec = ImageSpec.from_json(json.dumps(record), "old.onnx")
    assert (spec.precision, spec.derived_from) == ("float32", None)
    assert origin("aa", spec) == "aa"
    assert origin("bb", replace(spec, precision="int8", derived_from="aa")) == "aa"


# --- packs and constants of one origin ----------------------------------------------------------


def test_a_pack_takes_every_precision_of_its_encoder(
    derived: dict[str, Path], tmp_path: Path
) -> None:
    base = load_encoder(threads=1)
    pack = build_pack(
        PlainSource(120.0, 120.0), tmp_path / "a", FakeEncoder(base.sha256), footprints_m=(60.0,)
    )
    for path in derived.values():
        assert encoder_for(pack, path).sha256 == load_encoder(path).sha256


def test_a_pack_of_a_derived_encoder_flies_with_the_original(
    derived: dict[str, Path], tmp_path: Path
) -> None:
    reduced, base = load_encoder(derived["int8"], threads=1), load_encoder(threads=1)
    pack = build_pack(PlainSource(250.0, 250.0), tmp_path / "a", reduced, footprints_m=(120.0,))
    again = MapPack.open(tmp_path / "a", encoder=base)
    assert again.spec == reduced.spec
    assert encoder_for(pack).sha256 == base.sha256
    assert encoder_for(pack, derived["float16"]).spec.precision == "float16"
    other = FakeEncoder("cd" * 32)
    with pytest.raises(PackError, match=r"built with encoder .*-int8 .*, not with fake-1"):
        pack.require(other)


def test_constants_of_the_original_hold(derived: dict[str, Path]) -> None:
    assert calibration_for(load_encoder(derived["int8"])) == shipped()
    assert calibration_for(FakeEncoder("cd" * 32)) == NEUTRAL


# --- proofs -------------------------------------------------------------------------------------


def test_parity_is_the_cosine() -> None:
    def encode(scale: float) -> Callable[[NDArray[np.uint8]], Encoded]:
        vector = np.array([[1.0, scale]], np.float32)
        cells = np.array([[[[3.0, 0.0], [0.0, 2.0]]]], np.float32)
        return lambda _: Encoded(vector, cells)

    parity = compare(encode(0.0), encode(1.0), [np.zeros((32, 32, 3), np.uint8)] * 2)
    assert parity.embedding_min == pytest.approx(np.sqrt(0.5))
    assert parity == Parity(2, parity.embedding_min, parity.embedding_median, 1.0, 1.0)
    assert parity.error == pytest.approx(1 - np.sqrt(0.5))


@pytest.mark.parametrize("cosine", [0.999, float("nan")])
def test_a_file_that_differs_is_refused(cosine: float) -> None:
    with pytest.raises(ResourceError, match=r"differs from the network by .* more than 0\.0001"):
        require_parity(Parity(1, cosine, 1.0, 1.0, 1.0), Path("x.onnx"))
    require_parity(Parity(1, 0.99999, 1.0, 1.0, 1.0), Path("x.onnx"))


def test_recall_change_by_hand() -> None:
    before = np.array([True, True, True, False])
    after = np.array([True, False, False, True])
    change = RecallChange.of(before, after)
    assert (change.queries, change.before, change.after, change.drop) == (4, 0.75, 0.5, 0.25)
    assert change.standard_error == pytest.approx(np.std([0, -1, -1, 1]) / 2)
    message = r"loses 25\.00 ± 41\.46 points of recall@1 \(75\.00 to 50\.00 % of 4 queries\)"
    with pytest.raises(ResourceError, match=message):
        require_recall(change, Path("x.onnx"))
    require_recall(RecallChange.of(after, before), Path("x.onnx"))


def test_convnext_is_exported_with_convolutions_and_agrees(
    tmp_path: Path, tiles: list[NDArray[np.uint8]]
) -> None:
    torch.manual_seed(0)
    config = StudentConfig(BackboneConfig("convnext_atto", pretrained=False), embedding_dim=32)
    student = Student(config, places=2).eval()
    for name, parameter in student.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    statistics = ChannelStatistics(torch.zeros(160), torch.ones(160))
    encoder = StudentEncoder(student.embedder, statistics).eval().requires_grad_(False)
    spec = replace(load_encoder().spec, embedding_dim=32, feature_dim=160)
    pixels = torch.from_numpy(normalise_pixels(np.stack(tiles[:2]), spec))
    with torch.no_grad():
        torch.testing.assert_close(encoder(pixels)[0], student.embed(pixels), atol=1e-5, rtol=0)
    written = load_encoder(write_onnx(encoder, spec, tmp_path / "atto.onnx"), threads=1)
    require_parity(compare(torch_encode(encoder, spec), written.encode, tiles[:2]), written.path)
    kinds = [node.op_type for node in onnx.load(written.path).graph.node]
    assert "MatMul" not in kinds


# --- imagery ------------------------------------------------------------------------------------


def test_halves_share_nothing_and_follow_the_seed(imagery: Path) -> None:
    pieces = open_imagery(imagery, load_encoder().spec)
    first, second = halves(pieces, 0)
    assert sorted(source.name for source in [*first, *second]) == sorted(s.name for s in pieces)
    assert not {s.name for s in first} & {s.name for s in second}
    assert [s.name for s in halves(pieces, 0)[0]] == [s.name for s in first]


def test_imagery_of_one_piece_is_refused(tmp_path: Path, world: NDArray[np.uint8]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), world[:300, :300])
    with pytest.raises(ResourceError, match="gives 1 pieces of ground, and one half judges"):
        open_imagery(tmp_path, load_encoder().spec)


def test_a_map_is_cut_at_the_resolution_of_the_features(
    tmp_path: Path, world: NDArray[np.uint8]
) -> None:
    from mobilegeo.world.geotiff import write_geotiff

    large = np.tile(world, (4, 4, 1))
    write_geotiff(tmp_path / "map.tif", large, "EPSG:32631", (680_000.0, 6_098_000.0), 0.25)
    pieces = open_imagery(tmp_path / "map.tif", load_encoder().spec)
    assert len(pieces) >= 2
    assert {(*piece.image.shape, piece.gsd_m) for piece in pieces} == {(672, 672, 3, 0.5)}


def test_recall_is_one_for_an_encoder_that_knows_the_place(imagery: Path) -> None:
    from mobilegeo.learn.export.imagery import views_of

    spec = load_encoder().spec
    views = views_of(open_imagery(imagery, spec), spec, 0)

    class Oracle:
        """Gives query and tile of one place the same vector, of its own."""

        def __init__(self) -> None:
            self.spec, self.sha256, self.made = spec, "", 0

        def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            numbers = self.made + np.repeat(np.arange(len(images) // 2), 2)
            self.made += len(images) // 2
            return np.eye(64, dtype=np.float32)[numbers]

    class Blind(Oracle):
        def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            vectors = super().embed(images)
            vectors[1::2] *= -1
            return vectors

    knows, misses = recall_on_pairs((Oracle(), Blind()), views, 8, lambda *_: None)
    assert knows.all()
    assert len(knows) >= 8
    assert not misses.any()


# --- the command --------------------------------------------------------------------------------


def test_export_of_a_shipped_encoder_in_float16(imagery: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.onnx"
    done = export(Request("first", out, "float16", imagery, queries=16))
    assert done.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert (done.size, done.against) == (out.stat().st_size, "float32")
    assert done.recall is not None
    assert done.recall.queries >= 16
    assert abs(done.recall.drop) <= 0.07
    assert done.parity.error < 1e-3
    assert [path.name for path in tmp_path.iterdir()] == ["half.onnx"]


def test_what_loses_recall_is_not_kept(
    imagery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [np.ones(200, np.bool_), np.arange(200) > 1]
    monkeypatch.setattr(run_module, "recall_on_pairs", lambda *_: lost)
    with pytest.raises(ResourceError, match=r"loses 1\.00 ± 0\.70 points of recall@1 .*not kept"):
        export(Request("first", tmp_path / "int8.onnx", "int8", imagery))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("first",), "first: is exported already; choose --precision float16 or int8"),
        (("first", "--precision", "int8"), "needs imagery .*; give --calibrate"),
        (("first", "--precision", "int4"), "--precision int4: is none; choose float32, float16"),
        (("a.safetensors", "--held-out", "b"), "--held-out: judges float16 and int8 files"),
    ],
)
def test_command_refuses(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = call("learn", "export", *arguments, "-o", str(tmp_path / "x.onnx"))
    assert result.code == UsageError.exit_code
    assert re.search(message, result.err)
    assert list(tmp_path.iterdir()) == []
