"""What several commands share: progress bars, and points written as LAT,LON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon

Advance = Callable[[str, int, int], None]


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


def parse_lat_lon(text: str, option: str) -> LatLon:
    """Reads `LAT,LON` in degrees.

    Raises:
        UsageError: the text is not two numbers, or they are out of range; names the option.
    """
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
