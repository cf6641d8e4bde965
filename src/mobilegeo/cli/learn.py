"""`mobilegeo learn`: the learning wing, if it is installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated

import typer

from mobilegeo.cli.check_data import check_data
from mobilegeo.cli.common import progress_bar
from mobilegeo.cli.learn_evaluate import evaluate
from mobilegeo.cli.simulate import simulate
from mobilegeo.errors import MissingExtraError

app = typer.Typer(
    help="Train and export encoders (needs the extra: pip install 'mobilegeo[learn]').",
)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A TOML file.", metavar="CONFIG")],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Value to use instead of the file's; may be repeated.",
            metavar="SECTION.KEY=VALUE",
        ),
    ] = None,
) -> None:
    """Trains a student, a teacher or an encoder; started again, goes on where it stopped.

    Prints the file that holds the trained network; what happens meanwhile goes to stderr.

    Example: mobilegeo learn train configs/university1652_step1.toml --set schedule.epochs=60
    """
    _require_learning_wing()
    from mobilegeo.learn.train import train as train_configured

    with progress_bar() as advance:
        made = train_configured(config, overrides or (), tell=_to_stderr, advance=advance)
    if os.environ.get("RANK", "0") == "0":  # under torchrun, one process speaks for all
        typer.echo(made)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors file.", metavar="CHECKPOINT")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.")],
) -> None:
    """Exports a checkpoint as an encoder for `map build --encoder` and `locate`.

    Example: mobilegeo learn export runs/university1652_step2/network.safetensors -o my.onnx
    """
    _require_learning_wing()
    from mobilegeo.learn.export.float32 import export_float32

    typer.echo(export_float32(checkpoint, out))


app.command("check-data")(check_data)
app.command("evaluate")(evaluate)
app.command("simulate")(simulate)


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)


def _require_learning_wing() -> None:
    missing = [name for name in ("torch", "timm") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            "learn",
            f"needs {' and '.join(missing)}, not installed here",
            "run: pip install 'mobilegeo[learn]'",
        )
