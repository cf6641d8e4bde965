"""`mobilegeo learn export`: a trained network or a float32 encoder as a proven encoder file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mobilegeo.cli.common import progress_bar, require_learning_wing


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="A .safetensors file of a training; or, for float16 and int8, a float32 .onnx "
            "file or the name of a shipped encoder.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.")],
    precision: Annotated[str, typer.Option(help="float32, float16 or int8.")] = "float32",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="A georeferenced map, or a folder of images at the encoder's resolution. int8 "
            "needs it: one half calibrates, the other is held out.",
            metavar="IMAGES",
            show_default=False,
        ),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="Judge recall on this folder of `learn simulate` instead.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the halves and the simulated views.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Exports an encoder for `map build --encoder` and `locate --encoder`.

    A file that differs from the network, or that loses more than half a point of recall by its
    precision, is an error and is not kept.

    Example: mobilegeo learn export first --precision int8 --calibrate ortho.tif -o first-int8.onnx
    """
    require_learning_wing()
    from mobilegeo.learn.export.run import Request
    from mobilegeo.learn.export.run import export as run

    request = Request(source, out, precision, calibrate, held_out, seed=seed)
    with progress_bar() as progress:
        done = run(request, progress)
    typer.echo(json.dumps(done.to_record()) if as_json else done.summary())
