"""`learn evaluate` as a library: numbers against brute force, cache, damaged images, conditions."""

from __future__ import annotations

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_twins import SUES_HEIGHTS, UNIVERSITY_DISTRACTOR, UNIVERSITY_QUERIES
from evaluate_kit import TinyNetwork, embed_by_hand, textured_twin
from mobilegeo.errors import DatasetError, EncoderError, ResourceError, UsageError
from mobilegeo.learn.datasets.catalogue import read_benchmark
from mobilegeo.learn.evaluation import cache as cache_module
from mobilegeo.learn.evaluation.benchmark_run import Settings, evaluate_dataset
from mobilegeo.learn.evaluation.cache import KEY_BYTES, EmbeddingCache
from mobilegeo.learn.evaluation.embedding import ViewEmbedder
from mobilegeo.learn.evaluation.images import CLEAN, Condition, file_digest, load_image, view_key
from mobilegeo.learn.evaluation.protocols import PROTOCOLS
from mobilegeo.learn.evaluation.search import embed_search

FOG = Condition("fog", 3)


@pytest.fixture(scope="module")
def university_once(tmp_path_factory):
    return textured_twin("university1652", tmp_path_factory.mktemp("university") / "twin", 230.0)


@pytest.fixture
def university(university_once, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(university_once, tmp_path / "University-Release")


def result_of(findings, protocol, condition=CLEAN, views="single"):
    (row,) = (
        row
        for row in findings.rows
        if (row.result.protocol, row.condition, row.views) == (protocol, condition, views)
    )
    return row.result


def by_hand(network, queries, gallery, drop_distractors):
    """R@1 and trapezoidal AP from full sorted lists, one query after another."""
    asked = {path.parent.name for path in queries}
    if drop_distractors:
        gallery = [path for path in gallery if path.parent.name in asked]
    vectors = np.stack([embed_by_hand(network, path) for path in gallery])
    places = np.array([path.parent.name for path in gallery])
    firsts, areas = [], []
    for path in queries:
        order = np.argsort(-(vectors @ embed_by_hand(network, path)))
        good = np.flatnonzero(places[order] == path.parent.name)
        firsts.append(good[0] == 0)
        before = [n / r if r else 1.0 for n, r in enumerate(good)]
        after = [(n + 1) / (r + 1) for n, r in enumerate(good)]
        areas.append(np.mean([(a + b) / 2 for a, b in zip(before, after, strict=True)]))
    return float(np.mean(firsts)), float(np.mean(areas))


@pytest.mark.parametrize("protocol", [n for n in PROTOCOLS if n.startswith("university1652")])
def test_numbers_agree_with_brute_force(university_once, protocol) -> None:
    network = TinyNetwork()
    findings = evaluate_dataset(
        ViewEmbedder(network, batch=4), "university1652", university_once, Settings()
    )
    sides = ("drone", "satellite") if "-d2s" in protocol else ("satellite", "drone")
    queries = sorted((university_once / f"test/query_{sides[0]}").rglob("*.jp*g"))
    gallery = sorted((university_once / f"test/gallery_{sides[1]}").rglob("*.jp*g"))
    result = result_of(findings, protocol)
    expected = by_hand(network, queries, gallery, protocol.endswith("sample4geo"))
    assert (result.metrics["R@1"], result.metrics["AP"]) == pytest.approx(expected, abs=1e-9)
    assert result.queries == len(queries)
    assert 0.2 < result.metrics["AP"] < 1.0, "too easy or too hard to tell mistakes"
    assert not findings.unreadable


def test_second_run_touches_no_network(university_once, tmp_path) -> None:
    first, second = TinyNetwork(), TinyNetwork()
    rows = [
        evaluate_dataset(
            ViewEmbedder(network, tmp_path / "cache"), "university1652", university_once, Settings()
        ).rows
        for network in (first, second)
    ]
    assert first.images == len(list(university_once.rglob("test/*_drone/*/*"))) + len(
        list(university_once.rglob("test/*_satellite/*/*"))
    )
    assert second.images == 0
    assert rows[0] == rows[1]
    assert len(list((tmp_path / "cache").rglob("*.npy"))) <= 4, "a file an image does not scale"


def test_another_network_or_size_shares_nothing(university_once, tmp_path) -> None:
    for network in (TinyNetwork(), TinyNetwork(dim=8), TinyNetwork(size_px=8)):
        embedder = ViewEmbedder(network, tmp_path)
        benchmark = read_benchmark("university1652", university_once)
        embed_search(benchmark.retrieval("D2S"), embedder)
        assert network.images > 0


def test_only_changed_files_are_embedded_again(university, tmp_path) -> None:
    def evaluated():
        network = TinyNetwork()
        embedder = ViewEmbedder(network, tmp_path / "cache")
        findings = evaluate_dataset(embedder, "university1652", university, Settings())
        return network.images, findings.rows

    _, before = evaluated()
    folder = university / f"test/gallery_satellite/{UNIVERSITY_DISTRACTOR}"
    target = university / f"test/query_drone/{UNIVERSITY_QUERIES[0]}/image-01.jpeg"
    shutil.copyfile(folder / f"{UNIVERSITY_DISTRACTOR}.jpg", target)
    again, after = evaluated()
    assert again == 0, "the content is known, though under another name"
    assert before != after
    target.write_bytes(target.read_bytes() + b"comment")
    assert evaluated()[0] == 1


def test_an_interrupted_run_goes_on_where_it_stopped(university_once, tmp_path) -> None:
    views = read_benchmark("university1652", university_once).retrieval("S2D").gallery.views
    dying = TinyNetwork(stop_after=4)
    with pytest.raises(KeyboardInterrupt):
        ViewEmbedder(dying, tmp_path, batch=2).embed(views, "gallery")
    assert dying.images == 4
    resumed, fresh = TinyNetwork(), TinyNetwork()
    found = ViewEmbedder(resumed, tmp_path, batch=2).embed(views, "gallery")
    assert resumed.images == len(views) - 4
    np.testing.assert_array_equal(
        found.vectors, ViewEmbedder(fresh, batch=2).embed(views, "gallery").vectors
    )


def test_cache_writes_as_it_goes_so_that_a_killed_process_loses_little(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(cache_module, "SHARD_ROWS", 4)
    writing = EmbeddingCache(tmp_path, "f" * 64)
    keys = [bytes([number]) * KEY_BYTES for number in range(10)]
    vectors = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    for start in range(0, 10, 2):
        writing.add(keys[start : start + 2], vectors[start : start + 2])
    reading = EmbeddingCache(tmp_path, "f" * 64)  # the first was never closed
    assert len(reading) == 8
    mixed = [7, 0, 5, 5, 2]  # of both shards, in any order, one of them twice
    np.testing.assert_array_equal(reading.vectors([keys[row] for row in mixed]), vectors[mixed])
    assert keys[8] not in reading
    np.testing.assert_array_equal(writing.vectors(keys), vectors)  # the last two from memory
    assert reading.vectors([]).shape == (0, 0)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_cache_of_many_shards_needs_few_open_files_and_keeps_no_vectors(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(cache_module, "SHARD_ROWS", 1)
    shards, dim = 60, 50_000
    with EmbeddingCache(tmp_path, "a" * 64) as cache:
        keys = [bytes([number]) * KEY_BYTES for number in range(shards)]
        tracemalloc.start()
        for number, key in enumerate(keys):
            cache.add([key], np.full((1, dim), number, np.float32))
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert held < 10 * dim * 4
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/dev/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        vectors = EmbeddingCache(tmp_path, "a" * 64).vectors(keys)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    np.testing.assert_array_equal(vectors[:, 0], np.arange(shards))


def test_damaged_or_unwritable_cache_is_named(tmp_path) -> None:
    with EmbeddingCache(tmp_path, "e" * 64) as cache:
        cache.add([b"k" * KEY_BYTES], np.ones((1, 3), np.float32))
    (shard,) = tmp_path.rglob("*.npy")
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(ResourceError, match=rf"{shard.name}: is not a readable part .* delete it"):
        EmbeddingCache(tmp_path, "e" * 64)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be made .* choose a folder"):
        EmbeddingCache(tmp_path / "file", "e" * 64)


def test_a_damaged_query_is_named_counted_and_missed(university) -> None:
    settings = Settings(tasks=("D2S",))
    whole = evaluate_dataset(ViewEmbedder(TinyNetwork()), "university1652", university, settings)
    damaged = university / f"test/query_drone/{UNIVERSITY_QUERIES[0]}/image-27.jpeg"
    damaged.write_bytes(damaged.read_bytes()[:-300])
    embedder = ViewEmbedder(TinyNetwork(), batch=2)
    findings = evaluate_dataset(embedder, "university1652", university, settings)
    assert [path.name for path in findings.unreadable] == ["image-27.jpeg"]
    before, after = (result_of(f, "university1652-d2s") for f in (whole, findings))
    assert (after.queries, after.gallery) == (before.queries, before.gallery) == (6, 3)
    assert (after.unreadable_queries, after.unmatched_queries) == (1, 1)
    queries = sorted(p for p in (university / "test/query_drone").rglob("*.jpeg") if p != damaged)
    gallery = sorted((university / "test/gallery_satellite").rglob("*.jpg"))
    r1, ap = by_hand(TinyNetwork(), queries, gallery, drop_distractors=False)
    assert after.metrics["R@1"] == pytest.approx(r1 * 5 / 6)
    assert after.metrics["AP"] == pytest.approx(ap * 5 / 6)
    assert after.metrics["R@10"] == pytest.approx(5 / 6)
    assert after.to_record()["unreadable queries"] == 1
    assert "unreadable queries" not in before.to_record()


def test_a_damaged_gallery_image_is_left_out(university) -> None:
    damaged = university / f"test/gallery_satellite/{UNIVERSITY_QUERIES[0]}"
    for path in damaged.iterdir():
        path.write_bytes(b"\xff\xd8\xffno")
    findings = evaluate_dataset(
        ViewEmbedder(TinyNetwork()), "university1652", university, Settings(tasks=("D2S",))
    )
    result = result_of(findings, "university1652-d2s")
    assert (result.queries, result.gallery, result.unreadable_gallery) == (6, 2, 1)
    assert result.unmatched_queries == 3
    assert result.metrics["R@10"] == pytest.approx(0.5), "its three queries are missed"
    assert len(findings.unreadable) == 1


def test_copies_of_a_damaged_file_are_each_named(university) -> None:
    folder = university / f"test/query_drone/{UNIVERSITY_QUERIES[0]}"
    for path in folder.iterdir():
        path.write_bytes(b"\xff\xd8\xffno")
    views = read_benchmark("university1652", university).retrieval("D2S").query.views
    unreadable = ViewEmbedder(TinyNetwork()).embed(views, "query").unreadable
    assert {error.where for error in unreadable.values()} == set(map(str, folder.iterdir()))


def test_nothing_readable_is_an_error(university) -> None:
    for path in (university / "test/gallery_satellite").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UsageError, match="gallery: hold no readable image; unpack"):
        evaluate_dataset(ViewEmbedder(TinyNetwork()), "university1652", university, Settings())


def test_an_empty_query_set_is_named(university) -> None:
    shutil.rmtree(university / "test/query_drone")
    (university / "test/query_drone").mkdir()
    with pytest.raises(DatasetError, match=r"query_drone: .*check-data university1652"):
        evaluate_dataset(ViewEmbedder(TinyNetwork()), "university1652", university, Settings())


def test_every_height_of_sues200_has_its_rows(tmp_path) -> None:
    root = textured_twin("sues200", tmp_path / "sues")
    findings = evaluate_dataset(ViewEmbedder(TinyNetwork()), "sues200", root, Settings(), "all")
    expected = {(str(height), name) for height in SUES_HEIGHTS for name in PROTOCOLS_OF_SUES}
    assert {(row.variant, row.result.protocol) for row in findings.rows} == expected
    assert len(findings.rows) == len(expected)
    first = evaluate_dataset(ViewEmbedder(TinyNetwork()), "sues200", root, Settings())
    assert {row.variant for row in first.rows} == {"150"}
    assert first.rows == [row for row in findings.rows if row.variant == "150"]
    record = findings.records[0]
    assert record["dataset"] == "sues200 150"
    assert "views" not in record


PROTOCOLS_OF_SUES = [name for name in PROTOCOLS if name.startswith("sues200")]


@pytest.mark.parametrize(
    ("dataset", "protocols", "metric"),
    [
        ("denseuav", {"denseuav", "denseuav-s2d"}, "SDM@10"),
        ("gta_uav", {"gta-uav", "gta-uav-s2d"}, "dis@5"),
        ("uav_visloc", {"uav-visloc", "uav-visloc-s2d"}, "dis@5"),
        ("folder", {"folder-d2s", "folder-s2d"}, "AP"),
    ],
)
def test_each_dataset_has_protocols_of_its_own(tmp_path, dataset, protocols, metric) -> None:
    root = textured_twin(dataset, tmp_path / dataset)
    findings = evaluate_dataset(ViewEmbedder(TinyNetwork()), dataset, root, Settings())
    assert {row.result.protocol for row in findings.rows} == protocols
    assert metric in findings.rows[0].result.metrics


def test_distances_need_positions_but_recall_does_not(tmp_path) -> None:
    root = textured_twin("denseuav", tmp_path / "dense")
    (root / "Dense_GPS_ALL.txt").unlink()
    network = TinyNetwork()
    embedder = ViewEmbedder(network)
    with pytest.raises(UsageError, match=r"has no position \(lat, lon\) .* protocol denseuav "):
        evaluate_dataset(embedder, "denseuav", root, Settings())
    assert network.images == 0, "said before hours of embedding"
    settings = Settings(protocols=("denseuav-d2s",))
    assert evaluate_dataset(embedder, "denseuav", root, settings).rows


def test_protocols_that_do_not_fit_are_refused(tmp_path, university_once) -> None:
    network = TinyNetwork()
    embedder = ViewEmbedder(network)
    root = textured_twin("gta_uav", tmp_path / "gta")
    with pytest.raises(UsageError, match="folder-d2s: needs places that match one to one"):
        evaluate_dataset(embedder, "gta_uav", root, Settings(protocols=("folder-d2s",)))
    wrong_way = Settings(tasks=("S2D",), protocols=("university1652-d2s",))
    with pytest.raises(UsageError, match="asks in the other direction than S2D"):
        evaluate_dataset(embedder, "university1652", university_once, wrong_way)
    with pytest.raises(UsageError, match="protocol nonsense: is not known"):
        evaluate_dataset(embedder, "gta_uav", root, Settings(protocols=("nonsense",)))
    assert network.images == 0, "said before hours of embedding"


def test_corruptions_change_drone_views_only_and_by_content(university, tmp_path) -> None:
    network = TinyNetwork()
    settings = Settings(tasks=("D2S",), conditions=(CLEAN, FOG, Condition("fog+rain", 3)))
    embedder = ViewEmbedder(network, tmp_path / "cache")
    findings = evaluate_dataset(embedder, "university1652", university, settings)
    drones = len(list((university / "test/query_drone").rglob("*.jpeg")))
    tiles = len(list((university / "test/gallery_satellite").rglob("*.jpg")))
    assert network.images == 3 * drones + tiles
    assert {str(row.condition) for row in findings.rows} == {"clean", "fog 3", "fog+rain 3"}
    retrieval = read_benchmark("university1652", university).retrieval("D2S")
    view = retrieval.query.views[0]
    copy = replace(view, path=tmp_path / "elsewhere.jpeg")
    shutil.copyfile(view.path, copy.path)
    digest = file_digest(view.path)
    assert view_key(copy, file_digest(copy.path), FOG) == view_key(view, digest, FOG)
    same, other = (load_image(v, 24, digest, FOG) for v in (view, copy))
    np.testing.assert_array_equal(same, other)
    assert (same != load_image(view, 24, digest, CLEAN)).any()
    assert (same != load_image(view, 24, digest, replace(FOG, seed=1))).any()
    tile = retrieval.gallery.views[0]
    assert view_key(tile, digest, FOG) == view_key(tile, digest, CLEAN)
    keys = {
        view_key(view, digest, c) for c in (CLEAN, FOG, Condition("fog", 4), Condition("fog", 3, 1))
    }
    assert len(keys) == 4


def test_unknown_conditions_are_refused() -> None:
    with pytest.raises(UsageError, match="corruption 'hail': is not known; choose from fog"):
        Condition("fog+hail", 3)
    with pytest.raises(UsageError, match="severity 6: is not one of 1 … 5"):
        Condition("fog", 6)


def test_a_diverged_network_is_named(university_once) -> None:
    class Diverged(TinyNetwork):
        def embed(self, images):
            return super().embed(images) * np.float32("nan")

    with pytest.raises(EncoderError, match=r"tiny: gives NaN .* the training has diverged"):
        evaluate_dataset(ViewEmbedder(Diverged()), "university1652", university_once, Settings())
