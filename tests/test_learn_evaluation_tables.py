"""Tables parse back to what went in."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.learn.evaluation.tables import csv_table, latex_table, markdown_table

RECORDS = [
    {"method": "tiny & mean", "queries": 701, "R@1 (%)": 93.987, "R@1% (%)": 99.0},
    {"method": "nano|int8_v2", "queries": 701, "R@1 (%)": 90.5, "dis@1 (m)": 87.12},
    {"method": "a\\b", "queries": None, "R@1 (%)": 7.0},
]


def test_markdown_reads_as_a_table() -> None:
    lines = markdown_table(RECORDS).splitlines()
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert rows == [
        ["method", "queries", "R@1 (%)", "R@1% (%)", "dis@1 (m)"],
        ["---", "---:", "---:", "---:", "---:"],
        ["tiny & mean", "701", "93.99", "99.00", ""],
        ["nano\\|int8_v2", "701", "90.50", "", "87.12"],
        ["a\\\\b", "", "7.00", "", ""],
    ]


def test_latex_compiles_in_structure_and_escapes() -> None:
    text = latex_table(RECORDS, digits=1)
    assert text.startswith("\\begin{tabular}{lrrrr}\n\\toprule\nmethod & queries & R@1 (\\%) & ")
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert body == [
        "tiny \\& mean & 701 & 94.0 & 99.0 &  \\\\",
        "nano|int8\\_v2 & 701 & 90.5 &  & 87.1 \\\\",
        "a\\textbackslash{}b &  & 7.0 &  &  \\\\",
    ]
    columns = [len(re.split(r"(?<!\\)&", line)) for line in body]
    assert columns == [5, 5, 5]


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
VALUES = st.one_of(
    st.none(), st.floats(allow_nan=False), st.integers(), st.text(st.characters(codec="utf-8"))
)


@given(st.lists(st.dictionaries(NAMES, VALUES, min_size=1), min_size=1, max_size=5))
def test_csv_reads_back_in_full(records) -> None:
    header, *rows = csv.reader(io.StringIO(csv_table(records), newline=""))
    assert set(header) == {name for record in records for name in record}
    assert len(rows) == len(records)
    for record, row in zip(records, rows, strict=True):
        cells = dict(zip(header, row, strict=True))
        for name in header:
            value = record.get(name)
            if isinstance(value, float):
                assert float(cells[name]) == value
            else:
                assert cells[name] == ("" if value is None else str(value))


@given(st.lists(st.dictionaries(NAMES, VALUES, min_size=1), min_size=1, max_size=5))
def test_markdown_keeps_its_grid_whatever_the_text(records) -> None:
    lines = markdown_table(records).split("\n")[:-1]
    columns = {name for record in records for name in record}
    assert len(lines) == len(records) + 2
    for line in lines:
        unescaped = re.sub(r"\\.", "", line)
        assert unescaped.count("|") == len(columns) + 1


def test_no_records_is_refused() -> None:
    for table in (markdown_table, csv_table, latex_table):
        with pytest.raises(UsageError, match="table: has no records"):
            table([])
