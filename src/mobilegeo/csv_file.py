"""CSV files as people make them: several separators, byte order marks, spaces, quotes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from mobilegeo.errors import UsageError


def read_text(path: str | PathLike[str]) -> str:
    """The text of a file, without its byte order mark.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(path, f"cannot be read ({error.strerror})", "check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(path, "is not UTF-8 text", "save it as CSV UTF-8") from error


def separator(text: str) -> str:
    """The one of comma, semicolon and tab that its first line has most of."""
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first_line.count)


def records(
    path: str | PathLike[str], text: str, delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of every record that is not blank.

    Raises:
        UsageError: the text is not CSV; names file and line.
    """
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {reader.line_num}", f"is not CSV ({error})", "correct the quotes"
        ) from error
