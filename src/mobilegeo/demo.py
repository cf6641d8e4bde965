"""The demonstration: a generated world, photographed from a drone, found again on its map."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilegeo.encoder import load_encoder
from mobilegeo.evaluation import Evaluation, Truth, evaluate, match_photos, read_truth_csv
from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.locate.batch import locate_photos
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.raster import rasterio_for
from mobilegeo.metadata.telemetry import Telemetry, TelemetryTable
from mobilegeo.output import write_fixes
from mobilegeo.output.report.panels import ReportWriter
from mobilegeo.world.demo import write_demo

STRIDE = 0.5
"""Coarser than the default: alignment sees the whole of so small a map anyway."""


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration gave.

    Attributes:
        fixes: one a photo.
        evaluation: against the truth.
        seconds: wall-clock time of everything.
        report: the HTML report.
        geojson: the fixes.
        errors_m: distance of each fix from the truth; `None` without a fix.
    """

    fixes: tuple[Fix, ...]
    errors_m: tuple[float | None, ...]
    evaluation: Evaluation
    seconds: float
    report: Path
    geojson: Path

    def to_record(self) -> dict[str, Any]:
        """The contract's JSON object; fractions are of all photos."""
        figures = self.evaluation.to_record()
        names = ("photos", "fixes", "median_error_m", "p90_error_m", "within_25m", "within_50m")
        return {name: figures[name] for name in names} | {"seconds": round(self.seconds, 1)}


def run_demo(out: Path, seed: int, progress: Callable[[str, int, int], None]) -> DemoResult:
    """Generates a world, builds its pack, locates every photo without its GPS, writes a report.

    Args:
        out: folder for everything; files of an earlier demonstration are replaced.
        seed: of the world and of the flight.
        progress: called with a stage's name, steps done and steps in all.
    """
    rasterio_for("mobilegeo demo")
    start = time.perf_counter()
    progress("world", 0, 1)
    files = write_demo(out, seed)
    progress("world", 1, 1)
    encoder = load_encoder()
    pack = build_pack(
        open_map([files.map_tif]),
        out / "map.pack",
        encoder,
        stride=STRIDE,
        overwrite=True,
        progress=progress,
    )
    truth = read_truth_csv(files.truth_csv)
    positions = {row.photo: row.position for row in truth if row.position is not None}
    writer = ReportWriter(out, pack, positions, "MobileGeo demo")
    localizer = Localizer(pack, encoder, Options(ignore_gps=True))
    fixes = []
    traces = locate_photos(localizer, files.photos, TelemetryTable("", ()), Telemetry())
    for number, trace in enumerate(traces, start=1):
        progress("photos", number, len(files.photos))
        fixes.append(trace.fix)
        writer.add(trace)
    geojson = out / "fixes.geojson"
    write_fixes(fixes, geojson)
    write_fixes(fixes, out / "fixes.jsonl")
    report = writer.write()
    seconds = time.perf_counter() - start
    return DemoResult(
        tuple(fixes), _errors_m(fixes, truth), evaluate(fixes, truth), seconds, report, geojson
    )


def _errors_m(fixes: Sequence[Fix], truth: Sequence[Truth]) -> tuple[float | None, ...]:
    return tuple(
        None
        if fix.lat is None or fix.lon is None or row.position is None
        else distance_m(LatLon(fix.lat, fix.lon), row.position)
        for fix, row in match_photos(fixes, truth).pairs
    )
