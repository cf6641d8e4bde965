"""Which places share a batch, which views are taken, and which places are held out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.records import Place
from mobilegeo.learn.training.data import neighbours as neighbours_module
from mobilegeo.learn.training.data.config import DataConfig, SamplingConfig
from mobilegeo.learn.training.data.neighbours import nearest_places
from mobilegeo.learn.training.data.sampler import overlapping, plan_epoch, views_of_visit
from mobilegeo.learn.training.data.validation import hold_out


def place(name: str, *overlaps: str) -> Place:
    return Place(name, (), frozenset(overlaps))


def free(count: int) -> list[frozenset[int]]:
    return [frozenset[int]()] * count


@given(
    count=st.integers(2, 60), size=st.integers(2, 9), visits=st.integers(1, 4),
    seed=st.integers(0, 10**6), hard=st.booleans(),
)  # fmt: skip
@settings(max_examples=80)
def test_every_place_is_drawn_as_often_as_asked(count, size, visits, seed, hard) -> None:
    if count < size:
        return
    rng = np.random.default_rng(seed)
    sampling = SamplingConfig(
        places_per_batch=size, visits_per_epoch=visits, hard_places=2, hard_pool=4
    )
    likeness = nearest_places(rng.normal(size=(count, 4)).astype(np.float32), 6) if hard else None
    plan = plan_epoch(free(count), sampling, rng, likeness)
    assert plan.places.shape == plan.visits.shape == (count * visits // size, size)
    assert all(len(set(batch)) == size for batch in plan.places.tolist())
    seen: Counter[int] = Counter()
    for number, visit in zip(
        plan.places.ravel().tolist(), plan.visits.ravel().tolist(), strict=True
    ):
        assert visit == seen[number]
        seen[number] += 1
    if visits == 1:
        assert set(seen.values()) <= {1}
    assert plan.places.size > count * visits - size


@given(count=st.integers(10, 40), seed=st.integers(0, 10**6))
@settings(max_examples=50)
def test_places_that_overlap_never_share_a_batch(count, seed) -> None:
    rng = np.random.default_rng(seed)
    chain = [place(str(k), str(k + 1)) for k in range(count)]
    overlaps = overlapping(chain)
    assert overlaps[3] == {2, 4}
    sampling = SamplingConfig(places_per_batch=4, visits_per_epoch=2)
    plan = plan_epoch(overlaps, sampling, rng)
    for batch in plan.places.tolist():
        assert all(overlaps[a].isdisjoint(batch) for a in batch)


def test_batches_that_cannot_be_filled_are_refused() -> None:
    sampling = SamplingConfig(places_per_batch=4)
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="exceeds the 3 training places; lower it"):
        plan_epoch(free(3), sampling, rng)
    crowd = [frozenset(set(range(6)) - {k}) for k in range(6)]
    with pytest.raises(UsageError, match=r"\(1 were found that do not show some of the same"):
        plan_epoch(crowd, sampling, rng)


def test_hard_batches_hold_places_that_look_alike() -> None:
    groups, members = 12, 8
    centres = np.random.default_rng(0).normal(size=(groups, 16))
    spread = np.random.default_rng(1).normal(size=(groups, members, 16))
    embeddings = (centres[:, None] + 0.05 * spread).reshape(-1, 16).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    sampling = SamplingConfig(places_per_batch=8, hard_pool=7, hard_places=4)
    nearest = nearest_places(embeddings, sampling.hard_pool)
    assert (nearest // members == np.arange(groups * members)[:, None] // members).all()

    def alike(neighbours: np.ndarray | None) -> float:
        plan = plan_epoch(free(groups * members), sampling, np.random.default_rng(5), neighbours)
        kinds = plan.places // members
        return float(np.mean([max(Counter(batch).values()) for batch in kinds.tolist()]))

    assert alike(nearest) > 4.0 > alike(None)


@given(count=st.integers(2, 50), wanted=st.integers(1, 60), seed=st.integers(0, 10**6))
@settings(max_examples=60)
def test_nearest_places_agree_with_the_whole_matrix(count, wanted, seed) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    found = nearest_places(embeddings, wanted)
    likeness = embeddings @ embeddings.T
    np.fill_diagonal(likeness, -np.inf)
    whole = np.argsort(-likeness, axis=1, kind="stable")[:, : min(wanted, count - 1)]
    assert found.dtype == np.int32
    np.testing.assert_allclose(
        np.take_along_axis(likeness, found.astype(int), 1), np.take_along_axis(likeness, whole, 1)
    )


def test_nearest_places_do_not_depend_on_the_chunk(monkeypatch) -> None:
    embeddings = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    whole = nearest_places(embeddings, 7)
    monkeypatch.setattr(neighbours_module, "CHUNK", 13)
    np.testing.assert_array_equal(nearest_places(embeddings, 7), whole)
    with pytest.raises(UsageError, match="3 neighbours of 1 places: cannot be told"):
        nearest_places(embeddings[:1], 3)


@given(available=st.integers(1, 60), wanted=st.integers(1, 12), seed=st.integers(0, 99))
def test_visits_take_other_views_while_there_are_any(available, wanted, seed) -> None:
    rounds = max(1, available // wanted)
    taken = [views_of_visit(available, wanted, visit, (seed,)) for visit in range(rounds)]
    flat = [view for visit in taken for view in visit]
    assert all(0 <= view < available for view in flat)
    assert all(len(visit) == wanted for visit in taken)
    if available >= wanted:
        assert len(set(flat)) == len(flat)
    else:
        assert set(flat) == set(range(available))
    assert taken == [views_of_visit(available, wanted, visit, (seed,)) for visit in range(rounds)]


def test_held_out_places_are_a_share_fixed_by_the_seed() -> None:
    places = [place(f"{k:03d}") for k in range(100)]
    train, held = hold_out(places, 0.2, seed=0)
    assert (len(train), len(held)) == (80, 20)
    assert sorted(p.id for p in (*train, *held)) == [p.id for p in places]
    assert hold_out(places, 0.2, seed=0) == (train, held)
    assert hold_out(places, 0.2, seed=1)[1] != held
    assert hold_out(places, 0.0, seed=0) == (tuple(places), ())


def test_places_that_show_the_same_ground_are_held_out_together() -> None:
    places = [place(str(k), str(k ^ 1)) for k in range(40)]
    _, held = hold_out(places, 0.3, seed=4)
    names = {int(p.id) for p in held}
    assert len(names) == 12
    assert {number ^ 1 for number in names} == names


def test_too_few_places_to_hold_out_are_refused() -> None:
    chained = [place(str(k), str(k + 1)) for k in range(20)]
    with pytest.raises(UsageError, match=r"leaves 0 of 20 places for validation.*or 0 to train"):
        hold_out(chained, 0.2, seed=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"places_per_batch": 1}, "sampling.places_per_batch 1: is below 2; give at least 2"),
        ({"drone_views": 0}, "sampling.drone_views 0: is below 1"),
        ({"street_views": -1}, "sampling.street_views -1: is below 0"),
        ({"hard_places": 9, "hard_pool": 8}, "hard_places 9: exceeds hard_pool 8"),
        ({"street_branch": "ground"}, "'ground': is no branch; use drone or satellite"),
    ],
)
def test_sampling_that_cannot_be_meant_is_refused(values, message) -> None:
    with pytest.raises(UsageError, match=message):
        SamplingConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augmentation": "wild"}, "'wild': is not known; use one of: none, sample4geo, mccg"),
        ({"validation_share": 0.7}, r"validation_share 0.7: is not within 0 … 0.5"),
        ({"workers": 0}, "data.workers 0: is below 1"),
    ],
)
def test_data_that_cannot_be_meant_is_refused(values, message) -> None:
    with pytest.raises(UsageError, match=message):
        DataConfig("folder", Path(), **values)


def test_likeness_is_judged_anew_on_schedule() -> None:
    never = SamplingConfig()
    assert not any(never.is_hard(epoch) or never.refreshes(epoch) for epoch in range(9))
    sampling = SamplingConfig(hard_from_epoch=2, refresh_every=3)
    assert [e for e in range(10) if sampling.is_hard(e)] == list(range(2, 10))
    assert [e for e in range(10) if sampling.refreshes(e)] == [2, 5, 8]
