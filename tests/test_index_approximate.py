"""Approximate indexes: what they find, what they say of themselves, and that packs stay whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cli_kit import call
from locate_kit import BlockEncoder, Ground, a_view, build_ground_pack, photo_record, place
from mobilegeo.errors import PackError, UsageError
from mobilegeo.index import PackIndex, build
from mobilegeo.index.base import Found
from mobilegeo.index.build import build_index, remove_index
from mobilegeo.index.facts import index_facts
from mobilegeo.index.trial import LIKENESS, recall, trial_queries
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.prior import CirclePrior
from mobilegeo.locate.records import Options
from mobilegeo.maps.integrity import file_entry
from mobilegeo.maps.pack import MapPack, pack_info
from mobilegeo.maps.record import RECORD, write_record

SOME = 500
"""Only the footprint of 60 m has as many tiles."""


@pytest.fixture(scope="module")
def ground():
    return Ground(side_m=400.0, seed=11)


@pytest.fixture(scope="module")
def plain(ground, tmp_path_factory):
    """A pack without index; not to be changed."""
    return build_ground_pack(tmp_path_factory.mktemp("plain"), ground).path


@pytest.fixture(scope="module")
def indexed(plain, tmp_path_factory):
    """The same with an index of its smaller tiles; not to be changed."""
    path = shutil.copytree(plain, tmp_path_factory.mktemp("indexed") / "area.pack")
    return build_index(MapPack.open(path), min_tiles=SOME).path


@pytest.fixture
def copy(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "area.pack")


def contents(path):
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_the_recall_that_a_pack_states_is_what_its_index_finds(indexed):
    pack = MapPack.open(indexed)
    (facts,) = pack_info(pack)["index"]
    assert facts["kind"] == "ivf-pq"
    assert facts["tiles"] == len(pack.tiles.rows_of(60.0)) >= SOME
    assert facts["bytes"] == (indexed / facts["file"]).stat().st_size
    index, level = PackIndex(pack), pack.tiles.level(60.0)
    held_out = trial_queries(pack, level)[build.QUERIES // 2 :]
    exact = index.within(held_out, 10, [pack.tiles.rows_of(60.0)] * len(held_out))
    found = index.anywhere(held_out, 10, 60.0)
    assert facts["recall_at_10"] == recall(found, exact, 10) >= 0.9
    assert facts["recall_at_1"] == recall(found, exact, 1)


@pytest.mark.parametrize("kind", ["ivf-pq", "ivf-sq8"])
def test_what_is_found_has_exact_scores_in_order(copy, kind):
    pack = build_index(MapPack.open(copy), kind, min_tiles=SOME)
    index, level = PackIndex(pack), pack.tiles.level(60.0)
    queries = trial_queries(pack, level)[:20]
    found = index.anywhere(queries, 7, 60.0)
    exact = index.within(queries, level.stop, [pack.tiles.rows_of(60.0)] * len(queries))
    for some, everything in zip(found, exact, strict=True):
        scores = dict(zip(everything.rows.tolist(), everything.scores.tolist(), strict=True))
        assert some.scores.tolist() == [scores[row] for row in some.rows.tolist()]
        keys = list(zip((-some.scores).tolist(), some.rows.tolist(), strict=True))
        assert keys == sorted(keys)
        assert len(keys) == 7


def test_a_footprint_without_index_is_searched_exactly(indexed, plain):
    queries = MapPack.open(plain).read_vectors(np.arange(3)).astype(np.float32)
    for one, other in zip(
        *(PackIndex(MapPack.open(path)).anywhere(queries, 9, 120.0) for path in (indexed, plain)),
        strict=True,
    ):
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.scores, other.scores)


def test_an_answer_says_when_tiles_were_not_all_looked_at(indexed, plain, ground):
    view = a_view(agl_m=45.0)
    photo = photo_record(ground.photo(view, 20.0, 30.0), view)
    said = "tiles were searched by an approximate index (ivf-pq, recall "
    for options in (Options(), Options(retrieval_only=True)):
        localizer = Localizer(MapPack.open(indexed), BlockEncoder(), options)
        trace = localizer.trace(photo)
        assert trace.query.footprint_m == 60.0
        assert said in trace.fix.reason
        near = localizer.locate(photo, prior=CirclePrior(place(0.0, 0.0), 150.0))
        assert "approximate" not in near.reason
        whole = Localizer(MapPack.open(plain), BlockEncoder(), options).trace(photo)
        assert "approximate" not in whole.fix.reason
        assert whole.matches[0].row == trace.matches[0].row


def test_a_trial_query_is_as_far_from_its_tile_as_it_should_be(plain):
    pack = MapPack.open(plain)
    level = pack.tiles.level(60.0)
    queries = trial_queries(pack, level)
    vectors = pack.vectors[level.start : level.stop].astype(np.float32)
    likeness = queries @ vectors.T
    # Each lies at the given cosine from one tile at least: the one that it is made of.
    assert np.abs(likeness - LIKENESS).min(axis=1).max() < 2e-3
    assert np.linalg.norm(queries, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(queries, trial_queries(pack, level))


def test_recall_by_hand():
    def answer(*rows):
        return Found(np.zeros(len(rows), np.float32), np.array(rows))

    found, wanted = [answer(1, 2, 3), answer(7, 5)], [answer(1, 3, 4), answer(5, 6)]
    assert recall(found, wanted, 1) == 0.5
    assert recall(found, wanted, 2) == 0.5
    assert recall(found, wanted, 3) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_new_index_replaces_the_old_and_removing_it_leaves_no_trace(copy):
    before = contents(copy)
    build_index(MapPack.open(copy), min_tiles=SOME)
    pack = build_index(MapPack.open(copy), "ivf-sq8", min_tiles=SOME)
    (facts,) = index_facts(pack.record).values()
    assert facts.kind == "ivf-sq8"
    assert [f.name for f in (copy / "index").iterdir()] == [facts.file.removeprefix("index/")]
    assert pack.verify() > 0
    removed = remove_index(pack)
    assert removed.record["index"] is None
    after = contents(copy)
    assert {n: b for n, b in after.items() if n != RECORD} == {
        n: b for n, b in before.items() if n != RECORD
    }
    assert not (copy / "index").exists()
    assert len(remove_index(removed).tiles) == len(removed.tiles)


def test_a_pack_is_whole_while_an_index_is_made(indexed, tmp_path, monkeypatch):
    path = shutil.copytree(indexed, tmp_path / "area.pack")
    before = contents(path)

    def interrupted(record, file):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_index(MapPack.open(path), min_tiles=SOME)
    pack = MapPack.open(path)
    assert contents(path).items() >= before.items()
    assert len(PackIndex(pack).anywhere(np.eye(1, 192, dtype=np.float32), 3, 60.0)[0].rows) == 3
    build_index(pack, min_tiles=SOME)
    assert len(list((path / "index").iterdir())) == 1


def test_what_cannot_be_indexed(copy, tmp_path):
    pack = MapPack.open(copy)
    with pytest.raises(UsageError, match=r"--kind hnsw: is no kind of index; give ivf-pq or ivf"):
        build_index(pack, "hnsw", min_tiles=SOME)
    with pytest.raises(PackError, match=r"has fewer than 100,000 tiles of any footprint; search"):
        build_index(pack)
    (copy / "index").write_bytes(b"in the way")
    with pytest.raises(PackError, match=r"index: cannot be written .*the pack is as it was"):
        build_index(pack, min_tiles=SOME)
    pack.spec = replace(pack.spec, embedding_dim=190)
    with pytest.raises(PackError, match=r"190 dimensions, no multiple of 4; use --kind ivf-sq8"):
        build_index(pack, min_tiles=SOME)


def test_a_damaged_index_is_noticed_and_a_foreign_one_refused(indexed, tmp_path, monkeypatch):
    path = shutil.copytree(indexed, tmp_path / "area.pack")
    (facts,) = index_facts(MapPack.open(path).record).values()
    data = bytearray((path / facts.file).read_bytes())
    data[len(data) // 2] ^= 1
    (path / facts.file).write_bytes(data)
    with pytest.raises(PackError, match=r"60-ivf-pq\.faiss: was changed after it was written"):
        MapPack.open(path)
    (path / facts.file).write_bytes(b"none at all")
    record = json.loads((path / RECORD).read_text())
    record["files"][facts.file] = file_entry(path / facts.file)
    write_record(record, path / RECORD)
    index = PackIndex(MapPack.open(path))
    with pytest.raises(PackError, match=r"is an index that faiss .* cannot read.*`mobilegeo map i"):
        index.anywhere(np.eye(1, 192, dtype=np.float32), 3, 60.0)


def test_the_command_makes_states_and_drops_an_index(copy, monkeypatch):
    few = call("map", "index", copy)
    assert few.code == 3
    assert "fewer than 100,000 tiles of any footprint; search it as it is" in few.err
    wrong = call("map", "index", copy, "--kind", "hnsw")
    assert wrong.code == 2
    monkeypatch.setattr(build, "build_index", partial(build_index, min_tiles=SOME))
    made = call("map", "index", copy, "--json")
    assert (made.code, made.err) == (0, "")
    (facts,) = made.records
    assert facts["hashes_verified"] is True
    assert facts["index"][0]["footprint_m"] == 60.0
    line = next(s for s in call("map", "info", copy).out.splitlines() if s.startswith("search"))
    assert "exact inside a prior; anywhere: 60 m ivf-pq, recall@10 " in line
    dropped = call("map", "index", copy, "--remove")
    assert "exact everywhere" in dropped.out
