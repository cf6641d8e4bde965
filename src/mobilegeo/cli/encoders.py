"""`mobilegeo encoders`: the models that ship."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobilegeo.cli.common import RuntimeName

if TYPE_CHECKING:
    from mobilegeo.encoder import Encoder

app = typer.Typer(help="List the shipped encoders, and look at one.")


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command(name="list")
def list_encoders(as_json: AsJson = False) -> None:
    """Names the encoders inside the package; the first is the default.

    Example: mobilegeo encoders list
    """
    from mobilegeo.encoder import SHIPPED, load_encoder
    from mobilegeo.encoder.registry import shipped_bytes

    encoders = {name: load_encoder(name) for name in SHIPPED}
    if as_json:
        typer.echo(json.dumps({name: _facts(encoder) for name, encoder in encoders.items()}))
        return
    for name, encoder in encoders.items():
        spec, megabytes = encoder.spec, len(shipped_bytes(name)) / 1e6
        typer.echo(
            f"{name:12} {megabytes:4.1f} MB  {spec.embedding_dim} numbers a tile, "
            f"{spec.feature_dim} a cell of {spec.feature_stride_px} px"
        )


@app.command()
def info(
    encoder: Annotated[
        str, typer.Argument(help="A shipped encoder or an exported .onnx file.", metavar="ENCODER")
    ],
    runtime: RuntimeName = None,
    as_json: AsJson = False,
    card: Annotated[
        bool, typer.Option("--card", help="Print the model card: data, licences, figures, limits.")
    ] = False,
) -> None:
    """Shows the facts that travel with an encoder's weights, and what computes it here.

    Example: mobilegeo encoders info nano
    """
    from mobilegeo.encoder import load_encoder
    from mobilegeo.encoder.registry import card as model_card

    if card:
        typer.echo(model_card(encoder))
        return
    facts = _facts(load_encoder(encoder, runtime=runtime))
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:18} {value}")


def _facts(encoder: Encoder) -> dict[str, Any]:
    return asdict(encoder.spec) | {"sha256": encoder.sha256, "runtime": encoder.runtime}
