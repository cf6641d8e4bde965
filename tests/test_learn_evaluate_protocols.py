"""What the evaluation of whole datasets added to the protocols: unreadable images, VisLoc."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.learn.evaluation.distances import geodesic_m, visloc_metrics
from mobilegeo.learn.evaluation.metrics import match_pairs, restricted
from mobilegeo.learn.evaluation.protocols import PROTOCOLS, EmbeddedSet, evaluate


@given(
    st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.data(),
)
def test_restricted_is_deleting_rows_by_hand(pairs, items, data) -> None:
    queries = data.draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    found = restricted(
        match_pairs([sorted(right) for right in pairs], 8), np.array(queries), np.array(items)
    )
    numbers = {old: new for new, old in enumerate(n for n in range(8) if items[n])}
    for query, (right, kept) in enumerate(zip(pairs, queries, strict=True)):
        expected = sorted(numbers[n] for n in right if items[n]) if kept else []
        assert found.of(query).tolist() == expected


def sets(rng, count=12):
    vectors = rng.normal(size=(count, 6)).astype(np.float32)
    positions = np.column_stack([rng.uniform(30, 30.01, count), rng.uniform(120, 120.01, count)])
    return EmbeddedSet(vectors, np.arange(count), positions)


@pytest.mark.parametrize(
    "name", ["denseuav", "university1652-d2s", "university1652-d2s-sample4geo"]
)
def test_unreadable_rows_count_as_if_they_were_not_there(name) -> None:
    """Against evaluating the readable rows alone, with missed queries put back into the mean."""
    rng = np.random.default_rng(5)
    query, gallery = sets(rng), sets(rng, 16)
    lost_queries, lost_items = np.arange(12) == 3, np.arange(16) == 7
    result = evaluate(
        PROTOCOLS[name],
        replace(query, unreadable=lost_queries),
        replace(gallery, unreadable=lost_items),
    )
    rest = evaluate(PROTOCOLS[name], part(query, ~lost_queries), part(gallery, ~lost_items))
    assert (result.queries, result.unreadable_queries, result.unreadable_gallery) == (12, 1, 1)
    assert result.gallery == (11 if PROTOCOLS[name].drops_distractors else 15)
    if not PROTOCOLS[name].drops_distractors:
        for metric, value in rest.metrics.items():
            if metric != "R@1%":
                assert result.metrics[metric] == pytest.approx(value * 11 / 12), metric


def part(side, kept):
    return EmbeddedSet(side.embeddings[kept], side.labels[kept], side.positions[kept])


def test_metres_are_the_mean_over_readable_queries() -> None:
    rng = np.random.default_rng(6)
    query, gallery = sets(rng), sets(rng)
    pairs = match_pairs([[n] for n in range(12)], 12)
    lost = np.arange(12) < 6
    result = evaluate(PROTOCOLS["uav-visloc"], replace(query, unreadable=lost), gallery, pairs)
    half = evaluate(
        PROTOCOLS["uav-visloc"],
        part(query, ~lost),
        gallery,
        match_pairs([[n] for n in range(6, 12)], 12),
    )
    assert result.metrics["dis@3"] == pytest.approx(half.metrics["dis@3"])
    assert result.metrics["SDM@3"] == pytest.approx(half.metrics["SDM@3"] / 2)
    assert result.metrics["R@5"] == pytest.approx(half.metrics["R@5"] / 2)


def test_no_readable_query_is_an_error() -> None:
    query = replace(sets(np.random.default_rng(0)), unreadable=np.ones(12, dtype=bool))
    with pytest.raises(UsageError, match="queries: hold no readable image"):
        evaluate(PROTOCOLS["folder-d2s"], query, sets(np.random.default_rng(1)))
    with pytest.raises(UsageError, match="unreadable: number 2 for 12 embeddings"):
        replace(query, unreadable=np.zeros(2, dtype=bool))


POINTS = st.tuples(st.floats(-80, 80), st.floats(-179, 179))


@given(POINTS, st.lists(POINTS, min_size=5, max_size=5))
def test_geodesics_are_those_of_the_package(start, ends) -> None:
    found = geodesic_m(np.array([start]), np.array([ends]))
    expected = [distance_m(LatLon(*start), LatLon(*end)) for end in ends]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    metrics = visloc_metrics(np.array([start]), np.array([ends]))
    assert metrics["dis@5"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert metrics["SDM@1"] == pytest.approx(np.exp(-0.001 * expected[0]), abs=1e-9)
