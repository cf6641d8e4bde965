"""Several views in one query: who is chosen, what is fused, what it cost."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from evaluate_kit import TinyNetwork, textured_twin
from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.catalogue import read_benchmark
from mobilegeo.learn.evaluation.benchmark_run import Settings, evaluate_dataset
from mobilegeo.learn.evaluation.embedding import ViewEmbedder
from mobilegeo.learn.evaluation.multiview_queries import METHODS, MultiView, fuse_places
from mobilegeo.learn.evaluation.protocols import PROTOCOLS
from mobilegeo.learn.evaluation.search import embed_search
from mobilegeo.locate.views import embedded, fuse, importance, selector_named

VIEWS = 3
"""Drone views a place of the twin has."""


@pytest.fixture(scope="module")
def university(tmp_path_factory):
    return textured_twin("university1652", tmp_path_factory.mktemp("views") / "twin", 230.0)


@pytest.fixture(scope="module")
def search(university):
    retrieval = read_benchmark("university1652", university).retrieval("D2S")
    return embed_search(retrieval, ViewEmbedder(TinyNetwork()))


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("all", "mean")])
def test_one_view_is_the_view_itself(search, method) -> None:
    fused = fuse_places(search.retrieval.query, search.query, MultiView(1, method))
    for row, vector in enumerate(fused.vectors):
        own = search.query.vectors[VIEWS * row : VIEWS * (row + 1)]
        assert np.abs(own - vector).max(axis=1).min() < 1e-6
    assert fused.fused == 1
    assert fused.encoded == (1 if method in ("even", "random") else VIEWS)


def test_one_even_view_scores_as_the_middle_views_alone(search) -> None:
    """A closed form: with k = 1 the fused search is the plain one of each place's middle view."""
    result, _ = search.measure_fused(PROTOCOLS["university1652-d2s"], MultiView(1, "even"))
    middle = search.query.vectors[1::VIEWS]
    scores = middle @ search.gallery.vectors.T
    places = [place.id for place in search.retrieval.query.places]
    tiles = [view.place for view in search.retrieval.gallery.views]
    right = [tiles[best] == place for best, place in zip(scores.argmax(1), places, strict=True)]
    assert result.queries == len(places)
    assert result.metrics["R@1"] == np.mean(right)


def test_fusions_are_those_of_the_localizer(search) -> None:
    subset, views = search.retrieval.query, search.query
    own = views.vectors[:VIEWS]
    mean = own.mean(axis=0)
    np.testing.assert_allclose(
        fuse_places(subset, views, MultiView(1, "mean")).vectors[0],
        mean / np.linalg.norm(mean),
        atol=1e-6,
    )
    chosen = selector_named("msrm")(embedded(own), 2)
    np.testing.assert_allclose(
        fuse_places(subset, views, MultiView(2, "msrm")).vectors[0],
        fuse(own[chosen], importance(own)[chosen]),
        atol=1e-6,
    )
    everything = fuse_places(subset, views, MultiView(1, "all"))
    assert (everything.fused, everything.encoded) == (VIEWS, VIEWS)


def test_views_chosen_unseen_are_weighed_by_those_seen(search) -> None:
    own = search.query.vectors[:VIEWS]
    chosen = selector_named("even")(embedded(own), 2)
    fused = fuse_places(search.retrieval.query, search.query, MultiView(2, "even"))
    expected = fuse(own[chosen], importance(own[chosen]))
    np.testing.assert_allclose(fused.vectors[0], expected, atol=1e-6)


def test_random_views_follow_the_seed_and_the_place(search) -> None:
    def vectors(seed):
        multi = MultiView(1, "random", seed)
        return fuse_places(search.retrieval.query, search.query, multi).vectors

    np.testing.assert_array_equal(vectors(0), vectors(0))
    assert any((vectors(0) != vectors(seed)).any() for seed in range(1, 6))


def test_rows_tell_views_fused_and_encoded(university) -> None:
    settings = Settings(multi_views=(MultiView(2, "even"), MultiView(2), MultiView(1, "mean")))
    findings = evaluate_dataset(ViewEmbedder(TinyNetwork()), "university1652", university, settings)
    cost = {(row.views, row.fused, row.encoded) for row in findings.rows if row.task == "D2S"}
    assert cost == {("single", 1, 1), ("even 2", 2, 2), ("msrm 2", 2, 3), ("mean", 3, 3)}
    assert {row.views for row in findings.rows if row.task == "S2D"} == {"single"}
    assert findings.records[0]["views"] == "single"
    assert findings.records[1]["encoded"] == 2


def test_listed_answers_of_a_place_are_those_of_its_views(tmp_path) -> None:
    """The same right answers, by label and by list, give the same recall."""
    root = textured_twin("denseuav", tmp_path / "dense", 230.0)
    settings = Settings(
        ("D2S",), ("denseuav-d2s", "uav-visloc"), multi_views=(MultiView(1, "even"),)
    )
    findings = evaluate_dataset(ViewEmbedder(TinyNetwork()), "denseuav", root, settings)
    by_label, by_list = (row.result for row in findings.rows if row.views == "even 1")
    assert by_label.queries == by_list.queries == 2
    for metric in ("R@1", "R@5", "R@10"):
        assert by_label.metrics[metric] == by_list.metrics[metric]


def test_damaged_views_are_left_out_and_a_place_without_any_is_missed(university, tmp_path) -> None:
    root = shutil.copytree(university, tmp_path / "twin")
    first, second = sorted((root / "test/query_drone").iterdir())
    for path in [*first.iterdir(), second / "image-01.jpeg"]:
        path.write_bytes(b"nothing")
    findings = evaluate_dataset(
        ViewEmbedder(TinyNetwork()),
        "university1652",
        root,
        Settings(tasks=("D2S",), multi_views=(MultiView(5, "all"),)),
    )
    assert len(findings.unreadable) == 4
    fused = next(row for row in findings.rows if row.views == "all")
    assert (fused.fused, fused.result.queries, fused.result.unreadable_queries) == (1.0, 2, 1)
    assert fused.result.metrics["R@10"] == 0.5


def test_places_with_one_view_have_nothing_to_choose_from(tmp_path) -> None:
    root = textured_twin("folder", tmp_path / "own")
    settings = Settings(multi_views=(MultiView(2),))
    with pytest.raises(UsageError, match="query_drone: has a single view of every place"):
        evaluate_dataset(ViewEmbedder(TinyNetwork()), "folder", root, settings)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="multi-view 0: is not positive"):
        MultiView(0)
    with pytest.raises(UsageError, match="'best': is not known; choose one of msrm"):
        MultiView(3, "best")
