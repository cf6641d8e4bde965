"""The benchmark: its statistics, counters, records and complaints."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_kit import call, small_world
from mobilegeo.bench.energy import EnergyMeter
from mobilegeo.bench.machine import calm_threads, cpu_name, peak_memory, reset_peak
from mobilegeo.bench.network import measure_networks
from mobilegeo.bench.pipeline import STAGES, measure_pipeline
from mobilegeo.bench.rapl import open_rapl
from mobilegeo.bench.run import Plan
from mobilegeo.bench.spread import Spread
from mobilegeo.encoder import load_encoder
from mobilegeo.errors import UsageError
from mobilegeo.fix import Fix


@dataclass
class FakeClock:
    """Stands still unless it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeEncoder:
    """Takes `ms_per_image` of the clock's time an image, and remembers its calls."""

    clock: FakeClock
    ms_per_image: float
    calls: list[str]
    spec: object = field(default_factory=lambda: replace(load_encoder().spec, size_px=32))

    def embed(self, images):
        self.calls.append(f"{self.ms_per_image:g}")
        assert images.shape[1:] == (32, 32, 3)
        self.clock.now += self.ms_per_image * len(images) / 1000

    def features(self, images):
        self.clock.now += 2 * self.ms_per_image * len(images) / 1000


@dataclass
class FakeLocalizer:
    """Takes the next of `seconds` a photo, and finds every photo but `lost.jpg`."""

    clock: FakeClock
    seconds: list[float]
    files: list[Path] = field(default_factory=list)

    def locate(self, file):
        spent = self.seconds[len(self.files)]
        self.files.append(file)
        self.clock.now += spent
        timing = dict.fromkeys(STAGES, 0.0) | {"align": 600 * spent, "total": 1000 * spent}
        return Fix(str(file), "no_fix" if file.name == "lost.jpg" else "fix", timing_ms=timing)


def silent(stage, done, total):
    """Progress that nobody watches."""


def rapl(root: Path, name: str, energy_uj: str, range_uj: str = "999") -> Path:
    zone = root / name
    zone.mkdir(parents=True)
    (zone / "energy_uj").write_text(energy_uj)
    (zone / "max_energy_range_uj").write_text(range_uj)
    return zone / "energy_uj"


def test_percentiles_of_known_numbers() -> None:
    spread = Spread.of([float(value) for value in range(101)])
    assert spread == Spread(50.0, 95.0)
    assert Spread(1.23456, 2.0).to_record() == {"p50": 1.235, "p95": 2.0}


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_lie_among_the_timings(times) -> None:
    spread = Spread.of(times)
    slack = 1e-9 * max(times)
    assert min(times) - slack <= spread.p50_ms <= spread.p95_ms + slack <= max(times) + 2 * slack


def test_encoders_take_turns_and_the_first_round_does_not_count() -> None:
    clock, calls = FakeClock(), []
    pair = [FakeEncoder(clock, 3.0, calls), FakeEncoder(clock, 5.0, calls)]
    slow, slower = measure_networks(pair, batches=(1, 4), rounds=2, clock=clock, progress=silent)
    assert calls == ["3", "3", "5", "5"] * 3
    assert [(each.output, each.batch) for each in slow] == [
        ("embed", 1), ("embed", 4), ("features", 1), ("features", 4)
    ]  # fmt: skip
    assert [each.time.p50_ms for each in slow] == pytest.approx([3, 12, 6, 24])
    assert [each.images_per_s for each in slower] == pytest.approx([200, 200, 100, 100])


def test_pipeline_counts_what_follows_the_warm_up(tmp_path) -> None:
    clock = FakeClock()
    found, lost = Path("found.jpg"), Path("lost.jpg")
    localizers = [
        FakeLocalizer(clock, [9.0, 9.0, 0.1, 0.2, 0.3]),
        FakeLocalizer(clock, [9.0, 9.0, 1.0, 1.0, 1.0]),
    ]
    meter = EnergyMeter(())
    fast, slow = measure_pipeline(localizers, [found, lost], 3, meter, clock=clock, progress=silent)
    assert localizers[0].files == [found, lost, found, lost, found]
    assert (fast.photos, fast.fixes, fast.joules_per_photo) == (3, 2, None)
    assert fast.photos_per_s == pytest.approx(3 / 0.6)
    assert fast.stages["total"].p50_ms == pytest.approx(200)
    assert fast.stages["align"].p50_ms == pytest.approx(120)
    assert slow.photos_per_s == pytest.approx(1)


def test_energy_of_packages_is_summed_and_counters_wrap(tmp_path) -> None:
    first = rapl(tmp_path, "intel-rapl:0", "100")
    rapl(tmp_path, "intel-rapl:0:0", "1")
    second = rapl(tmp_path, "intel-rapl:1", "990")
    meter = EnergyMeter(open_rapl(tmp_path).counters)
    assert meter.names == ("RAPL intel-rapl:0", "RAPL intel-rapl:1")
    before = meter.read()
    first.write_text("150")
    second.write_text("20")
    assert meter.note == ""
    assert before == (100, 990)
    assert meter.joules(before, meter.read()) == pytest.approx((50 + 30) / 1e6)


def test_energy_that_is_not_reported_says_why(tmp_path) -> None:
    assert open_rapl(tmp_path / "absent").note.startswith("no RAPL counter")
    rapl(tmp_path, "intel-rapl:0", "not a number")
    source = open_rapl(tmp_path)
    assert source.counters == ()
    assert "cannot be read" in source.note


