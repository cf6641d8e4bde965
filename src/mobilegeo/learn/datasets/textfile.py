"""Text and tables that come with a dataset, read with errors that name the file and the line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

from mobilegeo.errors import DatasetError, UsageError
from mobilegeo.geo import LatLon

Row = tuple[str, dict[str, str]]
"""Where a row is, for messages, and its cells by column name."""


def read_text(path: Path) -> str:
    """Reads a file as UTF-8, with or without byte order mark.

    Raises:
        DatasetError: it cannot be read or is no UTF-8 text.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(
            path, f"cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(path, f"is not UTF-8 ({error.reason})", "get the file again") from error


def read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    """Reads the rows of a CSV file; further columns are kept, empty rows skipped.

    Args:
        path: a file whose first row names the columns.
        columns: those that must be there.

    Raises:
        DatasetError: the file cannot be read, a column is missing or a row too short.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if missing := [name for name in columns if name not in header]:
            raise DatasetError(
                path,
                f"has no column {', '.join(missing)} (columns: {', '.join(header) or 'none'})",
                "get the file again",
            )
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
            if not any(cells.values()):
                continue
            if absent := [name for name in columns if not cells.get(name)]:
                raise DatasetError(where, f"leaves {', '.join(absent)} empty", "get the file again")
            yield where, cells
    except csv.Error as error:
        raise DatasetError(
            f"{path}, line {reader.line_num}", f"is not CSV ({error})", "get the file again"
        ) from error


def number(row: Row, column: str) -> float | None:
    """A cell as a finite number; None where the column is absent or the cell empty.

    Raises:
        DatasetError: the cell is no number.
    """
    where, cells = row
    cell = cells.get(column, "")
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(where, f"{column} is {cell!r}, no number", "get the file again")
    return value


def point(row: Row, lat: str, lon: str) -> LatLon:
    """Two cells that must be there as a position.

    Raises:
        DatasetError: they are no position on earth.
    """
    latitude, longitude = number(row, lat), number(row, lon)
    if latitude is None or longitude is None:
        raise DatasetError(row[0], f"leaves {lat} or {lon} empty", "fill both")
    return checked_point(latitude, longitude, row[0])


def checked_point(lat: float, lon: float, where: str) -> LatLon:
    """A position from two numbers.

    Raises:
        DatasetError: they are out of range; names the place in the file.
    """
    try:
        return LatLon(lat, lon)
    except UsageError as error:
        raise DatasetError(where, f"{error.where} is {error.problem}", error.cure) from None
