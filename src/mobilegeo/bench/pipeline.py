"""Time from photo to fix, by stage, for encoders interleaved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mobilegeo.bench.energy import EnergyMeter
from mobilegeo.bench.spread import Clock, Spread
from mobilegeo.locate.localizer import Localizer

STAGES = ("read", "normalise", "encode", "search", "align", "total")
WARM_UP = 2
"""Photos that every encoder locates first, untimed."""


@dataclass(frozen=True, slots=True)
class PipelineTimes:
    """What locating took with one encoder.

    Attributes:
        photos: how many were located.
        fixes: how many of them gave a fix; the others stop early, after some stage.
        stages: of each of `STAGES`.
        photos_per_s: one after the other.
        joules_per_photo: of the processor; `None` where it is not reported.
    """

    photos: int
    fixes: int
    stages: dict[str, Spread]
    photos_per_s: float
    joules_per_photo: float | None


@dataclass(slots=True)
class _Tally:
    """The runs of one encoder so far."""

    runs: list[dict[str, float]] = field(default_factory=list)
    fixes: int = 0
    seconds: float = 0.0
    joules: float = 0.0

    def result(self, measured_energy: bool) -> PipelineTimes:
        photos = len(self.runs)
        return PipelineTimes(
            photos,
            self.fixes,
            {stage: Spread.of([run[stage] for run in self.runs]) for stage in STAGES},
            photos / self.seconds,
            self.joules / photos if measured_energy else None,
        )


def measure_pipeline(
    localizers: Sequence[Localizer],
    files: Sequence[Path],
    count: int,
    meter: EnergyMeter,
    *,
    clock: Clock = time.perf_counter,
    progress: Callable[[str, int, int], None],
) -> list[PipelineTimes]:
    """Locates photos with every encoder in turn, photo by photo.

    Args:
        localizers: one an encoder.
        files: photos, taken in turn and from the start again when they are used up.
        count: how many each encoder locates.
        meter: of the energy.
        clock: tells seconds.
        progress: called with the stage's name, photos done and photos in all.

    Returns:
        One result a localizer.

    Raises:
        PhotoError: a photo cannot be read.
    """
    for file in [files[number % len(files)] for number in range(WARM_UP)]:
        for localizer in localizers:
            localizer.locate(file)
    tallies = [_Tally() for _ in localizers]
    for number in range(count):
        for localizer, tally in zip(localizers, tallies, strict=True):
            before, start = meter.read(), clock()
            fix = localizer.locate(files[number % len(files)])
            tally.seconds += clock() - start
            tally.joules += meter.joules(before, meter.read())
            tally.runs.append(fix.timing_ms)
            tally.fixes += fix.status == "fix"
        progress("photos", number + 1, count)
    return [tally.result(bool(meter.counters)) for tally in tallies]