def test_energy_reaches_the_result(tmp_path) -> None:
    energy = rapl(tmp_path, "intel-rapl:0", "0", "99999999")

    class Drawing(FakeLocalizer):
        def locate(self, file):
            energy.write_text(str(int(energy.read_text()) + 3_000_000))
            return super().locate(file)

    clock = FakeClock()
    (times,) = measure_pipeline(
        [Drawing(clock, [1.0] * 4)],
        [Path("a.jpg")],
        2,
        EnergyMeter(open_rapl(tmp_path).counters),
        clock=clock,
        progress=silent,
    )
    assert times.joules_per_photo == pytest.approx(3)


def test_threads_are_calmed_unless_the_user_said_otherwise(monkeypatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    calm_threads()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    os.environ["OMP_WAIT_POLICY"] = "ACTIVE"
    calm_threads()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_several_runtimes_in_one_run(world) -> None:
    pytest.importorskip("openvino")
    own = ("--map", world.pack, "--photo", world.photos[0])
    runtimes = ("--runtime", "onnx", "--runtime", "openvino")
    (record,) = call("bench", *own, *runtimes, "--photos", "1", "--json").records
    assert [each["runtime"] for each in record["encoders"]] == ["onnx", "openvino"]
    assert len({each["model_id"] for each in record["encoders"]}) == 1


def test_cpu_name_is_read(tmp_path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU: 3 GHz\n")
    assert cpu_name(info) == "Some CPU: 3 GHz"
    assert cpu_name(tmp_path / "absent") == cpu_name(tmp_path / "absent too")


def test_peak_memory_sees_what_was_held_and_let_go(tmp_path) -> None:
    assert not reset_peak(tmp_path / "none" / "clear_refs")
    before = peak_memory(since_reset=False)
    if before.mb is None:
        pytest.skip("the platform reports no memory")
    held = np.ones(round(before.mb * 1e6 / 8) + 4_000_000)
    del held
    assert peak_memory(since_reset=False).mb > before.mb
    assert "preparation" in before.note


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"photos": 0}, "photos 0: is not positive"),
        ({"files": (Path("a.jpg"),)}, "--photo: is given without --map"),
        ({"map_pack": Path("a.pack")}, "--map: is given without --photo"),
        ({"photo_px": (10, 400)}, "--size 10x400: cannot be generated"),
        ({"photo_px": (400, 90_000)}, "--size 400x90000: cannot be generated"),
        (
            {"photo_px": (400, 300), "map_pack": Path("a.pack"), "files": (Path("a.jpg"),)},
            "--size: is given with --map",
        ),
    ],
)
def test_plans_that_cannot_be_meant(changes, complaint) -> None:
    with pytest.raises(UsageError, match=complaint):
        Plan(**changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return small_world(tmp_path_factory.getbasetemp())


def test_a_real_run_on_ones_own_map(world) -> None:
    outcome = call(
        "bench", "--map", world.pack, "--photo", world.photos[0].parent, "--photos", "3", "--json"
    )
    assert outcome.code == 0, outcome.err
    (record,) = outcome.records
    assert list(record) == [
        "cpu", "cores", "threads", "photo_px", "peak_memory_mb", "peak_memory_note",
        "energy_sources", "energy_note", "encoders",
    ]  # fmt: skip
    (result,) = record["encoders"]
    assert list(result) == [
        "encoder", "runtime", "model_id", "tiles", "photos", "fixes", "stages_ms", "photos_per_s",
        "energy_j_per_photo", "network",
    ]  # fmt: skip
    assert (record["photo_px"], result["photos"]) == (None, 3)
    assert list(result["stages_ms"]) == list(STAGES)
    stages = {name: spread["p50"] for name, spread in result["stages_ms"].items()}
    assert 0 < stages["encode"] < stages["total"]
    assert all(spread["p50"] <= spread["p95"] for spread in result["stages_ms"].values())
    assert [(case["output"], case["batch"]) for case in result["network"]] == [
        (output, batch) for output in ("embed", "features") for batch in (1, 8, 32)
    ]
    assert (result["energy_j_per_photo"] is None) == bool(record["energy_note"])


def test_a_generated_world_in_a_table() -> None:
    outcome = call("bench", "--photos", "1", "--size", "320x240", "--threads", "1")
    assert outcome.code == 0, outcome.err
    for word in ("1 encoder threads", "align", "photos/s", "images/s", "peak memory"):
        assert word in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--size", "big"], 2, "--size big: is not a size; write WIDTHxHEIGHT"),
        (["--photo", "a.jpg"], 2, "--photo: is given without --map"),
        (["--runtime", "warp"], 3, "runtime warp: is not known"),
        (["--chart", "here"], 2, "--chart: is given without --against; add --against torch"),
        (
            ["--against", "sample4go"],
            2,
            "--against sample4go: is not known; name torch for all, or",
        ),
        (["--against", "tiny,"], 2, "--against tiny,: is not known"),
        (["--encoder", "nonsense"], 3, "nonsense: is neither a shipped encoder"),
        (["--map", "absent.pack", "--photo", "a.jpg"], 3, "absent.pack"),
    ],
)
def test_complaints(arguments, code, complaint) -> None:
    outcome = call("bench", *arguments)
    assert outcome.code == code
    assert complaint in outcome.err
    assert json.dumps(outcome.out) == '""'


def test_against_without_torch_names_the_extra(monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    outcome = call("bench", "--against", "torch")
    assert outcome.code == 3
    assert "--against: builds networks in PyTorch, which is not installed" in outcome.err
    assert "pip install 'mobilegeo[learn]'" in outcome.err


def test_a_photo_that_is_missing_ends_the_run(world) -> None:
    outcome = call("bench", "--map", world.pack, "--photo", world.folder / "absent.jpg")
    assert outcome.code == 1
    assert "absent.jpg" in outcome.err
