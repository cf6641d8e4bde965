"""Our networks beside those of other papers, in one interleaved run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mobilegeo.bench.energy import EnergyMeter
from mobilegeo.bench.turns import Timing, take_turns
from mobilegeo.encoder import Encoder
from mobilegeo.learn.bench.contenders import (
    EAGER,
    Contender,
    encoder_contender,
    family_eager,
    family_exported,
    peer_contender,
)
from mobilegeo.learn.bench.family import FAMILY
from mobilegeo.learn.bench.peers import BENCHMARK, PEERS

BASELINE = "tiny", EAGER
"""Network and runtime that all others are compared with; it always takes part."""

WEIGHTS = (
    "peers, nano and tiny have random weights: speed does not depend on them, and nothing of their "
    "accuracy is measured here"
)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One contender with what was measured of it.

    Attributes:
        contender: what it is.
        timing: of one image.
        times_faster: than the baseline, by medians.
    """

    contender: Contender
    timing: Timing
    times_faster: float

    def to_record(self) -> dict[str, Any]:
        """The JSON object; times in milliseconds, energy in joules."""
        it, timing = self.contender, self.timing
        return {
            "name": it.name,
            "title": it.title,
            "runtime": it.runtime,
            "size_px": it.size_px,
            "passes": it.passes,
            "latency_ms": timing.time.to_record(),
            "calls": timing.calls,
            "times_faster": round(self.times_faster, 3),
            "multiply_adds": None if it.complexity is None else it.complexity.multiply_adds,
            "parameters": None if it.complexity is None else it.complexity.parameters,
            "energy_j_per_image": None if timing.joules is None else round(timing.joules, 4),
            "published_recall_at_1": None if it.published is None else it.published.recall_at_1,
            "published_source": None if it.published is None else it.published.source,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows of a run.

    Attributes:
        rows: in the order of their turns.
        left_out: what cannot run here → why.
        threads: CPU threads of every runtime.
        wait_policy: `OMP_WAIT_POLICY` of the process; empty where it is not set.
    """

    rows: tuple[Row, ...]
    left_out: dict[str, str]
    threads: int
    wait_policy: str

    def to_record(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "baseline": " ".join(BASELINE),
            "weights": WEIGHTS,
            "published_accuracy": BENCHMARK,
            "threads": self.threads,
            "omp_wait_policy": self.wait_policy,
            "ratios": {name: round(value, 2) for name, value in self.ratios().items()},
            "left_out": self.left_out,
            "rows": [row.to_record() for row in self.rows],
        }

    def ratios(self) -> dict[str, float]:
        """How many times as fast the best runtime of ours is, by medians, for what took part."""
        found = {}
        for ours, other in product(FAMILY, (BASELINE[0], *PEERS)):
            mine, theirs = self._best(ours), self._eager(other)
            if mine is not None and theirs is not None and mine is not theirs:
                label = f"{ours} in {mine.contender.runtime}, against {other} in {EAGER}"
                found[label] = theirs.timing.time.p50_ms / mine.timing.time.p50_ms
        return found

    def _best(self, name: str) -> Row | None:
        own = [row for row in self.rows if row.contender.name == name]
        return min(own, key=lambda row: row.timing.time.p50_ms, default=None)

    def _eager(self, name: str) -> Row | None:
        wanted = name, EAGER
        return next(
            (row for row in self.rows if (row.contender.name, row.contender.runtime) == wanted),
            None,
        )


def compare(
    names: Sequence[str],
    encoders: Sequence[tuple[str, Encoder]],
    *,
    threads: int,
    seconds: float,
    meter: EnergyMeter,
    progress: Progress,
) -> Comparison:
    """Times networks on one image each, from uint8 pixels to the embedding, in turns.

    Args:
        names: of `FAMILY` and `PEERS`.
        encoders: further ones, with their names.
        threads: CPU threads of every runtime; PyTorch's are set for the whole process.
        seconds: for all turns together, the warm-up not included.
        meter: of the energy.
        progress: called with a stage's name, steps done and steps in all.
    """
    torch.set_num_threads(threads)
    with TemporaryDirectory(prefix="mobilegeo-bench-", ignore_cleanup_errors=True) as folder:
        contenders, left_out = _enter(names, encoders, threads, Path(folder), progress)
        calls = [contender.call for contender in contenders]
        timings = take_turns(calls, seconds, meter, progress=progress)
    is_baseline = [(each.name, each.runtime) == BASELINE for each in contenders]
    baseline_ms = timings[is_baseline.index(True)].time.p50_ms
    rows = tuple(
        Row(contender, timing, baseline_ms / timing.time.p50_ms)
        for contender, timing in zip(contenders, timings, strict=True)
    )
    return Comparison(rows, left_out, threads, os.environ.get("OMP_WAIT_POLICY", ""))


def _enter(
    names: Sequence[str],
    encoders: Sequence[tuple[str, Encoder]],
    threads: int,
    folder: Path,
    progress: Progress,
) -> tuple[list[Contender], dict[str, str]]:
    """All contenders, built; and those that cannot run here, with the reason."""
    contenders = [encoder_contender(name, encoder) for name, encoder in encoders]
    left_out: dict[str, str] = {}
    members = [name for name in FAMILY if name in names or name == BASELINE[0]]
    peers = [name for name in PEERS if name in names]
    total = len(members) + len(peers)
    for number, name in enumerate(members):
        progress("networks", number, total)
        contenders.append(family_eager(name))
        if name in names:
            some, missing = family_exported(name, threads, folder)
            contenders += some
            left_out |= missing
    for number, name in enumerate(peers, len(members)):
        progress("networks", number, total)
        contenders.append(peer_contender(name, PEERS[name]))
    progress("networks", total, total)
    return contenders, left_out
