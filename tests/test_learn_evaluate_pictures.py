"""Sheets and plots: what they show, checked in their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate_kit import TinyNetwork, textured_twin
from mobilegeo.learn.datasets.catalogue import read_benchmark
from mobilegeo.learn.evaluation import sheets
from mobilegeo.learn.evaluation.drawing import FAINT, PAPER, QUERY, RIGHT, WRONG, font, shortened
from mobilegeo.learn.evaluation.embedding import ViewEmbedder
from mobilegeo.learn.evaluation.plots import (
    HEIGHT_PX,
    WIDTH_PX,
    embedding_plot,
    principal_components,
    sample_places,
)
from mobilegeo.learn.evaluation.search import embed_search
from mobilegeo.learn.evaluation.sheets import CASES, TOP, choose_cases, retrieval_sheet


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    root = textured_twin("denseuav", tmp_path_factory.mktemp("pictures") / "twin", 230.0)
    retrieval = read_benchmark("denseuav", root).retrieval("S2D")
    return embed_search(retrieval, ViewEmbedder(TinyNetwork()))


def test_best_and_worst_cases_are_those(search) -> None:
    ranking = search.ranking(TOP)
    best, worst = choose_cases(search, ranking)
    views, tiles = search.retrieval.query.views, search.retrieval.gallery.views
    scores = search.query.vectors @ search.gallery.vectors.T
    ranks = {}
    for row, view in enumerate(views):
        order = np.argsort(-scores[row])
        ranks[row] = next(n for n, tile in enumerate(order) if tiles[tile].place == view.place)
    for case in (*best, *worst):
        assert case.rank == ranks[case.query]
        np.testing.assert_array_equal(case.top, np.argsort(-scores[case.query])[:TOP])
        assert tiles[case.best_right].place == views[case.query].place
    assert best
    assert worst
    assert all(case.rank == 0 for case in best)
    assert worst[0].rank == max(ranks.values()) > 0
    found = [row for row, rank in ranks.items() if rank == 0]
    assert best[0].query == max(found, key=lambda row: scores[row].max())
    for cases in (best, worst):
        places = [views[case.query].place for case in cases]
        assert len(places) == len(set(places)) <= CASES


def test_sheet_has_a_frame_for_every_answer(search) -> None:
    sheet = retrieval_sheet(search, "twin")
    best, worst = choose_cases(search, search.ranking(TOP))
    rows = len(best) + len(worst)
    width = 2 * sheets._MARGIN_PX + (TOP + 2) * sheets._COLUMN_PX
    height = sheets._HEAD_PX + 2 * sheets._SECTION_PX + rows * sheets._ROW_PX + sheets._MARGIN_PX
    assert sheet.size == (width, height)
    pixels = np.asarray(sheet)
    tiles, views = search.retrieval.gallery.views, search.retrieval.query.views
    y = sheets._HEAD_PX + sheets._SECTION_PX + 2
    for case in best:
        place = views[case.query].place
        frames = [RIGHT if tiles[tile].place == place else WRONG for tile in case.top]
        for column, colour in enumerate([QUERY, *frames]):
            x = sheets._MARGIN_PX + column * sheets._COLUMN_PX + 2
            assert tuple(pixels[y, x]) == colour
        y += sheets._ROW_PX
    assert tuple(pixels[-1, -1]) == PAPER


def test_an_unreadable_tile_is_grey_in_the_sheet(search) -> None:
    view = search.retrieval.gallery.views[0]
    gone = type(view)(view.path.with_name("gone.jpg"), view.kind, view.place)
    thumbnail = np.asarray(sheets._thumbnail(gone, search.condition))
    assert thumbnail.shape == (sheets.TILE_PX, sheets.TILE_PX, 3)
    assert (thumbnail == FAINT).all()


def test_principal_components_are_the_covariances_eigenvectors() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 5)) @ np.diag([5.0, 3.0, 1.0, 0.5, 0.1])
    points, shares = principal_components(vectors)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum())
    expected = (vectors - vectors.mean(axis=0)) @ axes[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)


def test_plot_marks_places_of_both_kinds(search) -> None:
    sample = sample_places(search)
    assert set(sample.places) == {"002256", "002257"}
    assert (sample.satellite.sum(), (~sample.satellite).sum()) == (12, 6)
    plot = embedding_plot(sample, "twin")
    assert plot.size == (WIDTH_PX, HEIGHT_PX)
    inside = np.asarray(plot)[100:700, 70:900].reshape(-1, 3)
    coloured = inside[np.ptp(inside.astype(int), axis=1) > 60]
    assert len(coloured) > 18 * 40, "eighteen marks of some hundred pixels"
    np.testing.assert_array_equal(np.asarray(embedding_plot(sample, "twin")), np.asarray(plot))


def test_long_names_lose_their_front() -> None:
    letters = font(14)
    assert shortened("short", 100, letters) == "short"
    cut = shortened("a-very-long-name-that-does-not-fit/0001", 100, letters)
    assert cut.startswith("...")
    assert cut.endswith("0001")
    assert letters.getlength(cut) <= 100
