"""Which writer a file name asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from mobilegeo.errors import UsageError

W = TypeVar("W")


def chosen_writer(path: str | Path, writers: Mapping[str, W]) -> W:
    """The writer for a file name, to be asked before hours of work rather than after.

    Args:
        path: of the file to come.
        writers: by extension, lower case with its dot.

    Raises:
        UsageError: no format has that extension, or the folder does not exist.
    """
    path = Path(path)
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise UsageError(
            path, f"unknown format '{path.suffix}'", f"name a file {', '.join(writers)}"
        )
    if not path.parent.is_dir():
        raise UsageError(path, f"there is no folder {path.parent}", "create it first")
    return writer
