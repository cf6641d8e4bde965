"""`mobilegeo encoders`: the models that ship."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from mobilegeo.cli.common import RuntimeName

app = typer.Typer(help="List the shipped encoders, and look at one.")


@app.command(name="list")
def list_encoders() -> None:
    """Names the encoders inside the package.

    Example: mobilegeo encoders list
    """
    from mobilegeo.encoder import SHIPPED

    for name in SHIPPED:
        typer.echo(name)


@app.command()
def info(
    encoder: Annotated[
        str, typer.Argument(help="A shipped encoder or an exported .onnx file.", metavar="ENCODER")
    ],
    runtime: RuntimeName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Shows the facts that travel with an encoder's weights, and what computes it here.

    Example: mobilegeo encoders info first
    """
    from mobilegeo.encoder import load_encoder

    loaded = load_encoder(encoder, runtime=runtime)
    facts = asdict(loaded.spec) | {"sha256": loaded.sha256, "runtime": loaded.runtime}
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:18} {value}")
