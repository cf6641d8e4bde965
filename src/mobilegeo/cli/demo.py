"""`mobilegeo demo`: everything at once, on a generated world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilegeo.cli.common import progress_bar

if TYPE_CHECKING:
    from mobilegeo.demo import DemoResult


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the world, the photos and the report.", metavar="DIR")
    ] = Path("mobilegeo-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another number, another world.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generates a world, photographs it from a drone, and finds the photos on its map.

    Needs no network and no data; takes less than a minute on two cores.

    Example: mobilegeo demo --out demo
    """
    from mobilegeo.demo import run_demo

    with progress_bar() as progress:
        result = run_demo(out, seed, progress)
    if as_json:
        typer.echo(json.dumps(result.to_record()))
    else:
        _print(result)


def _print(result: DemoResult) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("photo", "status", "error", "sigma", "confidence", "heading", box=None)
    for fix, error_m in zip(result.fixes, result.errors_m, strict=True):
        table.add_row(
            Path(fix.photo).name,
            fix.status,
            "-" if error_m is None else f"{error_m:.1f} m",
            "-" if fix.sigma_m is None else f"{fix.sigma_m:.1f} m",
            f"{fix.confidence:.2f}",
            "-" if fix.heading_deg is None else f"{fix.heading_deg:.0f}°",
        )
    console = Console()
    console.print(table)
    figures = result.evaluation
    if figures.median_error_m is not None:
        console.print(
            f"{figures.fixes} of {figures.photos} photos found, median error "
            f"{figures.median_error_m:.1f} m, in {result.seconds:.0f} s"
        )
    console.print(f"Open {result.report}", soft_wrap=True)
