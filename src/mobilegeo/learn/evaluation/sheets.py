"""Retrieval sheets: queries with their first answers, the best and the worst, as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import PhotoError
from mobilegeo.learn.datasets.records import View
from mobilegeo.learn.evaluation.drawing import (
    FAINT,
    INK,
    PAPER,
    QUERY,
    RIGHT,
    WRONG,
    Colour,
    font,
    shortened,
)
from mobilegeo.learn.evaluation.images import Condition, file_digest, load_image
from mobilegeo.learn.evaluation.metrics import Ranking
from mobilegeo.learn.evaluation.search import Search

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

TOP = 5
CASES = 4
"""Queries in each half of a sheet."""
TILE_PX = 144
_FRAME_PX, _GAP_PX, _MARGIN_PX = 5, 14, 24
_TEXT_PX, _TITLE_PX = 14, 20
_ROW_PX = TILE_PX + 2 * _FRAME_PX + 2 * _TEXT_PX + 20
_COLUMN_PX = TILE_PX + 2 * _FRAME_PX + _GAP_PX
_HEAD_PX, _SECTION_PX = 2 * _MARGIN_PX + _TITLE_PX + _TEXT_PX + 16, 40
BEST_TITLE = "Found first, most similar"
WORST_TITLE = "Not found first, right answer ranked last"


@dataclass(frozen=True)
class Case:
    """A query and what came of it.

    Attributes:
        query: row of the query.
        top: rows of the gallery, most similar first.
        best_right: row of the gallery, the most similar right answer.
        rank: zero-based rank of that answer.
    """

    query: int
    top: NDArray[np.int64]
    best_right: int
    rank: int


@dataclass(frozen=True)
class Cell:
    """A picture with its frame and the text below it."""

    view: View
    frame: Colour
    lines: tuple[str, str]


def choose_cases(search: Search, ranking: Ranking) -> tuple[list[Case], list[Case]]:
    """The best and the worst queries, at most `CASES` of each and one a place.

    Best are those whose first answer is right, by falling similarity to it. Worst are those whose
    first answer is wrong, by falling rank of the best right answer. Queries that could not be read
    or have no right answer in the gallery are left out.
    """
    first = np.full(ranking.queries, -1, dtype=np.int64)
    first[ranking.matched] = ranking.first
    usable = np.flatnonzero((first >= 0) & search.query.readable)
    similarity = np.einsum(
        "qd,qd->q", search.query.vectors[usable], search.gallery.vectors[ranking.top[usable, 0]]
    )
    found = first[usable] == 0
    best = usable[found][np.argsort(-similarity[found], kind="stable")]
    worst = usable[~found][np.argsort(-first[usable[~found]], kind="stable")]
    best_cases, worst_cases = (
        [_case(search, ranking, row, int(first[row])) for row in _one_a_place(search, rows)]
        for rows in (best, worst)
    )
    return best_cases, worst_cases


def _one_a_place(search: Search, rows: NDArray[np.int64]) -> list[int]:
    views = search.retrieval.query.views
    of_place: dict[str, int] = {}
    for row in rows:
        of_place.setdefault(views[row].place, int(row))
        if len(of_place) == CASES:
            break
    return list(of_place.values())


def _case(search: Search, ranking: Ranking, query: int, rank: int) -> Case:
    right = search.matches.of(query)
    scores = search.gallery.vectors[right] @ search.query.vectors[query]
    return Case(query, ranking.top[query], int(right[np.argmax(scores)]), rank)


def retrieval_sheet(search: Search, title: str) -> Image:
    """Draws the best and the worst queries of a search.

    Each row holds the query, its `TOP` most similar images of the gallery (green frames are right,
    red ones wrong, and so the text below says), and the most similar right answer with its rank.

    Args:
        search: embedded.
        title: first line.
    """
    from PIL import Image, ImageDraw

    top = min(TOP, len(search.gallery.vectors))
    best, worst = choose_cases(search, search.ranking(top))
    sections = [
        (name, cases) for name, cases in ((BEST_TITLE, best), (WORST_TITLE, worst)) if cases
    ]
    width = 2 * _MARGIN_PX + (top + 2) * _COLUMN_PX
    height = _HEAD_PX + sum(_SECTION_PX + len(cases) * _ROW_PX for _, cases in sections)
    sheet = Image.new("RGB", (width, height + _MARGIN_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_head(draw, title, width)
    y = _HEAD_PX
    for name, cases in sections:
        draw.text((_MARGIN_PX, y + 8), name, INK, font(_TITLE_PX - 2))
        y += _SECTION_PX
        for case in cases:
            for column, cell in enumerate(_cells(search, case)):
                _draw_cell(sheet, draw, cell, _MARGIN_PX + column * _COLUMN_PX, y, search.condition)
            y += _ROW_PX
    return sheet


def _draw_head(draw: ImageDraw, title: str, width: int) -> None:
    letters, small = font(_TITLE_PX), font(_TEXT_PX)
    text = shortened(title, width - 2 * _MARGIN_PX, letters)
    draw.text((_MARGIN_PX, _MARGIN_PX), text, INK, letters)
    y = _MARGIN_PX + _TITLE_PX + 12
    x = float(_MARGIN_PX)
    for colour, text in (
        (QUERY, "query"),
        (RIGHT, "right"),
        (WRONG, "wrong"),
        (FAINT, "the most similar right answer; numbers are ranks and cosine similarities"),
    ):
        draw.rectangle((x, y, x + 14, y + 14), fill=PAPER, outline=colour, width=4)
        draw.text((x + 22, y), text, INK, small)
        x += 46 + small.getlength(text)


def _cells(search: Search, case: Case) -> list[Cell]:
    query = search.retrieval.query.views[case.query]
    gallery = search.retrieval.gallery.views
    right = set(search.matches.of(case.query).tolist())
    scores = search.gallery.vectors[case.top] @ search.query.vectors[case.query]
    cells = [Cell(query, QUERY, ("query", _name(query)))]
    for number, (row, score) in enumerate(zip(case.top.tolist(), scores, strict=True), start=1):
        frame, word = (RIGHT, "right") if row in right else (WRONG, "wrong")
        cells.append(
            Cell(gallery[row], frame, (f"{number}: {word}, {_two(score)}", _name(gallery[row])))
        )
    answer = gallery[case.best_right]
    score = search.gallery.vectors[case.best_right] @ search.query.vectors[case.query]
    cells.append(Cell(answer, FAINT, (f"rank {case.rank + 1}: {_two(score)}", _name(answer))))
    return cells


def _two(score: float) -> str:
    """Two decimals, without a minus before zero."""
    return f"{round(float(score), 2) + 0.0:.2f}"


def _name(view: View) -> str:
    return view.place if view.place in view.path.stem else f"{view.place}/{view.path.stem}"


def _draw_cell(
    sheet: Image, draw: ImageDraw, cell: Cell, x: int, y: int, condition: Condition
) -> None:
    outer = TILE_PX + 2 * _FRAME_PX
    draw.rectangle((x, y, x + outer - 1, y + outer - 1), fill=cell.frame)
    sheet.paste(_thumbnail(cell.view, condition), (x + _FRAME_PX, y + _FRAME_PX))
    letters = font(_TEXT_PX)
    colours = (cell.frame, FAINT)
    for number, (line, colour) in enumerate(zip(cell.lines, colours, strict=True)):
        text = shortened(line, outer, letters)
        draw.text((x, y + outer + 3 + number * (_TEXT_PX + 3)), text, colour, letters)


def _thumbnail(view: View, condition: Condition) -> Image:
    """The view as the network saw it, but `TILE_PX` a side; grey where it cannot be read."""
    from PIL import Image

    try:
        pixels = load_image(view, TILE_PX, file_digest(view.path), condition)
    except PhotoError:
        return Image.new("RGB", (TILE_PX, TILE_PX), FAINT)
    return Image.fromarray(pixels)
