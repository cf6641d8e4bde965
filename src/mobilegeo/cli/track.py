"""`mobilegeo track`: a video or a folder in, a smoothed track out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilegeo.cli.common import (
    AglM,
    EncoderName,
    HfovDeg,
    PitchDeg,
    RadiusM,
    RollDeg,
    RuntimeName,
    near_prior,
    progress_bar,
)
from mobilegeo.errors import UsageError

if TYPE_CHECKING:
    from mobilegeo.geo import LatLon
    from mobilegeo.maps.pack import MapPack
    from mobilegeo.track.records import Track
    from mobilegeo.track.tracker import Step


def track(
    source: Annotated[
        Path, typer.Argument(help="A video, or a folder of photos.", show_default=False)
    ],
    map_pack: Annotated[
        Path, typer.Option("--map", help="Made by `mobilegeo map build`.", metavar="PACK")
    ],
    telemetry: Annotated[
        Path | None,
        typer.Option(
            help="What is known of each frame: the drone's SRT, or a CSV with time_s (video) or "
            "photo and, if known, time_s (folder). A video's SRT of the same name is found.",
            metavar="CSV|SRT",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames located in a second; 2 of a video, all of a folder."),
    ] = None,
    near: Annotated[
        str | None,
        typer.Option(help="The flight starts within --radius-m of this point.", metavar="LAT,LON"),
    ] = None,
    radius_m: RadiusM = None,
    heading_deg: Annotated[
        float | None, typer.Option(help="Of all frames, clockwise from true north.")
    ] = None,
    pitch_deg: PitchDeg = None,
    roll_deg: RollDeg = None,
    agl_m: AglM = None,
    hfov_deg: HfovDeg = None,
    ignore_gps: Annotated[
        bool,
        typer.Option("--ignore-gps", help="Do not use GPS positions, not even to search there."),
    ] = False,
    encoder: EncoderName = None,
    runtime: RuntimeName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a frame.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the track: .gpx, .geojson, .kml, .csv or .jsonl.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for an HTML page with the map.", metavar="DIR")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="CSV photo, lat, lon with the drone's true positions, for the report."),
    ] = None,
) -> None:
    """Follows a drone over a map and smooths its track.

    Example: mobilegeo track DJI_0007.MP4 --map area.pack --out flight.gpx
    """
    from mobilegeo.encoder.registry import encoder_for
    from mobilegeo.locate.localizer import Localizer
    from mobilegeo.maps.pack import MapPack
    from mobilegeo.metadata.telemetry import Telemetry
    from mobilegeo.output.atomic import make_folder
    from mobilegeo.output.track_files import track_json_line, track_writer_for, write_track
    from mobilegeo.track.follow import follow
    from mobilegeo.track.sources import open_source
    from mobilegeo.track.tracker import Tracker

    if out is not None:
        track_writer_for(out)
    start, positions = near_prior(near, radius_m), _true_positions(truth, report)
    overrides = Telemetry(heading_deg, pitch_deg, roll_deg, agl_m, hfov_deg)
    pack = MapPack.open(map_pack)
    localizer = Localizer(pack, encoder_for(pack, encoder, runtime=runtime))
    opened = open_source(
        source,
        telemetry=telemetry,
        overrides=overrides,
        rate_hz=fps,
        side_px=localizer.decode_side_px,
    )
    tracker = Tracker(localizer, near=start, ignore_gps=ignore_gps)
    if report is not None:
        make_folder(report)  # before the work rather than after
    unreadable = 0
    with progress_bar() as progress:

        def listen(step: Step) -> None:
            nonlocal unreadable
            if step.fix.status == "error":
                unreadable += 1
                typer.echo(f"mobilegeo: {step.fix.reason}", err=True)
            progress("frames", step.number + 1, opened.count or step.number + 2)

        found = follow(opened, tracker, listen)
    if out is not None:
        write_track(found.points, out)
    if report is not None:
        _write_report(report, found, pack, positions)
    if as_json:
        typer.echo("\n".join(track_json_line(point) for point in found.points))
    else:
        typer.echo(summary(found))
    if unreadable:
        raise typer.Exit(1)


def summary(found: Track) -> str:
    """A track in a few lines."""
    counts = [found.count("fix"), found.count("predicted"), found.count("lost")]
    lines = [
        f"{len(found.points)} frames, {found.located} located in {found.seconds:.0f} s",
        "{} fixes, {} predicted, {} lost".format(*counts),
    ]
    reasons = Counter(point.reason for point in found.points if point.reason)
    lines += [f"not found, {n} times: {reason}" for reason, n in reasons.most_common(3)]
    sigmas = sorted(p.sigma_m for p in found.points if p.sigma_m is not None)
    if sigmas:
        lines.append(f"sigma: median {sigmas[len(sigmas) // 2]:.1f} m, largest {sigmas[-1]:.1f} m")
    lines += [f"to add to the telemetry's {name}: {bias}" for name, bias in found.biases.items()]
    return "\n".join([*lines, *found.notes])


def _true_positions(truth: Path | None, report: Path | None) -> dict[str, LatLon]:
    from mobilegeo.evaluation import read_truth_csv

    if truth is None:
        return {}
    if report is None:
        raise UsageError("--truth", "is given without --report", "give --report DIR too")
    return {row.photo: row.position for row in read_truth_csv(truth) if row.position is not None}


def _write_report(report: Path, found: Track, pack: MapPack, truth: dict[str, LatLon]) -> None:
    from mobilegeo.output.report.panels import preview_bounds, read_preview
    from mobilegeo.output.report.parts import MapImage
    from mobilegeo.output.report.track_page import write_track_report

    image = MapImage(read_preview(pack), preview_bounds(pack))
    path = write_track_report(report, found, map_image=image, truth=truth)
    typer.echo(f"report: {path}", err=True)
