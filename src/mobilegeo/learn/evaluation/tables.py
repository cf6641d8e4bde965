"""Tables of results: Markdown for docs, CSV for machines, LaTeX for papers.

A record is one row, column by name; columns stand in the order in which records first name them.
What a record lacks is an empty cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from mobilegeo.errors import UsageError

Record = Mapping[str, str | float | None]

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{special: f"\\{special}" for special in "&%$#_{}"},
    }
)


def markdown_table(records: Sequence[Record], digits: int = 2) -> str:
    """A GitHub-flavoured table; numbers to `digits` decimals, whole ones as they are."""
    columns, rows = _cells(records, digits)
    numeric = [_is_numeric(records, column) for column in columns]
    rules = ["---:" if right else "---" for right in numeric]
    lines = [[_markdown_text(cell) for cell in row] for row in (columns, *rows)]
    lines.insert(1, rules)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv_table(records: Sequence[Record]) -> str:
    """RFC 4180 with a header; numbers in full, so that they read back the same."""
    columns = _columns(records)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_full(record.get(column)) for column in columns] for record in records)
    return text.getvalue()


def latex_table(records: Sequence[Record], digits: int = 2) -> str:
    """A `tabular` with the rules of the package booktabs."""
    columns, rows = _cells(records, digits)
    alignment = "".join("r" if _is_numeric(records, column) else "l" for column in columns)
    lines = [" & ".join(cell.translate(_LATEX) for cell in row) for row in (columns, *rows)]
    body = "".join(f"{line} \\\\\n" for line in lines[1:])
    return (
        f"\\begin{{tabular}}{{{alignment}}}\n\\toprule\n{lines[0]} \\\\\n\\midrule\n"
        f"{body}\\bottomrule\n\\end{{tabular}}\n"
    )


def _cells(records: Sequence[Record], digits: int) -> tuple[list[str], list[list[str]]]:
    columns = _columns(records)
    rows = [[_short(record.get(column), digits) for column in columns] for record in records]
    return columns, rows


def _columns(records: Sequence[Record]) -> list[str]:
    if not records:
        raise UsageError("table", "has no records", "evaluate something first")
    return list(dict.fromkeys(column for record in records for column in record))


def _is_numeric(records: Sequence[Record], column: str) -> bool:
    return not any(isinstance(record.get(column), str) for record in records)


def _full(value: str | float | None) -> str:
    return "" if value is None else str(value)


def _short(value: str | float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else _full(value)


def _markdown_text(cell: str) -> str:
    return " ".join(cell.replace("\\", "\\\\").replace("|", "\\|").split())
