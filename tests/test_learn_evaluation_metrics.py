"""Ranks, recall and average precision against a reference that sorts and loops."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mobilegeo.errors import UsageError
from mobilegeo.learn.evaluation.metrics import (
    Matches,
    match_labels,
    match_pairs,
    rank,
    recall_at,
    recall_at_one_percent,
    step_ap,
    trapezoidal_ap,
)
from mobilegeo.learn.evaluation.protocols import PROTOCOLS, EmbeddedSet, evaluate


def ranks_of_right(query, gallery, right: set[int], allowed: list[int]) -> list[int]:
    """Sorts the allowed items by falling similarity, the right ones last among equals."""
    listed = sorted(allowed, key=lambda item: (-float(query @ gallery[item]), item in right))
    return [place for place, item in enumerate(listed) if item in right]


def official_ap(ranks: list[int]) -> float:
    """The loop of University-1652's public evaluator."""
    total = 0.0
    for i, row in enumerate(ranks):
        precision = (i + 1) / (row + 1)
        old_precision = i / row if row else 1.0
        total += (old_precision + precision) / 2.0 / len(ranks)
    return total


@st.composite
def retrieval_sets(draw):
    """Few integer coordinates, so that similarities are exact and often equal; labels with junk."""
    queries, items = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    whole = st.integers(-2, 2).map(float)
    query = draw(hnp.arrays(np.float32, (queries, 2), elements=whole))
    gallery = draw(hnp.arrays(np.float32, (items, 2), elements=whole))
    query_labels = draw(hnp.arrays(np.int64, queries, elements=st.integers(0, 4)))
    labels = draw(hnp.arrays(np.int64, items, elements=st.integers(-1, 6)))
    return query, query_labels, gallery, labels


@settings(max_examples=200, deadline=None)
@given(retrieval_sets(), st.booleans())
def test_protocol_equals_a_sorting_loop_with_ties_and_junk(sets, dropping: bool) -> None:
    query, query_labels, gallery, labels = sets
    allowed = [
        item
        for item, label in enumerate(labels)
        if label >= 0 and (label in query_labels or not dropping)
    ]
    protocol = PROTOCOLS["university1652-d2s-sample4geo" if dropping else "university1652-d2s"]
    sides = EmbeddedSet(query, query_labels), EmbeddedSet(gallery, labels)
    if not allowed:
        with pytest.raises(UsageError, match="all junk"):
            evaluate(protocol, *sides)
        return
    ranks = [
        ranks_of_right(vector, gallery, {i for i in allowed if labels[i] == label}, allowed)
        for vector, label in zip(query, query_labels, strict=True)
    ]
    result = evaluate(protocol, *sides)

    def cmc(index: int) -> float:
        return sum(row[0] <= index for row in ranks if row) / len(query)

    assert result.metrics == pytest.approx(
        {
            "R@1": cmc(0),
            "R@5": cmc(4),
            "R@10": cmc(9),
            "R@1%": cmc(round(0.01 * len(labels))),
            "AP": sum(map(official_ap, ranks)) / len(query),
        },
        abs=1e-12,
    )
    assert result.gallery == len(allowed)
    assert result.gallery + result.junk == len(labels)
    assert result.unmatched_queries == sum(not row for row in ranks)


@settings(max_examples=100, deadline=None)
@given(retrieval_sets(), st.data())
def test_listed_pairs_equal_a_sorting_loop(sets, data) -> None:
    query, _, gallery, _ = sets
    row = st.lists(st.integers(0, len(gallery) - 1), max_size=5)
    pairs = data.draw(st.lists(row, min_size=len(query), max_size=len(query)))
    ranking = rank(query, gallery, match_pairs(pairs, len(gallery)))
    everything = list(range(len(gallery)))
    expected = [
        ranks_of_right(vector, gallery, set(right), everything)
        for vector, right in zip(query, pairs, strict=True)
    ]
    assert ranking.ranks.tolist() == list(itertools.chain.from_iterable(expected))
    precisions = [
        np.mean([(i + 1) / (row + 1) for i, row in enumerate(ranks)]) for ranks in expected if ranks
    ]
    if precisions:
        assert step_ap(ranking) == pytest.approx(float(np.mean(precisions)))
    else:
        assert np.isnan(step_ap(ranking))


@settings(max_examples=100, deadline=None)
@given(retrieval_sets(), st.data())
def test_top_is_sorted_and_the_first_of_equals_wins(sets, data) -> None:
    query, _, gallery, _ = sets
    top = data.draw(st.integers(0, len(gallery)))
    ranking = rank(query, gallery, match_pairs([[]] * len(query), len(gallery)), top=top)
    for vector, best in zip(query, ranking.top, strict=True):
        listed = sorted(
            range(len(gallery)), key=lambda item: (-float(vector @ gallery[item]), item)
        )
        assert best.tolist() == listed[:top]


