"""`mobilegeo learn`: the learning wing, if it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from mobilegeo.cli.check_data import check_data
from mobilegeo.errors import MissingExtraError

app = typer.Typer(
    help="Train and export encoders (needs the extra: pip install 'mobilegeo[learn]').",
)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A TOML file.", metavar="CONFIG")],
) -> None:
    """Trains an encoder; an interrupted run goes on from its last checkpoint.

    Example: mobilegeo learn train configs/first.toml
    """
    _require_learning_wing()
    from mobilegeo.learn.layout import run

    typer.echo(run(config))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors file.", metavar="CHECKPOINT")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.")],
) -> None:
    """Exports a checkpoint as an encoder for `map build --encoder` and `locate`.

    Example: mobilegeo learn export runs/first/step-0001600.safetensors -o my.onnx
    """
    _require_learning_wing()
    from mobilegeo.learn.export import export_onnx

    typer.echo(export_onnx(checkpoint, out))


app.command("check-data")(check_data)


def _require_learning_wing() -> None:
    missing = [name for name in ("torch", "timm") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            "learn",
            f"needs {' and '.join(missing)}, not installed here",
            "run: pip install 'mobilegeo[learn]'",
        )
