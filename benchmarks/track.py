"""Tracks of simulated flights against the truth, and of a real one against its GPS.

    python benchmarks/track.py simulate runs/track --seeds 3 4
    python benchmarks/track.py simulate runs/track --seeds 3 --particles 3000
    python benchmarks/track.py simulate runs/track --seeds 3 --forget heading_deg
    python benchmarks/real_drone.py ../shared/data/drone/sheffield_cross --out runs/sheffield_track
    python benchmarks/track.py real runs/sheffield_track ../shared/data/drone/sheffield_cross/images

A simulated flight is 5 km long, over a world photographed in another season than mapped; a tenth
of its photos is adversarial (another world, mirrored, noise), two spells of 20 s are black, and the
telemetry is wrong throughout: heading 4°, pitch 2°, roll −1°, height 10 %. No GPS is used.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from mobilegeo.encoder import encoder_for, load_encoder
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.locate.localizer import Localizer
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.photo import read_metadata
from mobilegeo.track.follow import follow
from mobilegeo.track.mixture import Estimate
from mobilegeo.track.records import Track
from mobilegeo.track.sources import Source, open_source
from mobilegeo.track.tracker import Step, Tracker
from mobilegeo.world.flight import Biases, FlightPlan
from mobilegeo.world.flight_files import write_flight
from particle_filter import Comparing

PLAN = FlightPlan(
    length_m=5000.0,
    blackouts_s=((120.0, 140.0), (300.0, 320.0)),
    bad_share=0.1,
    biases=Biases(heading_deg=4.0, pitch_deg=2.0, roll_deg=-1.0, height=1.1),
)
STRIDE = 0.5
RIGHT_M = 25.0


def flight(folder: Path, seed: int) -> None:
    """Makes a flight with its pack, once."""
    if not (folder / "truth.csv").is_file():
        write_flight(folder, PLAN, seed)
    if not (folder / "map.pack").is_dir():
        source = open_map([folder / "map.tif"])
        build_pack(source, folder / "map.pack", load_encoder(), stride=STRIDE)


def forgetful(source: Source, options: argparse.Namespace) -> Source:
    """The source, or its start, without some telemetry, and always without its positions."""
    unknown = dict.fromkeys([*options.forget, "lat", "lon", "sigma_m"])

    def frames():
        for frame in islice(source.frames(), options.frames):
            yield replace(frame, telemetry=replace(frame.telemetry, **unknown))

    return replace(source, frames=frames)


def tracker_for(pack: MapPack, options: argparse.Namespace) -> Tracker:
    """A tracker, with particles beside it if they were asked for."""
    localizer = Localizer(pack, encoder_for(pack))
    if not options.particles:
        return Tracker(localizer, ignore_gps=True)
    return Comparing(
        localizer, ignore_gps=True, particles=options.particles, sharpness=options.sharpness
    )


def run(
    source: Source,
    tracker: Tracker,
    truth: dict[str, LatLon],
    blackouts_s: tuple[tuple[float, float], ...] = (),
) -> dict[str, object]:
    """Tracks a source; errors of the forward filter and of the smoothed track."""
    forward: list[tuple[Step, float]] = []
    rival: list[tuple[Step, float]] = []

    def error_m(step: Step, estimate: Estimate | None) -> float:
        if estimate is None:
            return math.nan
        x, y = (float(v) for v in estimate.state.mean[:2])
        return distance_m(tracker.frame.point(x, y), truth[Path(step.frame.name).name])

    def listen(step: Step) -> None:
        forward.append((step, error_m(step, step.estimate)))
        if isinstance(tracker, Comparing):
            rival.append((step, error_m(step, tracker.rival)))

    start = time.perf_counter()
    track = follow(source, tracker, listen)
    seconds = time.perf_counter() - start
    return {
        "frames": len(track.points),
        "ms_a_frame": round(1000 * seconds / len(track.points)),
        **_forward(forward),
        "recovered_after_s": [
            _recovery_s(forward, end)
            for _, end in blackouts_s
            if end <= forward[-1][0].frame.time_s
        ],
        **_smoothed(track, truth),
        **_rival(rival, tracker),
    }


def _rival(rival: list[tuple[Step, float]], tracker: Tracker) -> dict[str, float]:
    """The particles' forward errors at the steps at which the mixture told a position."""
    if not isinstance(tracker, Comparing):
        return {}
    told = [error for step, error in rival if step.status != "lost" and math.isfinite(error)]
    return {
        "particles_rmse_m": _rmse(told),
        "particles_largest_m": round(max(told, default=math.nan), 1),
        "particles_ms": round(1000 * tracker.rival_seconds / len(rival), 1),
        "mixture_ms": round(1000 * tracker.seconds / len(rival), 1),
    }