@pytest.mark.parametrize("place", [0, 1, 2, 7])
def test_single_right_answer_in_closed_form(place: int) -> None:
    query = np.array([[1.0]], np.float32)
    gallery = np.linspace(1.0, 0.0, 10, dtype=np.float32)[:, None]
    ranking = rank(query, gallery, match_pairs([[place]], 10))
    assert ranking.ranks.tolist() == [place]
    assert trapezoidal_ap(ranking) == (1.0 if place == 0 else 0.5 / (place + 1))
    assert step_ap(ranking) == 1.0 / (place + 1)
    assert [recall_at(ranking, k) for k in (place, place + 1)] == [0.0, 1.0]


def test_one_percent_is_a_zero_based_index_with_halves_rounded_to_even() -> None:
    query = np.array([[1.0]], np.float32)
    gallery = np.linspace(1.0, 0.0, 10, dtype=np.float32)[:, None]
    ranking = rank(query, gallery, match_pairs([[2]], 10))
    recalls = {size: recall_at_one_percent(ranking, size) for size in (10, 50, 140, 150, 951)}
    assert recalls == {10: 0.0, 50: 0.0, 140: 0.0, 150: 1.0, 951: 1.0}


def test_unmatched_query_counts_as_missed_in_trapezoids_and_not_at_all_in_steps() -> None:
    query = np.ones((2, 1), np.float32)
    gallery = np.array([[1.0], [0.5]], np.float32)
    ranking = rank(query, gallery, match_pairs([[0], []], 2))
    assert (recall_at(ranking, 1), trapezoidal_ap(ranking), step_ap(ranking)) == (0.5, 0.5, 1.0)


def test_an_encoder_that_maps_everything_to_one_point_finds_nothing() -> None:
    query, gallery = np.ones((4, 3), np.float32), np.ones((8, 3), np.float32)
    ranking = rank(query, gallery, match_labels(np.arange(4), np.arange(8)))
    assert recall_at(ranking, 7) == 0.0
    assert recall_at(ranking, 8) == 1.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_blocks_do_not_change_ranks(dtype) -> None:
    rng = np.random.default_rng(0)
    query, gallery = (rng.standard_normal((rows, 8)).astype(dtype) for rows in (23, 57))
    matches = match_labels(np.arange(23) % 5, np.arange(57) % 7)
    whole = rank(query, gallery, matches, top=3)
    parts = rank(query, gallery, matches, top=3, score_bytes=3 * 57 * 4)
    assert np.array_equal(whole.ranks, parts.ranks)
    assert np.array_equal(whole.top, parts.top)


def test_memory_stays_within_the_block_of_similarities() -> None:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((700, 16), dtype=np.float32)
    gallery = rng.standard_normal((20_000, 16), dtype=np.float32)
    labels = np.arange(20_000) % 900
    all_similarities, block = 4 * len(query) * len(gallery), 2 * 2**20
    tracemalloc.start()
    try:
        rank(query, gallery, match_labels(np.arange(700), labels), score_bytes=block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * block < all_similarities / 5


@pytest.mark.parametrize(
    ("query", "gallery", "top", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 2)), 0, r"3 dimensions .* 2 on the other"),
        (np.ones((2, 3)), np.ones((0, 3)), 0, r"gallery embeddings: have the shape \[0, 3\]"),
        (np.ones(3), np.ones((4, 3)), 0, r"query embeddings: have the shape \[3\]"),
        (np.full((2, 3), np.nan), np.ones((4, 3)), 0, "query embeddings: contain NaN"),
        (np.ones((2, 3)), np.ones((4, 3)), 5, "has 4 items, too few for the top 5"),
        (np.ones((3, 3)), np.ones((4, 3)), 0, "given for 2 queries of 3"),
    ],
)
def test_bad_embeddings_are_refused(query, gallery, top, message) -> None:
    matches = Matches(np.array([0, 1]), np.array([0, 1, 2]))
    with pytest.raises(UsageError, match=message):
        rank(query, gallery, matches, top=top)


def test_bad_labels_and_pairs_are_refused() -> None:
    with pytest.raises(UsageError, match="query 1: has the label -1"):
        match_labels(np.array([3, -1]), np.array([3]))
    with pytest.raises(UsageError, match=r"query 1: has right answers in rows 0 … 4 of 4"):
        match_pairs([[1], [0, 4]], 4)
    with pytest.raises(UsageError, match="rows -1"):
        match_pairs([[-1]], 4)
