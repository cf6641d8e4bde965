"""`mobilegeo learn evaluate`: a network on a research benchmark."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mobilegeo.cli.common import progress_bar

UNREADABLE_IMAGES = 1


def evaluate(
    network: Annotated[
        str,
        typer.Argument(
            help="A training checkpoint (.safetensors), an exported .onnx file, or the name of a "
            "shipped encoder.",
            metavar="NETWORK",
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="university1652, sues200, denseuav, gta_uav, uav_visloc, simulated, or folder for "
            "your own."
        ),
    ],
    root: Annotated[Path, typer.Option(help="Where the dataset was unpacked.", metavar="DIR")],
    variant: Annotated[
        str | None,
        typer.Option(help="A height or split; all for every one.", show_default="the first"),
    ] = None,
    task: Annotated[
        str, typer.Option(help="D2S (find the tile), S2D (find the photos) or both.")
    ] = "both",
    protocol: Annotated[
        str | None,
        typer.Option(help="Names with commas between.", show_default="all of the dataset"),
    ] = None,
    corrupt: Annotated[
        str | None,
        typer.Option(
            help="Drone views also in bad weather: fog,dark,fog+rain or all.", show_default="clean"
        ),
    ] = None,
    severity: Annotated[
        str | None,
        typer.Option(
            help="Of the corruptions, 1 (mild) to 5, with commas between.", show_default="3"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of corruptions and random views.", min=0)] = 0,
    multi_view: Annotated[
        str | None,
        typer.Option(
            help="Also fuse so many drone views of a place into one query; with commas between.",
            metavar="K",
            show_default=False,
        ),
    ] = None,
    multi_view_method: Annotated[
        str | None,
        typer.Option(
            help="How views are chosen: msrm, logdet, even, random, all or mean.",
            show_default="msrm",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Keep embeddings here for other runs.", metavar="DIR"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write tables and pictures here.", metavar="DIR")
    ] = None,
    batch: Annotated[int, typer.Option(help="Images a pass.", min=1)] = 32,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the input in pixels.", min=1, show_default="as the network was trained"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measures Recall@K, AP and distances by the protocols of the benchmarks.

    Exit code 1 means that images could not be read; the others were evaluated.

    Example: mobilegeo learn evaluate student.safetensors --dataset sues200 --root SUES-200
    --variant all
    """
    from mobilegeo.learn.evaluation.options import parse_settings
    from mobilegeo.learn.evaluation.run import Request, run

    settings = parse_settings(
        task=task,
        protocols=protocol,
        corruptions=corrupt,
        severities=severity,
        view_counts=multi_view,
        view_methods=multi_view_method,
        seed=seed,
    )
    request = Request(network, dataset, root, variant, settings, cache, out, batch, size)
    with progress_bar() as progress:
        outcome = run(request, shlex.join(["mobilegeo", *sys.argv[1:]]), progress)
    for error in outcome.findings.unreadable.values():
        typer.echo(f"mobilegeo: {error}", err=True)
    if as_json:
        typer.echo(json.dumps(outcome.to_record()))
    else:
        typer.echo(outcome.table(), nl=False)
        if out is not None:
            typer.echo(f"written to {out}: {', '.join(path.name for path in outcome.files)}")
    if outcome.findings.unreadable:
        raise typer.Exit(UNREADABLE_IMAGES)
