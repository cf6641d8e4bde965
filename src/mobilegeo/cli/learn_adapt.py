"""`mobilegeo learn adapt`: the shipped encoder fine-tuned on views of your own map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mobilegeo.cli.common import progress_bar, require_learning_wing


def adapt(
    rasters: Annotated[
        list[Path],
        typer.Argument(
            help="Georeferenced rasters, XYZ folders or MBTiles that make one map.",
            metavar="MAP...",
            show_default=False,
        ),
    ],
    minutes: Annotated[float, typer.Option(help="How long it may take, all in all.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.")],
    dsm: Annotated[
        Path | None,
        typer.Option(help="Surface model of the map, for true relief.", show_default=False),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="What to start from: a shipped encoder, or a training checkpoint (.safetensors).",
            metavar="NAME|CHECKPOINT",
            show_default="the default encoder",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the held-out part and of all views.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fine-tunes an encoder's place head on simulated views of your map.

    A part of the map is held out to judge on. Where the adapted head does not find more there
    than the original one, the original is written, and the answer says so.

    Example: mobilegeo learn adapt ortho.tif --dsm dsm.tif --minutes 10 -o adapted.onnx
    """
    require_learning_wing()
    from mobilegeo.learn.adapt.budget import Budget

    budget = Budget(minutes)  # before PyTorch is loaded, which takes seconds
    from mobilegeo.encoder.registry import DEFAULT
    from mobilegeo.learn.adapt.records import Request
    from mobilegeo.learn.adapt.run import adapt as run

    request = Request(rasters, out, dsm, encoder or DEFAULT, seed)
    with progress_bar() as progress:
        done = run(request, budget, progress)
    for warning in done.map.warnings:
        typer.echo(f"mobilegeo: {warning}", err=True)
    typer.echo(json.dumps(done.to_record()) if as_json else done.summary())
