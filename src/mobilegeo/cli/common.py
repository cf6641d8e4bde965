"""What several commands share: options, progress bars, and points written as LAT,LON."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mobilegeo.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from mobilegeo.geo import LatLon
    from mobilegeo.locate.prior import CirclePrior

Advance = Callable[[str, int, int], None]

DEFAULT_RADIUS_M = 500.0

RadiusM = Annotated[
    float | None, typer.Option(help=f"Metres around --near; {DEFAULT_RADIUS_M:g} if not given.")
]
PitchDeg = Annotated[float | None, typer.Option(help="-90 looks straight down, 0 at the horizon.")]
RollDeg = Annotated[float | None, typer.Option(help="Positive when the camera leans to the right.")]
AglM = Annotated[float | None, typer.Option(help="Height above the ground, metres.")]
HfovDeg = Annotated[float | None, typer.Option(help="Field of view across the image's width.")]
EncoderName = Annotated[
    str | None, typer.Option(help="The encoder that made the pack, if it is not a shipped one.")
]
"""Options of `locate` and `track`."""

RuntimeName = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        help="What computes the encoder: onnx (if not given), onnx-cuda, onnx-tensorrt, "
        "onnx-openvino, openvino, openvino-bf16, auto, the fastest here by a trial of a second, "
        "or for a training checkpoint torch and its variants.",
        metavar="NAME",
    ),
]
"""Option of every command that opens an encoder."""


@contextmanager
def progress_bar() -> Iterator[Advance]:
    """A progress bar on stderr, silent where that is no terminal.

    Yields:
        A function to be called with the stage's name, steps done and steps in all.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    tasks = {}

    def advance(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done, total=total)

    with bar:
        yield advance


def near_prior(near: str | None, radius_m: float | None) -> CirclePrior | None:
    """The circle that `--near` and `--radius-m` describe.

    Raises:
        UsageError: a radius without a point, or one of them cannot be meant.
    """
    from mobilegeo.locate.prior import CirclePrior

    if near is None:
        if radius_m is not None:
            raise UsageError("--radius-m", "is given without --near", "give --near LAT,LON too")
        return None
    radius_m = DEFAULT_RADIUS_M if radius_m is None else radius_m
    return CirclePrior(parse_lat_lon(near, "--near"), radius_m)


def parse_lat_lon(text: str, option: str) -> LatLon:
    """Reads `LAT,LON` in degrees.

    Raises:
        UsageError: the text is not two numbers, or they are out of range; names the option.
    """
    from mobilegeo.geo import LatLon

    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option} {text}", "is not two numbers", "write LAT,LON in degrees: 47.37,8.54"
        ) from None
    return LatLon(lat, lon)


def parse_lengths(text: str, option: str) -> tuple[float, ...]:
    """Reads `60,120,240` in metres.

    Raises:
        UsageError: a part is no number; names the option.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option} {text}", "is not a list of numbers", "write metres: 60,120,240"
        ) from None


def require_learning_wing() -> None:
    """Makes sure that PyTorch and timm are installed.

    Raises:
        MissingExtraError: they are not; says how to get them.
    """
    missing = [name for name in ("torch", "timm") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            "learn",
            f"needs {' and '.join(missing)}, not installed here",
            "run: pip install 'mobilegeo[learn]'",
        )
