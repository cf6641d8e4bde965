"""The formats in which fixes can be written, by file extension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mobilegeo.fix import Fix
from mobilegeo.output.csv_table import write_csv
from mobilegeo.output.formats import chosen_writer
from mobilegeo.output.geojson import write_geojson
from mobilegeo.output.gpx import write_gpx
from mobilegeo.output.jsonl import write_jsonl
from mobilegeo.output.kml import write_kml

WRITERS: dict[str, Callable[[Sequence[Fix], Path], None]] = {
    ".jsonl": write_jsonl,
    ".csv": write_csv,
    ".geojson": write_geojson,
    ".gpx": write_gpx,
    ".kml": write_kml,
}
"""To add a format: one file with a writer, one line here."""


def writer_for(path: str | Path) -> Callable[[Sequence[Fix], Path], None]:
    """The writer for a file name, to be asked before hours of work rather than after.

    Raises:
        UsageError: no format has that extension, or the folder does not exist.
    """
    return chosen_writer(path, WRITERS)


def write_fixes(fixes: Sequence[Fix], path: str | Path) -> None:
    """Writes fixes in the format that the file's extension names.

    Raises:
        UsageError: no format has that extension, or the file cannot be written.
    """
    writer_for(path)(fixes, Path(path))
