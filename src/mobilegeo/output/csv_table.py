"""CSV: one flat row a photo, for spreadsheets; candidates and details are left out."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mobilegeo.fix import Fix
from mobilegeo.output.atomic import write_atomically
from mobilegeo.output.text import json_ready

COLUMNS = (
    "photo",
    "status",
    "lat",
    "lon",
    "sigma_m",
    "confidence",
    "heading_deg",
    "method",
    "reason",
    "camera_lat",
    "camera_lon",
)
"""Fields of `Fix` that become columns; `total_ms` follows them."""


def write_csv(fixes: Sequence[Fix], path: Path) -> None:
    """Writes a header and a row a photo; what is unknown is an empty cell.

    As RFC 4180 wants it, with CRLF; UTF-8, but a file name that is not UTF-8 keeps its own bytes.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # with "\n" alone, Python 3.11 leaves a carriage return unquoted
    writer.writerow([*COLUMNS, "total_ms"])
    for fix in fixes:
        values = [getattr(fix, column) for column in COLUMNS]
        writer.writerow([json_ready(value) for value in [*values, fix.timing_ms.get("total")]])
    write_atomically(path, text.getvalue().encode("utf-8", errors="surrogateescape"))
