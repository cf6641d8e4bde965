"""Images a second and latency of the student family and the peers on a GPU, with their roofline.

    python benchmarks/gpu/speed.py --out speed_gpu.json

times every network at batch 1, 8 and 64 in float16 and bfloat16, eager, compiled and as CUDA
graphs, and prints one Markdown table. Networks and modes of one batch and precision take turns.
Weights are random: speed does not depend on them. Inputs lie on the device, normalised. Without a
GPU

    python benchmarks/gpu/speed.py --device cpu

runs everything but CUDA graphs and compilation on a small network, to try the script.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from mobilegeo.bench.energy import EnergyMeter, open_meter
from mobilegeo.bench.turns import Timing, take_turns
from mobilegeo.errors import MobileGeoError
from mobilegeo.learn.bench.family import FAMILY, build_embedder
from mobilegeo.learn.bench.peers import PEERS
from mobilegeo.learn.bench.roofline import (
    Bound,
    Rates,
    bound,
    measure_rates,
    synchronise,
    work_of,
)
from mobilegeo.learn.runtimes.computation import PRECISIONS, Computation

MODES: dict[str, dict[str, bool]] = {
    "eager": {},
    "compile": {"compiled": True},
    "graphs": {"graphs": True},
    "compile+graphs": {"compiled": True, "graphs": True},
}


@dataclass(frozen=True)
class Setting:
    """What is measured on a kind of device, and how the device's rates are.

    Attributes:
        networks, batches, precisions, modes: all combinations of them.
        matrix_side: of the product that gives the matrix rate.
        copy_bytes: of the copy that gives the bandwidth.
    """

    networks: tuple[str, ...]
    batches: tuple[int, ...]
    precisions: tuple[str, ...]
    modes: tuple[str, ...]
    matrix_side: int
    copy_bytes: int


SETTINGS = {
    "cuda": Setting((*FAMILY, *PEERS), (1, 8, 64), ("fp16", "bf16"), tuple(MODES), 8192, 2**30),
    "cpu": Setting(("nano",), (1, 2), ("fp32",), ("eager",), 512, 2**26),
}


@dataclass(frozen=True)
class Row:
    """One network in one mode, at one batch and precision."""

    network: str
    mode: str
    precision: str
    batch: int
    size_px: int
    passes: int
    timing: Timing | None
    bound: Bound
    left_out: str = ""


def networks_of(name: str) -> tuple[nn.Module, int, int]:
    """A network of the family or of a peer: module, side of its input, passes an image."""
    if name in FAMILY:
        return build_embedder(FAMILY[name]), FAMILY[name].size_px, 1
    peer = PEERS[name]
    return peer.build(), peer.size_px, peer.passes


def measure_group(
    device: str,
    precision: str,
    batch: int,
    setting: Setting,
    rates: Rates,
    seconds: float,
    meter: EnergyMeter,
) -> list[Row]:
    """All networks and modes of one batch and precision, in turns."""
    rows: list[Row] = []
    calls: list[Callable[[], object]] = []
    timed: list[int] = []
    item_bytes = PRECISIONS[precision].itemsize
    for name, mode in product(setting.networks, setting.modes):
        network, size_px, passes = networks_of(name)
        work = work_of(network, size_px, passes * batch, item_bytes)
        reason = ""
        try:
            call = prepare(
                network, Computation(device, precision, **MODES[mode]), size_px, batch, passes
            )
            call()
        except torch.OutOfMemoryError:
            reason = "out of memory"
        except RuntimeError as error:  # what a compiler cannot do, or a graph cannot hold
            reason = str(error).strip().partition("\n")[0]
        else:
            timed.append(len(rows))
            calls.append(call)
        rows.append(
            Row(name, mode, precision, batch, size_px, passes, None, bound(work, rates), reason)
        )
    timings = take_turns(calls, seconds, meter, progress=_say)
    for number, timing in zip(timed, timings, strict=True):
        rows[number] = Row(**{**vars(rows[number]), "timing": timing})
    return rows


def prepare(
    network: nn.Module, computation: Computation, size_px: int, batch: int, passes: int
) -> Callable[[], object]:
    """A call that embeds a batch and waits for the result."""
    layout = torch.channels_last if computation.device == "cuda" else torch.contiguous_format
    placed = computation.place(network).to(memory_format=layout)
    images = torch.randn(batch, 3, size_px, size_px, device=computation.device)
    images = images.contiguous(memory_format=layout)

    def embed(images: Tensor) -> Tensor:
        total: Tensor = placed(images)
        for _ in range(passes - 1):
            total = total + placed(images.flip(3))
        return total

    function = computation.prepare(embed)

    def call() -> None:
        function(images)
        synchronise(computation.device)

    return call


def table(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = [
        "| network | px | mode | precision | batch | ms, p50 | images/s | roofline ms | of it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        size = f"{row.size_px} ×{row.passes}" if row.passes > 1 else f"{row.size_px}"
        head = f"| {row.network} | {size} | {row.mode} | {row.precision} | {row.batch} "
        least = f"{row.bound.ms:.3f} ({row.bound.limit})"
        if row.timing is None:
            lines.append(f"{head}| {row.left_out} | | {least} | |")
            continue
        p50_ms = row.timing.time.p50_ms
        lines.append(
            f"{head}| {p50_ms:.3f} | {1000 * row.batch / p50_ms:.0f} | {least} "
            f"| {row.bound.ms / p50_ms:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=SETTINGS, default="cuda")
    parser.add_argument("--networks", help="names with commas; all of the device's if not given")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each batch and precision")
    parser.add_argument("--out", type=Path, help="a JSON file for all numbers")
    options = parser.parse_args()
    setting = SETTINGS[options.device]
    if options.networks:
        names = tuple(options.networks.split(","))
        unknown = [name for name in names if name not in {*FAMILY, *PEERS}]
        if unknown:
            parser.error(
                f"no network {', '.join(unknown)}; there are {', '.join([*FAMILY, *PEERS])}"
            )
        setting = Setting(**{**vars(setting), "networks": names})
    try:
        Computation(options.device).require_device("benchmarks/gpu/speed.py")
    except MobileGeoError as error:
        sys.exit(f"{error} (or try the script with --device cpu)")
    # Every network is compiled for its own shape, and none goes on uncompiled.
    torch._dynamo.config.automatic_dynamic_shapes = False
    torch._dynamo.config.recompile_limit = 256
    rows, rates = run(options.device, setting, options.seconds)
    name = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor()
    print(f"{name or options.device}, torch {torch.__version__}\n")
    for precision, rate in rates.items():
        print(
            f"{precision}: {rate.multiply_adds_per_s / 1e9:.0f} G multiply-adds/s in a product of "
            f"{setting.matrix_side}², {rate.bytes_per_s / 1e9:.0f} GB/s in a copy"
        )
    print(f"\n{table(rows)}")
    if options.out is not None:
        record = {
            "device": name,
            "torch": torch.__version__,
            "rates": {precision: asdict(rate) for precision, rate in rates.items()},
            "rows": [asdict(row) for row in rows],
        }
        options.out.write_text(json.dumps(record, indent=1))


def run(device: str, setting: Setting, seconds: float) -> tuple[list[Row], dict[str, Rates]]:
    """All groups, one after the other, and the rates of every precision."""
    rows: list[Row] = []
    rates: dict[str, Rates] = {}
    with open_meter() as meter:
        for precision in setting.precisions:
            dtype = PRECISIONS[precision]
            rates[precision] = measure_rates(device, dtype, setting.matrix_side, setting.copy_bytes)
            for batch in setting.batches:
                rows += measure_group(
                    device, precision, batch, setting, rates[precision], seconds, meter
                )
                gc.collect()
                if device == "cuda":
                    torch.cuda.empty_cache()
                torch.compiler.reset()
    return rows, rates


def _say(stage: str, done: int, total: int) -> None:
    print(f"\r{stage} {done}/{total} ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
