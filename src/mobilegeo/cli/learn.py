"""`mobilegeo learn`: the learning wing, if it is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mobilegeo.cli.check_data import check_data
from mobilegeo.cli.common import progress_bar, require_learning_wing
from mobilegeo.cli.learn_adapt import adapt
from mobilegeo.cli.learn_evaluate import evaluate
from mobilegeo.cli.learn_export import export
from mobilegeo.cli.simulate import simulate

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
    require_learning_wing()
    from mobilegeo.learn.train import train as train_configured

    with progress_bar() as advance:
        made = train_configured(config, overrides or (), tell=_to_stderr, advance=advance)
    if os.environ.get("RANK", "0") == "0":  # under torchrun, one process speaks for all
        typer.echo(made)


app.command("adapt")(adapt)
app.command("check-data")(check_data)
app.command("evaluate")(evaluate)
app.command("export")(export)
app.command("simulate")(simulate)


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)
