"""`mobilegeo locate`: photos in, positions out."""

from __future__ import annotations

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
    from mobilegeo.fix import Fix
    from mobilegeo.locate.views.sight import Choice


def locate(
    photos: Annotated[
        list[Path],
        typer.Argument(
            help="Photos, or folders of photos.", metavar="PHOTO...", show_default=False
        ),
    ],
    map_pack: Annotated[
        Path, typer.Option("--map", help="Made by `mobilegeo map build`.", metavar="PACK")
    ],
    telemetry: Annotated[
        Path | None,
        typer.Option(
            help="What is known of each photo: photo, heading_deg, pitch_deg, roll_deg, agl_m, "
            "hfov_deg, lat, lon, sigma_m. Overrides the photo's own metadata.",
            metavar="CSV",
        ),
    ] = None,
    near: Annotated[
        str | None,
        typer.Option(help="The drone is within --radius-m of this point.", metavar="LAT,LON"),
    ] = None,
    radius_m: RadiusM = None,
    heading_deg: Annotated[
        float | None,
        typer.Option(help="Direction of the image's top edge, clockwise from true north."),
    ] = None,
    pitch_deg: PitchDeg = None,
    roll_deg: RollDeg = None,
    agl_m: AglM = None,
    hfov_deg: HfovDeg = None,
    top: Annotated[int, typer.Option(min=1, help="How many candidate tiles to report.")] = 5,
    retrieval_only: Annotated[
        bool, typer.Option("--retrieval-only", help="Tile embeddings alone, without alignment.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Compare each aligned place with the map's imagery by local features; needs a "
            "pack made with `map build --imagery`.",
        ),
    ] = False,
    together: Annotated[
        bool,
        typer.Option("--together", help="All photos see one place: fuse the best into one fix."),
    ] = False,
    views: Annotated[
        int | None,
        typer.Option(min=1, help="With --together: encode no more photos than this, the best."),
    ] = None,
    view_selection: Annotated[
        str | None,
        typer.Option(
            help="With --together: how these are chosen: msrm (if not given), logdet, even, random "
            "or all.",
            metavar="NAME",
        ),
    ] = None,
    ignore_gps: Annotated[
        bool,
        typer.Option("--ignore-gps", help="Do not use the photos' own GPS, not even as a prior."),
    ] = False,
    encoder: EncoderName = None,
    runtime: RuntimeName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write fixes: .geojson, .gpx, .kml, .csv or .jsonl.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for an HTML report with pictures.", metavar="DIR")
    ] = None,
) -> None:
    """Locates photos on a map.

    Example: mobilegeo locate DJI_0042.JPG --map area.pack --near 47.3769,8.5417 --radius-m 800
    """
    from mobilegeo.encoder.registry import encoder_for
    from mobilegeo.locate.batch import locate_photos, photo_files
    from mobilegeo.locate.localizer import Localizer
    from mobilegeo.locate.records import Options
    from mobilegeo.locate.together import locate_together
    from mobilegeo.maps.pack import MapPack
    from mobilegeo.metadata.telemetry import Telemetry, TelemetryTable, read_telemetry_csv
    from mobilegeo.output import to_json_line, write_fixes
    from mobilegeo.output.report.panels import ReportWriter
    from mobilegeo.output.writers import writer_for

    if out is not None:
        writer_for(out)
    overrides = Telemetry(heading_deg, pitch_deg, roll_deg, agl_m, hfov_deg)
    table = TelemetryTable("", ()) if telemetry is None else read_telemetry_csv(telemetry)
    options = Options(top, retrieval_only, ignore_gps, near_prior(near, radius_m), verify)
    choice = _choice(together, views, view_selection)
    files = photo_files(photos)
    pack = MapPack.open(map_pack)
    localizer = Localizer(pack, encoder_for(pack, encoder, runtime=runtime), options)
    writer = None if report is None else ReportWriter(report, pack)

    fixes = []
    with progress_bar() as progress:
        traces = (
            locate_photos(localizer, files, table, overrides)
            if choice is None
            else locate_together(localizer, files, table, overrides, choice)
        )
        for number, trace in enumerate(traces, start=1):
            progress("photos", number, len(files) if choice is None else 1)
            fixes.append(trace.fix)
            if writer is not None:
                writer.add(trace)
            if trace.fix.status == "error":
                typer.echo(f"mobilegeo: {trace.fix.reason}", err=True)
            typer.echo(to_json_line(trace.fix) if as_json else _line(trace.fix))
    if out is not None:
        write_fixes(fixes, out)
    if writer is not None:
        typer.echo(f"report: {writer.write()}", err=True)
    if any(fix.status == "error" for fix in fixes):
        raise typer.Exit(1)


def _choice(together: bool, views: int | None, selection: str | None) -> Choice | None:
    """Which views to fuse; `None` where every photo has its own place."""
    from mobilegeo.locate.views.sight import Choice

    if together:
        usual = Choice()
        return Choice(views or usual.views, selection or usual.selection)
    if views is not None or selection is not None:
        raise UsageError(
            "--views or --view-selection", "is given without --together", "give --together too"
        )
    return None


def _line(fix: Fix) -> str:
    if fix.status != "fix" or fix.lat is None or fix.lon is None:
        return f"{fix.photo}  {fix.status}  {fix.reason}"
    heading = "" if fix.heading_deg is None else f"  heading {fix.heading_deg:.0f}°"
    remark = f"  ({fix.reason})" if fix.reason else ""
    return (
        f"{fix.photo}  {fix.lat:.6f},{fix.lon:.6f}  ±{fix.sigma_m or 0:.1f} m"
        f"  confidence {fix.confidence:.2f}{heading}{remark}"
    )
