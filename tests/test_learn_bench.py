"""The comparison with other papers' networks: what is built, timed, drawn and computed."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import REPOSITORY
from mobilegeo.bench.energy import EnergyMeter
from mobilegeo.bench.spread import Spread
from mobilegeo.bench.turns import Timing

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from mobilegeo.learn.bench.chart import Bubble, bubbles_of, ticks, write_chart  # noqa: E402
from mobilegeo.learn.bench.comparison import Comparison, Row, compare  # noqa: E402
from mobilegeo.learn.bench.contenders import Contender, names_of, peer_contender  # noqa: E402
from mobilegeo.learn.bench.family import FAMILY, Member, build_embedder  # noqa: E402
from mobilegeo.learn.bench.peers import PEERS, Peer, Published  # noqa: E402
from mobilegeo.learn.bench.placement import Box, Circle, Label, place_labels  # noqa: E402
from mobilegeo.learn.bench.roofline import (  # noqa: E402
    Rates,
    Work,
    bound,
    measure_rates,
    work_of,
)
from mobilegeo.learn.models.complexity import Complexity, measure  # noqa: E402


def silent(stage, done, total):
    """Progress that nobody watches."""


# --- peers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "giga", "million"),
    [
        ("mean", 13.1, 27.8),  # MEAN reports 26.18 GFLOPs with its heads, two a multiply-add
        ("lpn", 8.1, 23.5),
        ("fsra", 13.1, 48.0),
    ],
)
def test_a_peer_costs_one_pass_of_what_is_known(name, giga, million) -> None:
    cost = measure(PEERS[name].build(), PEERS[name].size_px)
    assert cost.multiply_adds / 1e9 == pytest.approx(giga, rel=0.01)
    assert cost.parameters / 1e6 == pytest.approx(million, rel=0.01)


def test_every_peer_names_where_its_accuracy_was_read() -> None:
    for peer in PEERS.values():
        assert peer.passes in {1, 2}
        assert peer.published is None or 50 < peer.published.recall_at_1 < 100
        assert peer.published is None or peer.published.source


def test_a_second_pass_sees_the_mirrored_image_and_counts() -> None:
    peer = Peer("P", "tiny", "convnext_atto", 64, passes=2)
    torch.manual_seed(0)
    twice = peer_contender("p", peer)
    torch.manual_seed(0)
    once = peer_contender("p", replace(peer, passes=1))
    assert twice.complexity.multiply_adds == 2 * once.complexity.multiply_adds
    assert twice.complexity.parameters == once.complexity.parameters
    a, b = twice.call(), once.call()
    assert a.shape == b.shape
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, atol=1e-5)
    assert np.abs(a - b).max() > 1e-4


def test_names() -> None:
    assert names_of("torch") == (*FAMILY, *PEERS)
    assert names_of("fsra,sample4geo,fsra") == ("fsra", "sample4geo")


# --- a run ---------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """A family of one small network, and a small peer."""
    member = Member("convnext_atto", "atto 64", 64)
    monkeypatch.setitem(FAMILY, "tiny", member)
    monkeypatch.delitem(FAMILY, "nano")
    monkeypatch.setitem(PEERS, "sample4geo", Peer("Peer", "atto", "convnext_atto", 64, passes=2))


def test_a_run(small) -> None:
    pytest.importorskip("openvino")
    result = compare(
        ["tiny", "sample4geo"],
        [],
        threads=torch.get_num_threads(),
        seconds=0.0,
        meter=EnergyMeter(()),
        progress=silent,
    )
    runtimes = [(row.contender.name, row.contender.runtime) for row in result.rows]
    routes = ["torch", "onnx", "openvino", "openvino-bf16", "onnx int8", "openvino int8"]
    missing = [name.removeprefix("tiny ") for name in result.left_out]
    assert set(missing) <= {"openvino-bf16"}
    assert runtimes == [
        *(("tiny", route) for route in routes if route not in missing),
        ("sample4geo", "torch"),
    ]
    record = result.to_record()
    assert record["rows"][0]["times_faster"] == 1.0
    assert all(row["latency_ms"]["p50"] > 0 and row["calls"] >= 3 for row in record["rows"])
    assert (
        record["rows"][-1]["multiply_adds"]
        == 2 * measure(PEERS["sample4geo"].build(), 64).multiply_adds
    )
    assert any(name.endswith("against sample4geo in torch") for name in record["ratios"])


def test_the_baseline_takes_part_unasked(small) -> None:
    result = compare(
        ["sample4geo"],
        [],
        threads=torch.get_num_threads(),
        seconds=0.0,
        meter=EnergyMeter(()),
        progress=silent,
    )
    assert [row.contender.name for row in result.rows] == ["tiny", "sample4geo"]


def row(name, runtime, ms, *, giga=1.0, published=None) -> Row:
    cost = Complexity(10**6, round(giga * 1e9), 224)
    given = None if published is None else Published(published, "a paper")
    title = f"{PEERS[name].paper}: {PEERS[name].title}" if name in PEERS else f"ours: {name}"
    contender = Contender(name, title, runtime, 224, 1, cost, given, lambda: None)
    return Row(contender, Timing(Spread(ms, ms), 5, None), 54.0 / ms)


@pytest.fixture
def measured():
    return Comparison(
        (
            row("nano", "openvino", 2.0),
            row("tiny", "torch", 54.0, giga=4.45, published=93.9),
            row("tiny", "onnx", 27.0, giga=4.45, published=93.9),
            row("tiny", "openvino", 18.0, giga=4.45, published=93.9),
            row("tiny", "openvino int8", 9.0, giga=4.45, published=93.9),
            row("sample4geo", "torch", 540.0, giga=45.0, published=92.65),
            row("dac", "torch", 540.0, giga=45.0, published=94.67),
            row("game4loc", "torch", 580.0, giga=49.0),
        ),
        {},
        2,
        "PASSIVE",
    )


def test_ratios_are_of_the_best_of_ours_against_eager(measured) -> None:
    ratios = measured.ratios()
    assert ratios["tiny in openvino int8, against tiny in torch"] == pytest.approx(6.0)
    assert ratios["tiny in openvino int8, against sample4geo in torch"] == pytest.approx(60.0)
    assert ratios["nano in openvino, against tiny in torch"] == pytest.approx(27.0)
    assert not any("fsra" in name for name in ratios)


TEXT = "{http://www.w3.org/2000/svg}text"


# --- the chart -----------------------------------------------------------------------------------


def test_published_accuracy_goes_with_float32_only(measured) -> None:
    shown = {each.label: each for each in bubbles_of(measured)}
    assert shown["tiny · openvino"].accuracy == 93.9
    assert shown["tiny · openvino int8"].accuracy is None
    assert "tiny · onnx" not in shown  # slower than another runtime of its kind
    assert shown["Sample4Geo · ConvNeXt-B 384"].accuracy == 92.65
    assert [each.ours for each in shown.values()].count(False) == 3


def test_areas_are_proportional_to_multiply_adds() -> None:
    small, large = (Bubble("", 1.0, None, giga * 10**9, ours=True) for giga in (4, 16))
    assert large.radius_px == pytest.approx(2 * small.radius_px)


def test_the_chart_is_written_both_ways(measured, tmp_path) -> None:
    from PIL import Image

    png, svg = write_chart(measured, "a machine & more", tmp_path / "new")
    with Image.open(png) as image:
        assert image.size == (2240, 1520)
        assert len(image.convert("RGB").getcolors(2**20)) > 20
    texts = [each.text for each in ET.parse(svg).iter(TEXT)]  # noqa: S314  our own
    assert "Milliseconds measured on a machine & more, one image" in texts
    for each in bubbles_of(measured):
        assert each.label in texts
    assert {"2", "5", "10", "500"} <= set(texts)


def test_ticks() -> None:
    assert ticks(0.9, 25) == pytest.approx([1, 2, 5, 10, 20])


bubbles = st.tuples(st.floats(50, 950), st.floats(50, 450), st.floats(3, 40), st.floats(10, 160))


@given(st.lists(bubbles, max_size=25))
def test_labels_cover_nothing(drawn) -> None:
    inside, taken = Box(0, 0, 1000, 500), [Box(0, 400, 400, 500)]
    labels = [Label(Circle(x, y, r), width, 15) for x, y, r, width in drawn]
    places = place_labels(labels, taken, inside)
    boxes = [box for box in places if box is not None]
    for number, box in enumerate(boxes):
        assert box.within(inside)
        assert not any(box.meets(other) for other in [*boxes[:number], *taken])
        assert not any(label.circle.meets(box) for label in labels)
    if len(labels) == 1 and not taken[0].meets(Box(0, 0, 1000, labels[0].circle.y + 60)):
        assert len(boxes) == 1


def test_a_label_stays_beside_its_bubble_where_it_can() -> None:
    (box,) = place_labels([Label(Circle(100, 100, 10), 50, 15)], [], Box(0, 0, 500, 500))
    assert (box.left, box.top + box.bottom) == (114, 200)


# --- the roofline --------------------------------------------------------------------------------


def test_a_bound_by_hand() -> None:
    rates = Rates(multiply_adds_per_s=1e12, bytes_per_s=1e11)
    busy = bound(Work(4_000_000_000, 100_000_000), rates)
    assert (busy.compute_ms, busy.memory_ms) == (pytest.approx(4), pytest.approx(1))
    assert (busy.ms, busy.limit) == (pytest.approx(4), "compute")
    assert bound(Work(1, 10**9), rates).limit == "memory"


def test_work_of_a_layer_by_hand() -> None:
    layer = torch.nn.Conv2d(3, 8, 4, stride=4, bias=False)
    work = work_of(layer, 32, batch=5, item_bytes=2)
    weights, image, result = 3 * 8 * 16, 3 * 32 * 32, 8 * 8 * 8
    assert work.multiply_adds == 5 * result * 3 * 16
    assert work.bytes == 2 * (weights + 5 * (image + result))


def test_rates_are_positive_and_finite() -> None:
    rates = measure_rates("cpu", torch.float32, 64, 2**16)
    assert all(0 < rate < math.inf for rate in (rates.multiply_adds_per_s, rates.bytes_per_s))


# --- the script for GPUs -------------------------------------------------------------------------


def script():
    spec = importlib.util.spec_from_file_location(
        "gpu_speed", REPOSITORY / "benchmarks" / "gpu" / "speed.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_speed"] = module
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_gpu_script() -> None:
    module = script()
    least = bound(Work(10**9, 10), Rates(1e12, 1e12))
    timed = module.Row(
        "tiny", "graphs", "fp16", 8, 224, 1, Timing(Spread(2.0, 3.0), 5, None), least
    )
    failed = module.Row("lpn", "compile", "bf16", 64, 512, 2, None, least, "out of memory")
    *_, first, second = module.table([timed, failed]).splitlines()
    assert first == ("| tiny | 224 | graphs | fp16 | 8 | 2.000 | 4000 | 1.000 (compute) | 50% |")
    assert second == "| lpn | 512 ×2 | compile | bf16 | 64 | out of memory | | 1.000 (compute) | |"


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = REPOSITORY / "benchmarks" / "gpu" / "speed.py"
    return subprocess.run(
        [sys.executable, path, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_gpu_script_runs_on_a_processor(tmp_path) -> None:
    out = tmp_path / "numbers.json"
    done = run_script("--device", "cpu", "--seconds", "0", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "| nano | 224 | eager | fp32 | 2 |" in done.stdout
    assert '"multiply_adds_per_s"' in out.read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_gpu_script_says_that_there_is_no_gpu() -> None:
    done = run_script()
    assert done.returncode == 1
    assert "needs an NVIDIA GPU" in done.stderr
    assert "--device cpu" in done.stderr
    wrong = run_script("--networks", "warp")
    assert wrong.returncode == 2
    assert "no network warp; there are nano, tiny, sample4geo" in wrong.stderr


def test_an_embedder_of_the_family() -> None:
    embedder = build_embedder(Member("convnext_atto", "atto", 64))
    assert embedder(torch.zeros(2, 3, 64, 64)).shape == (2, 512)
