"""`mobilegeo bench`: how fast this machine is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilegeo.cli.common import progress_bar
from mobilegeo.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from mobilegeo.bench import BenchResult


def bench(
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="A shipped encoder or an exported .onnx file; several are measured in one run.",
            metavar="NAME",
        ),
    ] = None,
    photos: Annotated[int, typer.Option(min=1, help="How many each encoder locates.")] = 20,
    size: Annotated[
        str | None,
        typer.Option(help="Of the generated photos; 1024x768 px if not given.", metavar="WxH"),
    ] = None,
    map_pack: Annotated[
        Path | None,
        typer.Option(
            "--map", help="Measure on this map instead of a generated world.", metavar="PACK"
        ),
    ] = None,
    photo: Annotated[
        list[Path] | None,
        typer.Option(help="A photo of the --map, or a folder of photos.", metavar="FILE"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the encoders; all cores if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measures speed, memory and energy of locating on this machine.

    Example: mobilegeo bench --photos 40
    """
    from mobilegeo.bench import Plan, run_bench
    from mobilegeo.locate.batch import photo_files

    plan = Plan(
        encoders=tuple(encoder or ()),
        photos=photos,
        photo_px=None if size is None else _size_px(size),
        map_pack=map_pack,
        files=tuple(photo_files(photo or ())),
        threads=threads,
    )
    with progress_bar() as progress:
        result = run_bench(plan, progress)
    if as_json:
        typer.echo(json.dumps(result.to_record()))
    else:
        _print(result)


def _size_px(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", text, re.ASCII)
    if match is None:
        raise UsageError(f"--size {text}", "is not a size", "write WIDTHxHEIGHT: 4000x3000")
    return int(match[1]), int(match[2])


def _print(result: BenchResult) -> None:
    from rich.console import Console

    console = Console()
    console.print(f"{result.cpu}, {result.cores} cores, {result.threads} encoder threads")
    console.print("\nPhoto to fix, milliseconds, p50 / p95")
    console.print(_pipeline_table(result))
    console.print("\nEncoder alone")
    console.print(_network_table(result))
    peak = result.memory
    told = "not known" if peak.mb is None else f"{peak.mb:.0f} MB"
    console.print(f"\npeak memory: {told} ({peak.note})", soft_wrap=True)
    if result.energy_note:
        console.print(f"energy: not known ({result.energy_note})", soft_wrap=True)


def _pipeline_table(result: BenchResult) -> Table:
    from rich.table import Table

    from mobilegeo.bench.pipeline import STAGES

    table = Table("", *(each.name for each in result.encoders), box=None)
    for stage in STAGES:
        spreads = (each.pipeline.stages[stage] for each in result.encoders)
        table.add_row(stage, *(f"{s.p50_ms:.1f} / {s.p95_ms:.1f}" for s in spreads))
    times = [each.pipeline for each in result.encoders]
    table.add_row("photos/s", *(f"{each.photos_per_s:.2f}" for each in times))
    table.add_row("fixes", *(f"{each.fixes} of {each.photos}" for each in times))
    table.add_row("tiles", *(f"{each.tiles}" for each in result.encoders))
    if not result.energy_note:
        table.add_row("J/photo", *(f"{each.joules_per_photo or 0:.2f}" for each in times))
    return table


def _network_table(result: BenchResult) -> Table:
    from rich.table import Table

    table = Table("encoder", "output", "batch", "px", "p50", "p95", "images/s", box=None)
    for each in result.encoders:
        for latency in each.network:
            table.add_row(
                each.name,
                latency.output,
                f"{latency.batch}",
                f"{latency.size_px}",
                f"{latency.time.p50_ms:.1f} ms",
                f"{latency.time.p95_ms:.1f} ms",
                f"{latency.images_per_s:.1f}",
            )
    return table
