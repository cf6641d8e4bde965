"""The truth table: a CSV of the photos' true positions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mobilegeo.csv_file import read_text, records, separator
from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon

_HEADER_CURE = "start the file with the columns photo, lat, lon"


@dataclass(frozen=True, slots=True)
class Truth:
    """Where a photo really was taken.

    Attributes:
        photo: a path or a file name.
        position: the ground at the image centre; None where that is outside the map, so that the
            right answer is no fix.
        heading_deg: true heading, clockwise from north; None where unknown.
        agl_m: true height above ground; None where unknown.
    """

    photo: str
    position: LatLon | None
    heading_deg: float | None = None
    agl_m: float | None = None


def read_truth_csv(path: str | Path) -> list[Truth]:
    """Reads the columns photo, lat, lon and, where present, heading_deg and agl_m.

    Other columns are ignored. A row whose lat and lon are both empty is a photo taken outside the
    map. Commas or semicolons separate; a byte order mark, spaces and CRLF are accepted.

    Raises:
        UsageError: the file cannot be read or a cell cannot be meant; names file and line.
    """
    path = Path(path)
    text = read_text(path)
    rows = records(path, text, separator(text))
    _, header = next(rows, (0, []))
    columns = [name.lower() for name in header]
    missing = [name for name in ("photo", "lat", "lon") if name not in columns]
    if missing:
        found = ", ".join(filter(None, header)) or "none"
        raise UsageError(
            path, f"has no column {', '.join(missing)} (columns: {found})", _HEADER_CURE
        )
    truths: list[Truth] = []
    lines: dict[str, int] = {}
    for line, cells in rows:
        where = f"{path}, line {line}"
        if len(cells) != len(columns):
            raise UsageError(
                where,
                f"has {len(cells)} cells, the header has {len(columns)}",
                "give every row one cell a column, numbers with a decimal point",
            )
        truth = _truth(dict(zip(columns, cells, strict=True)), where)
        if truth.photo in lines:
            problem = f"repeats photo {truth.photo} of line {lines[truth.photo]}"
            raise UsageError(where, problem, "keep one row a photo")
        lines[truth.photo] = line
        truths.append(truth)
    if not truths:
        raise UsageError(path, "has no rows", "add one row a photo below the header")
    return truths


def _truth(cells: dict[str, str], where: str) -> Truth:
    photo = cells["photo"]
    if not photo:
        raise UsageError(where, "names no photo", "fill the column photo or remove the row")
    lat = _number(cells, "lat", where, 90.0)
    lon = _number(cells, "lon", where, 180.0)
    if (lat is None) != (lon is None):
        raise UsageError(
            where, "has only one of lat and lon", "give both, or neither for a photo off the map"
        )
    return Truth(
        photo=photo,
        position=None if lat is None or lon is None else LatLon(lat, lon),
        heading_deg=_number(cells, "heading_deg", where, 360.0),
        agl_m=_number(cells, "agl_m", where, 20_000.0),
    )


def _number(cells: dict[str, str], column: str, where: str, limit: float) -> float | None:
    cell = cells.get(column, "")
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not -limit <= value <= limit:
        raise UsageError(
            where,
            f"{column} is '{cell}', not a number within ±{limit:g}",
            "write degrees and metres with a decimal point, or leave the cell empty",
        )
    return value
