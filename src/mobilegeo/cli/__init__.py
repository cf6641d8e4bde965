"""The command line: each command parses its options, calls the library and prints."""

from __future__ import annotations

import sys
import traceback

import typer

from mobilegeo.cli import demo, encoders, evaluate, learn, locate, map_pack
from mobilegeo.errors import MobileGeoError

DEBUG = "--debug"

app = typer.Typer(
    name="mobilegeo",
    help="Finds where a drone is from what its camera sees: photos and your own map in, positions "
    "with an honest uncertainty out, offline.\n\nStart with: mobilegeo demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Any command takes --debug to show the traceback of an error.",
)
app.command(no_args_is_help=False)(demo.demo)
app.add_typer(map_pack.app, name="map")
app.command()(locate.locate)
app.command()(evaluate.evaluate)
app.add_typer(encoders.app, name="encoders")
app.add_typer(learn.app, name="learn")


def main() -> None:
    """Runs the command line and turns errors into messages and exit codes."""
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(arguments, prog_name="mobilegeo")
    except MobileGeoError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"mobilegeo: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does.
        sys.stderr.close()
        raise SystemExit(0) from None
