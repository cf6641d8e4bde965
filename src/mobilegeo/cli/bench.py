"""`mobilegeo bench`: how fast this machine is."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilegeo.cli.common import progress_bar
from mobilegeo.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from mobilegeo.bench import BenchResult, Plan
    from mobilegeo.bench.run import EncoderResult
    from mobilegeo.cli.common import Advance
    from mobilegeo.learn.bench.comparison import Comparison


_FILE_COLUMNS = 150
"""Of a table that is written to a file, so that it is not squeezed."""


def bench(
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="A shipped encoder or an exported .onnx file; several are measured in one run.",
            metavar="NAME",
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="What computes each encoder, as in `locate`; several are measured in one run.",
            metavar="NAME",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Time other papers' networks and our own family beside the encoders: torch for "
            "all of them, or names such as sample4geo,fsra (needs mobilegeo[learn]).",
            metavar="NAME,...",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="How long --against measures, after its warm-up.")
    ] = 60.0,
    chart: Annotated[
        Path | None,
        typer.Option(
            help="Draw what --against measured into this folder: speed.png, speed.svg.",
            metavar="DIR",
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
    from mobilegeo.bench.machine import calm_threads

    calm_threads()
    from mobilegeo.bench import Plan, run_bench
    from mobilegeo.locate.batch import photo_files

    names = _require_learning(against) if against is not None else ()
    if chart is not None and against is None:
        raise UsageError("--chart", "is given without --against", "add --against torch")
    plan = Plan(
        encoders=tuple(encoder or ()),
        runtimes=tuple(runtime or ()),
        photos=photos,
        photo_px=None if size is None else _size_px(size),
        map_pack=map_pack,
        files=tuple(photo_files(photo or ())),
        threads=threads,
    )
    with progress_bar() as progress:
        result = run_bench(plan, progress)
        comparison = _compare(names, plan, result, seconds, progress) if names else None
    if as_json:
        beside = {} if comparison is None else {"against": comparison.to_record()}
        typer.echo(json.dumps(result.to_record() | beside))
    else:
        _print(result)
        if comparison is not None:
            _print_comparison(comparison)
    if chart is not None and comparison is not None:
        from mobilegeo.learn.bench.chart import write_chart

        machine = f"{result.cpu}, {result.cores} cores, {result.threads} threads"
        for file in write_chart(comparison, machine, chart):
            typer.echo(file, err=True)


def _require_learning(against: str) -> tuple[str, ...]:
    """What `--against` names, once it is sure that the learning wing is there."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("timm") is None:
        raise MissingExtraError(
            "--against",
            "builds networks in PyTorch, which is not installed with timm",
            "run pip install 'mobilegeo[learn]'",
        )
    from mobilegeo.learn.bench.contenders import names_of

    return names_of(against)


def _compare(
    names: tuple[str, ...], plan: Plan, result: BenchResult, seconds: float, progress: Advance
) -> Comparison:
    from mobilegeo.bench.energy import open_meter
    from mobilegeo.encoder import load_encoder
    from mobilegeo.encoder.registry import DEFAULT
    from mobilegeo.learn.bench.comparison import compare

    encoders = [
        (name, load_encoder(name, threads=result.threads, runtime=runtime))
        for name in plan.encoders or (DEFAULT,)
        for runtime in plan.runtimes or (None,)
    ]
    with open_meter() as meter:
        return compare(
            names,
            encoders,
            threads=result.threads,
            seconds=seconds,
            meter=meter,
            progress=progress,
        )


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

    table = Table("", *(_title(each) for each in result.encoders), box=None)
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


def _title(result: EncoderResult) -> str:
    return f"{result.name} {result.runtime}"


def _network_table(result: BenchResult) -> Table:
    from rich.table import Table

    table = Table("encoder", "output", "batch", "px", "p50", "p95", "images/s", box=None)
    for each in result.encoders:
        for latency in each.network:
            table.add_row(
                _title(each),
                latency.output,
                f"{latency.batch}",
                f"{latency.size_px}",
                f"{latency.time.p50_ms:.1f} ms",
                f"{latency.time.p95_ms:.1f} ms",
                f"{latency.images_per_s:.1f}",
            )
    return table


def _print_comparison(comparison: Comparison) -> None:
    from rich.console import Console

    from mobilegeo.learn.bench.comparison import BASELINE, WEIGHTS
    from mobilegeo.learn.bench.peers import BENCHMARK

    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_COLUMNS)
    console.print(f"\nOne image from pixels to embedding, {comparison.threads} threads, in turns")
    console.print(_comparison_table(comparison))
    console.print(f"times faster: than {' in '.join(BASELINE)}, by medians", soft_wrap=True)
    console.print(f"published: {BENCHMARK}; not measured here", soft_wrap=True)
    console.print(f"weights: {WEIGHTS}", soft_wrap=True)
    for name, reason in comparison.left_out.items():
        console.print(f"left out: {name} ({reason})", soft_wrap=True)
    console.print("\nRatios of medians")
    for name, value in comparison.ratios().items():
        console.print(f"{name}: {value:.1f}", soft_wrap=True)


def _comparison_table(comparison: Comparison) -> Table:
    from rich.table import Table

    columns = ("network", "runtime", "p50 ms", "p95 ms", "calls", "times faster")
    table = Table(*columns, "multiply-adds, G", "parameters, M", "published", box=None)
    table.columns[0].no_wrap = True
    for row in comparison.rows:
        it, time = row.contender, row.timing.time
        cost = it.complexity
        table.add_row(
            it.title,
            it.runtime,
            f"{time.p50_ms:.1f}",
            f"{time.p95_ms:.1f}",
            f"{row.timing.calls}",
            f"{row.times_faster:.2f}",
            "" if cost is None else f"{cost.multiply_adds / 1e9:.2f}",
            "" if cost is None else f"{cost.parameters / 1e6:.1f}",
            "" if it.published is None else f"{it.published.recall_at_1:g}",
        )
    return table