def _forward(forward: list[tuple[Step, float]]) -> dict[str, float]:
    """Of the filter alone: what a drone would know in flight."""
    told = [error for step, error in forward if step.status != "lost"]
    wrong = sum(error > RIGHT_M for step, error in forward if step.status == "fix")
    return {
        "forward_rmse_m": _rmse(told),
        "forward_largest_m": round(max(told, default=math.nan), 1),
        "forward_lost": sum(step.status == "lost" for step, _ in forward),
        "forward_wrong_fixes": wrong,
    }


def _recovery_s(forward: list[tuple[Step, float]], end_s: float) -> float:
    """From the first frame with sight to the first right fix."""
    right = (s.frame.time_s for s, e in forward if s.status == "fix" and e <= RIGHT_M)
    return min((time_s - end_s for time_s in right if time_s >= end_s), default=math.inf)


def _smoothed(track: Track, truth: dict[str, LatLon]) -> dict[str, float]:
    told = [p for p in track.points if p.lat is not None]
    errors = [distance_m(LatLon(p.lat, p.lon), truth[Path(p.frame).name]) for p in told]
    ratio = np.array([e / p.sigma_m for e, p in zip(errors, told, strict=True)])
    figures = {
        "rmse_m": _rmse(errors),
        "median_m": round(float(np.median(errors)), 2) if errors else math.nan,
        "largest_m": round(max(errors, default=math.nan), 1),
        "lost": track.count("lost"),
        "within_68": round(float((ratio < 1.510).mean()), 2) if errors else math.nan,
        "within_95": round(float((ratio < 2.448).mean()), 2) if errors else math.nan,
    }
    for status in ("fix", "predicted"):
        chosen = [e for e, p in zip(errors, told, strict=True) if p.status == status]
        figures |= {f"{status}_count": len(chosen), f"{status}_rmse_m": _rmse(chosen)}
    for name, bias in track.biases.items():
        figures |= {
            f"lacks_{name}": round(bias.value, 3),
            f"lacks_{name}_sigma": round(bias.sigma, 3),
        }
    return figures


def positions(folder: Path) -> dict[str, LatLon]:
    """The drone's true positions by photo."""
    with (folder / "truth.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {row["photo"]: LatLon(float(row["lat"]), float(row["lon"])) for row in rows}


def _rmse(errors: list[float]) -> float:
    return round(math.sqrt(np.mean(np.square(errors))), 2) if errors else math.nan


def simulate(options: argparse.Namespace) -> None:
    """All seeds, one after the other."""
    for seed in options.seeds:
        folder = options.out / f"flight{seed}"
        flight(folder, seed)
        source = forgetful(open_source(folder / "photos"), options)
        tracker = tracker_for(MapPack.open(folder / "map.pack"), options)
        truth = positions(folder)
        print(json.dumps({"seed": seed} | run(source, tracker, truth, PLAN.blackouts_s)))


def real(options: argparse.Namespace) -> None:
    """The photos that `real_drone.py` left out of the map, in order, against their own GPS."""
    with (options.out / "truth.csv").open(newline="") as lines:
        names = [row["photo"] for row in csv.DictReader(lines)]
    folder = options.out / "queries"
    folder.mkdir(exist_ok=True)
    for name in names:
        link = folder / name
        if not link.exists():
            link.symlink_to((options.photos / name).resolve())
    truth = {name: read_metadata(folder / name).gps for name in names}
    source = open_source(folder, telemetry=options.out / "telemetry.csv")
    tracker = tracker_for(MapPack.open(options.out / "map.pack"), options)
    print(json.dumps(run(forgetful(source, options), tracker, truth)))


def main() -> None:
    """Parses and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("simulate", "real"))
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--particles", type=int, default=0, help="compare with so many")
    parser.add_argument("--frames", type=int, help="only the first ones")
    parser.add_argument("--sharpness", type=float, default=40.0)
    parser.add_argument("--forget", nargs="*", default=[], help="telemetry that is not used")
    options = parser.parse_args()
    {"simulate": simulate, "real": real}[options.what](options)


if __name__ == "__main__":
    main()
