"""The command line: each command parses its options, calls the library and prints."""

from __future__ import annotations

import sys
import traceback
from typing import Any, cast

import typer

from mobilegeo.cli import bench, demo, encoders, evaluate, learn, locate, map_pack, track
from mobilegeo.errors import MobileGeoError, UsageError

NAME = "mobilegeo"
DEBUG = "--debug"
INTERRUPTED = 130

# Typer exports no other name for click's UsageError, the base of every complaint about options.
_Misuse = cast("type[Exception]", typer.BadParameter.__base__)

app = typer.Typer(
    name=NAME,
    help="Finds where a drone is from what its camera sees: photos and your own map in, positions "
    "with an honest uncertainty out, offline.\n\nStart with: mobilegeo demo",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Any command takes --debug to show the traceback of an error.",
)
app.command()(demo.demo)
app.add_typer(map_pack.app, name="map")
app.command()(locate.locate)
app.command()(track.track)
app.command()(evaluate.evaluate)
app.command()(bench.bench)
app.add_typer(encoders.app, name="encoders")
app.add_typer(learn.app, name="learn")


def main() -> None:
    """Runs the command line and turns errors into messages and exit codes."""
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        code = app(arguments or ["--help"], prog_name=NAME, standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (MobileGeoError, OSError, _Misuse) as error:
        if debug:
            traceback.print_exc()
        told = _told(error)
        typer.echo(f"{NAME}: {told}", err=True)
        code = told.exit_code
    if code == INTERRUPTED:
        cure = "run the command again, a map build with --resume"
        typer.echo(f"{NAME}: interrupted; {cure}", err=True)
    raise SystemExit(code)


def _told(error: Exception) -> MobileGeoError:
    """The error as one of ours: with a place, a problem and a cure."""
    if isinstance(error, MobileGeoError):
        return error
    if isinstance(error, OSError):
        problem = error.strerror or str(error)
        cure = "check the path, its permissions and the room on its disk"
        return UsageError(error.filename or "file", problem, cure)
    return _misuse(error)


def _misuse(error: Any) -> UsageError:
    """A complaint of click's, which knows the command and names the option."""
    path = error.ctx.command_path if error.ctx is not None else NAME
    where = path.removeprefix(NAME).strip() or "command line"
    return UsageError(where, error.format_message().rstrip("."), f"see {path} --help")
