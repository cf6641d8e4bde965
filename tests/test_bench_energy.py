"""Energy of GPUs and of Jetson modules: formats, sums, and what is said where there is none."""

from __future__ import annotations

import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.bench import tegrastats
from mobilegeo.bench.energy import open_meter
from mobilegeo.bench.nvml import open_nvml
from mobilegeo.bench.tegrastats import (
    TegrastatsCounter,
    counted_rails,
    open_tegrastats,
    rails_mw,
)

# Written after the format in NVIDIA's Jetson Linux Developer Guide, one line of each generation.
NANO = (
    "RAM 2503/3956MB (lfb 4x2MB) SWAP 0/1978MB (cached 0MB) IRAM 0/252kB(lfb 252kB) "
    "CPU [12%@1428,5%@1428,7%@1428,3%@1428] EMC_FREQ 2%@1600 GR3D_FREQ 0%@921 APE 25 "
    "PLL@34C CPU@37C PMIC@100C GPU@35.5C AO@43C thermal@36.25C "
    "POM_5V_IN 2022/2013 POM_5V_GPU 40/40 POM_5V_CPU 443/440"
)
ORIN_NANO = (
    "11-28-2026 10:00:00 RAM 2503/7620MB (lfb 4x4MB) SWAP 0/3810MB (cached 0MB) "
    "CPU [2%@729,0%@729,off,off,0%@729,1%@729] EMC_FREQ 0%@2133 GR3D_FREQ 0%@[305] "
    "cpu@47.7C soc2@46.6C tj@48.1C VDD_IN 5023mW/4987mW VDD_CPU_GPU_CV 1189mW/1170mW "
    "VDD_SOC 1426mW/1420mW"
)
AGX_ORIN = (
    "RAM 3012/62841MB (lfb 14x4MB) SWAP 0/31421MB (cached 0MB) CPU [0%@729,0%@729] "
    "GR3D_FREQ 0%@[0,0] cpu@44C VDD_GPU_SOC 2396mW/2396mW VDD_CPU_CV 399mW/399mW "
    "VIN_SYS_5V0 2419mW/2419mW"
)


@pytest.mark.parametrize(
    ("line", "rails", "counted", "total_mw"),
    [
        (NANO, ["POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"], ("POM_5V_IN",), 2022),
        (ORIN_NANO, ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"], ("VDD_IN",), 5023),
        (
            AGX_ORIN,
            ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"],
            ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
            2396 + 399 + 2419,
        ),
    ],
    ids=["nano", "orin nano", "agx orin"],
)
def test_lines_of_tegrastats(line, rails, counted, total_mw) -> None:
    found = rails_mw(line)
    assert list(found) == rails
    assert counted_rails(found) == counted
    assert sum(found[name] for name in counted) == total_mw


@given(st.text())
def test_any_text_is_read(line) -> None:
    assert all(value >= 0 for value in rails_mw(line).values())


def test_power_over_time_is_energy(monkeypatch) -> None:
    monkeypatch.setattr(tegrastats.time, "perf_counter", lambda: 12.5)
    counter = TegrastatsCounter(("VDD_IN",))
    assert counter.name == "tegrastats VDD_IN"
    assert counter.read() == 0
    counter.take("VDD_IN 1000mW/1mW", 10.0)
    counter.take("a line without rails", 10.5)
    counter.take("VDD_IN 4000mW/1mW", 11.0)
    assert counter.read() == 1_000_000 + 1.5 * 4_000_000


def script(folder: Path, text: str) -> None:
    tool = folder / "tegrastats"
    tool.write_text(f"#!/bin/sh\n{text}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)


@pytest.mark.skipif(sys.platform == "win32", reason="runs a shell script")
def test_the_tool_runs_beside_and_is_ended(tmp_path, monkeypatch) -> None:
    script(tmp_path, "while :; do echo 'VDD_IN 2000mW/2000mW'; sleep 0.02; done")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    source = open_tegrastats()
    (counter,) = source.counters
    before, start = counter.read(), time.perf_counter()
    time.sleep(0.1)
    spent_uj, upper_s = counter.read() - before, time.perf_counter() - start
    assert 0.1 * 2e6 * 0.99 <= spent_uj <= upper_s * 2e6 * 1.01
    source.close()
    monkeypatch.setenv("PATH", "")
    assert open_tegrastats().note == "there is no tegrastats"


@pytest.mark.skipif(sys.platform == "win32", reason="runs a shell script")
def test_a_tool_without_rails_says_so(tmp_path, monkeypatch) -> None:
    script(tmp_path, "echo 'RAM 2503/7620MB'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert open_tegrastats().note == "tegrastats reports no power rail"


class NvmlError(Exception):
    pass


def fake_nvml(**changes):
    energy = iter(range(5000, 10**9, 250))
    closed = []
    library = SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: closed.append(True),
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda number: f"gpu {number}",
        nvmlDeviceGetName=lambda device: b"Some GPU",
        nvmlDeviceGetTotalEnergyConsumption=lambda device: next(energy),
        closed=closed,
    )
    vars(library).update(changes)
    return library


def raises(*_):
    raise NvmlError("not supported")


def test_millijoules_of_a_gpu(monkeypatch) -> None:
    library = fake_nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    source = open_nvml()
    (counter,) = source.counters
    assert counter.name == "NVML 0 Some GPU"
    assert -(counter.read() - counter.read()) == 250_000
    source.close()
    assert library.closed == [True]


@pytest.mark.parametrize(
    ("library", "note", "closed"),
    [
        (None, "the package nvidia-ml-py is not installed", None),
        (fake_nvml(nvmlInit=raises), "NVML cannot start (not supported)", []),
        (
            fake_nvml(nvmlDeviceGetTotalEnergyConsumption=raises),
            "NVML does not report energy (not supported)",
            [True],
        ),
        (fake_nvml(nvmlDeviceGetCount=lambda: 0), "NVML finds no GPU", []),
    ],
)
def test_gpus_that_do_not_tell(library, note, closed, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library)
    source = open_nvml()
    assert (source.counters, source.note) == ((), note)
    assert library is None or library.closed == closed


def test_a_meter_adds_what_is_there_and_tells_what_is_not(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with open_meter(tmp_path) as meter:
        assert meter.names == ()
        assert meter.note == (
            f"no RAPL counter under {tmp_path}; the package nvidia-ml-py is not installed; "
            "there is no tegrastats"
        )
    library = fake_nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    with open_meter(tmp_path) as meter:
        assert (meter.names, meter.note) == (("NVML 0 Some GPU",), "")
        assert meter.joules(meter.read(), meter.read()) == pytest.approx(0.25)
    assert library.closed == [True]
