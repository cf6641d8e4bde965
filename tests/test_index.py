"""Exact search against a plain matrix product, and selections against masks over all tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maps_kit import HERE
from mobilegeo.geo import Bounds, LocalFrame
from mobilegeo.index import ExactIndex, exact
from mobilegeo.locate import retrieve
from mobilegeo.locate.prior import BoxPrior, CirclePrior
from mobilegeo.maps.runs import Runs
from mobilegeo.maps.tiletable import TileLevel, TileTable, grid_keys


def unit_vectors(count: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def exact_index(vectors: np.ndarray) -> ExactIndex:
    return ExactIndex(lambda _: vectors)


def chosen(mask: np.ndarray) -> Runs:
    return Runs.of_rows(np.flatnonzero(mask))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 600), st.integers(1, 8), st.integers(0, 2**16), st.floats(0, 1))
def test_search_equals_brute_force_within_any_selections(
    count: int, k: int, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit_vectors(count, 16, seed).astype(np.float16)
    vectors = vectors[rng.integers(0, count, count)]  # some of them equal
    queries = unit_vectors(3, 16, seed + 1).astype(np.float32)
    masks = rng.random((2, count)) < share
    selected = [chosen(mask) for mask in masks]
    answers = exact_index(vectors).search(queries, k, [*selected, selected[0]])

    for query, mask, found in zip(queries, masks[[0, 1, 0]], answers, strict=True):
        products = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        rows = np.flatnonzero(mask)
        expected = rows[np.lexsort((rows, -products[rows]))][:k]
        np.testing.assert_allclose(found.scores, products[expected], atol=1e-6)
        assert len(set(found.rows)) == len(found.rows)
        assert mask[found.rows].all()
        np.testing.assert_allclose(products[found.rows], found.scores, atol=1e-6)
        assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_blocks_and_threads_change_nothing(monkeypatch, share: float) -> None:
    vectors = unit_vectors(5000, 32, 1).astype(np.float16)
    queries = unit_vectors(4, 32, 2).astype(np.float32)
    selected = [chosen(np.random.default_rng(seed).random(5000) < share) for seed in range(4)]
    whole = exact_index(vectors).search(queries, 20, selected)
    monkeypatch.setattr(exact, "BLOCK_ROWS", 100)
    monkeypatch.setattr(exact, "CHUNK_ROWS", 700)
    monkeypatch.setattr(exact, "WORTH_A_THREAD", 300)
    for one, other in zip(whole, exact_index(vectors).search(queries, 20, selected), strict=True):
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("count", [5, 300, 4999])
def test_ties_come_in_the_order_of_rows(monkeypatch, count: int) -> None:
    monkeypatch.setattr(exact, "WORTH_A_THREAD", 64)
    vectors = np.repeat(unit_vectors(1, 24, 0), count, axis=0).astype(np.float16)
    everything = Runs.between(0, count)
    (found,) = exact_index(vectors).search(vectors[:1].astype(np.float32), 5, [everything])
    assert found.rows.tolist() == [0, 1, 2, 3, 4]
    assert len(set(found.scores.tolist())) == 1


def test_a_query_is_answered_alike_alone_and_among_others() -> None:
    vectors = unit_vectors(3000, 64, 3).astype(np.float16)
    queries = unit_vectors(9, 64, 4).astype(np.float32)
    runs = Runs.between(10, 2990)
    together = exact_index(vectors).search(queries, 7, [runs] * 9)
    for query, found in zip(queries, together, strict=True):
        (alone,) = exact_index(vectors).search(query[None], 7, [runs])
        assert np.array_equal(alone.rows, found.rows)
        assert np.array_equal(alone.scores, found.scores)


@pytest.mark.parametrize("k", [1, 10])
def test_an_empty_prior_gives_no_candidates(k: int) -> None:
    vectors = unit_vectors(4, 8, 0).astype(np.float16)
    nothing, all_of_them = Runs.between(0, 0), Runs.between(0, 4)
    queries = vectors[:2].astype(np.float32)
    for found in exact_index(vectors).search(queries, k, [nothing, nothing]):
        assert found.scores.shape == found.rows.shape == (0,)
    none, some = exact_index(vectors).search(queries, k, [nothing, all_of_them])
    assert (len(none.rows), len(some.rows)) == (0, min(k, 4))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12), st.data())
def test_runs_are_the_rows_of_their_spans(spans, data) -> None:
    expected = sorted({row for start, stop in spans for row in range(start, stop)})
    starts, stops = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    runs = Runs.of_spans(starts, stops)
    assert runs.rows().tolist() == expected
    assert (runs.starts[1:] > runs.stops[:-1]).all()
    assert len(runs) == len(expected)
    first = data.draw(st.integers(0, 30))
    last = data.draw(st.integers(0, 80))
    assert runs.rows(first, last).tolist() == expected[first:last]
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(runs), max_size=len(runs))))
    kept = runs.where(mask.astype(bool))
    assert kept.rows().tolist() == [row for row, keep in zip(expected, mask, strict=True) if keep]
    assert np.array_equal(kept.within(runs), mask.astype(bool))
    assert np.array_equal(Runs.union([kept, runs]).rows(), runs.rows())


def a_table(seed: int) -> TileTable:
    """Two footprints on grids with holes, around the frame's origin."""
    rng = np.random.default_rng(seed)
    levels, keys, start = [], [], 0
    for footprint_m, stride_m in ((60.0, 15.3), (120.0, 33.7)):
        j, i = np.nonzero(rng.random((40, 50)) < 0.7)
        keys.append(grid_keys(i - 25, j - 20))
        levels.append(TileLevel(footprint_m, 1.0, stride_m, start, start + len(i)))
        start += len(i)
    return TileTable(LocalFrame(HERE), levels, np.concatenate(keys))


class SmallPack:
    """What selecting needs of a pack."""

    def __init__(self, tiles: TileTable) -> None:
        self.tiles = tiles
        self.frame = LocalFrame(HERE)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5),
    st.sampled_from([60.0, 120.0]),
    st.floats(-900, 900),
    st.floats(-900, 900),
    st.floats(0.1, 1500),
    st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
    st.booleans(),
)
def test_a_prior_selects_the_tiles_that_a_mask_over_all_would(
    seed, footprint_m, x, y, radius_m, ahead, is_box
) -> None:
    pack = SmallPack(a_table(seed))
    centre = pack.frame.point(x, y)
    prior = CirclePrior(centre, radius_m)
    if is_box:
        half = radius_m / 1e5
        prior = BoxPrior(
            Bounds(centre.lat - half, centre.lon - half, centre.lat + half, centre.lon + half)
        )
    tiles = pack.tiles
    expected = (tiles.footprint_m == footprint_m) & prior.contains(
        pack.frame, tiles.x_m - ahead[0], tiles.y_m - ahead[1]
    )
    found = retrieve._tiles_around(pack, footprint_m, prior, ahead)
    assert np.array_equal(found.rows(), np.flatnonzero(expected))


def test_some_tiles_are_described_as_all_are() -> None:
    tiles = a_table(0)
    rows = [0, len(tiles) - 1, 5, 5]
    some = tiles.at(rows)
    for column in ("x_m", "y_m", "lat", "lon", "footprint_m", "gsd_m"):
        assert np.array_equal(getattr(some, column), getattr(tiles, column)[rows])
    assert len(some) == 4
    for level in tiles.levels:
        runs = tiles.rows_of(level.footprint_m)
        assert (tiles.footprint_m[runs.rows()] == level.footprint_m).all()
        assert len(runs) == level.stop - level.start
