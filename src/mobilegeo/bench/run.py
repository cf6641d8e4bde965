"""One run of the benchmark: what to measure, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mobilegeo.bench.energy import EnergyMeter, open_meter
from mobilegeo.bench.machine import PeakMemory, cores, cpu_name, peak_memory, reset_peak
from mobilegeo.bench.network import Latency, measure_networks
from mobilegeo.bench.pipeline import PipelineTimes, measure_pipeline
from mobilegeo.bench.scenery import Lane, generated_lanes, own_lanes
from mobilegeo.errors import UsageError
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.world.demo import PHOTO_PX

SIDES_PX = (64, 2048)
"""The generated world is drawn too coarsely for larger photos of it."""
PHOTOS = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        encoders: names or files; the default or the pack's when empty.
        runtimes: in which each encoder is measured; the default one when empty.
        photos: how many each encoder locates.
        photo_px: width and height of generated photos; `PHOTO_PX` when `None`.
        map_pack: the user's map; a generated world when `None`.
        files: the user's photos of it.
        threads: CPU threads of the encoders; all cores when `None`.
    """

    encoders: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    photos: int = PHOTOS
    photo_px: tuple[int, int] | None = None
    map_pack: Path | None = None
    files: tuple[Path, ...] = ()
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.photos < 1:
            raise UsageError(f"photos {self.photos}", "is not positive", "ask for one at least")
        if self.map_pack is None and self.files:
            raise UsageError("--photo", "is given without --map", "name the photos' map with --map")
        if self.map_pack is not None and not self.files:
            raise UsageError("--map", "is given without --photo", "name photos of it with --photo")
        if self.photo_px is not None:
            self._check_size(self.photo_px)

    def _check_size(self, photo_px: tuple[int, int]) -> None:
        width, height = photo_px
        if self.map_pack is not None:
            raise UsageError(
                "--size", "is given with --map", "leave it out: the photos have their own size"
            )
        if not SIDES_PX[0] <= min(photo_px) <= max(photo_px) <= SIDES_PX[1]:
            least, most = SIDES_PX
            raise UsageError(
                f"--size {width}x{height}",
                "cannot be generated",
                f"give sides of {least} to {most} px, or your own photos with --map and --photo",
            )


@dataclass(frozen=True, slots=True)
class EncoderResult:
    """All that was measured of one encoder.

    Attributes:
        name: as it was named.
        runtime: what computes it.
        model_id: of its weights.
        tiles: in its map.
        pipeline: from photo to fix.
        network: by output and batch.
    """

    name: str
    runtime: str
    model_id: str
    tiles: int
    pipeline: PipelineTimes
    network: tuple[Latency, ...]

    def to_record(self) -> dict[str, Any]:
        """The JSON object; times in milliseconds, energy in joules."""
        times = self.pipeline
        joules = times.joules_per_photo
        return {
            "encoder": self.name,
            "runtime": self.runtime,
            "model_id": self.model_id,
            "tiles": self.tiles,
            "photos": times.photos,
            "fixes": times.fixes,
            "stages_ms": {name: spread.to_record() for name, spread in times.stages.items()},
            "photos_per_s": round(times.photos_per_s, 3),
            "energy_j_per_photo": None if joules is None else round(joules, 3),
            "network": [latency.to_record() for latency in self.network],
        }


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All that was measured.

    Attributes:
        cpu: the processor's name.
        cores: processors that the process may use.
        threads: CPU threads of the encoders.
        photo_px: width and height of the generated photos; `None` for the user's.
        encoders: one result each.
        memory: the most that was resident while locating, all encoders loaded.
        energy_sources: what counted energy.
        energy_note: why energy is not reported; empty where it is.
    """

    cpu: str
    cores: int
    threads: int
    photo_px: tuple[int, int] | None
    encoders: tuple[EncoderResult, ...]
    memory: PeakMemory
    energy_sources: tuple[str, ...]
    energy_note: str

    def to_record(self) -> dict[str, Any]:
        """The JSON object."""
        peak = self.memory.mb
        return {
            "cpu": self.cpu,
            "cores": self.cores,
            "threads": self.threads,
            "photo_px": None if self.photo_px is None else list(self.photo_px),
            "peak_memory_mb": None if peak is None else round(peak, 1),
            "peak_memory_note": self.memory.note,
            "energy_sources": list(self.energy_sources),
            "energy_note": self.energy_note,
            "encoders": [result.to_record() for result in self.encoders],
        }


def run_bench(plan: Plan, progress: Callable[[str, int, int], None]) -> BenchResult:
    """Measures the pipeline and the encoders.

    Args:
        plan: what to measure.
        progress: called with a stage's name, steps done and steps in all.

    Raises:
        PackError: the map cannot be used, or with none of the encoders named.
        EncoderError: there is no such encoder.
        PhotoError: a photo cannot be read.
    """
    with (
        open_meter() as meter,
        TemporaryDirectory(prefix="mobilegeo-bench-", ignore_cleanup_errors=True) as folder,
    ):
        lanes, files, photo_px = _scenery(plan, Path(folder), progress)
        pipelines, memory = _locate(lanes, files, plan.photos, meter, progress)
        networks = measure_networks([lane.encoder for lane in lanes], progress=progress)
        results = tuple(
            EncoderResult(
                lane.name,
                lane.encoder.runtime,
                lane.encoder.spec.model_id,
                len(lane.pack.vectors),
                times,
                tuple(network),
            )
            for lane, times, network in zip(lanes, pipelines, networks, strict=True)
        )
    return BenchResult(
        cpu_name(),
        cores(),
        plan.threads or cores(),
        photo_px,
        results,
        memory,
        meter.names,
        meter.note,
    )


def _scenery(
    plan: Plan, folder: Path, progress: Callable[[str, int, int], None]
) -> tuple[list[Lane], Sequence[Path], tuple[int, int] | None]:
    """Lanes, photos, and the photos' size if they are generated."""
    runtimes = plan.runtimes or (None,)
    if plan.map_pack is not None:
        lanes = own_lanes(plan.map_pack, plan.encoders, runtimes, plan.threads)
        return lanes, plan.files, None
    photo_px = plan.photo_px or PHOTO_PX
    lanes, files = generated_lanes(
        folder, plan.encoders, runtimes, plan.threads, photo_px, progress
    )
    return lanes, files, photo_px


def _locate(
    lanes: Sequence[Lane],
    files: Sequence[Path],
    count: int,
    meter: EnergyMeter,
    progress: Callable[[str, int, int], None],
) -> tuple[list[PipelineTimes], PeakMemory]:
    localizers = [Localizer(lane.pack, lane.encoder, Options()) for lane in lanes]
    since_reset = reset_peak()
    pipelines = measure_pipeline(localizers, files, count, meter, progress=progress)
    return pipelines, peak_memory(since_reset)
