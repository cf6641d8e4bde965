"""Batches of training views: right labels, the same pixels on every layout, damaged files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import dataset_twins as twins
from mobilegeo.errors import DatasetError, UsageError
from mobilegeo.learn.datasets.catalogue import DATASETS, read_benchmark
from mobilegeo.learn.datasets.records import Place, View, ViewKind
from mobilegeo.learn.evaluation.images import CLEAN, file_digest, load_image
from mobilegeo.learn.training.data.augmentations import RECIPES, Recipe
from mobilegeo.learn.training.data.batch import ViewBatch
from mobilegeo.learn.training.data.config import DataConfig, SamplingConfig
from mobilegeo.learn.training.data.opening import open_training_data
from mobilegeo.learn.training.data.ordered import in_order
from mobilegeo.learn.training.data.reading import ViewReader
from mobilegeo.learn.training.data.training import TrainingData
from mobilegeo.learn.training.data.validation import ValidationData

SIDE = 24
KINDS: tuple[ViewKind, ...] = ("drone", "satellite", "street")
PAIRS = SamplingConfig(places_per_batch=4, drone_views=2)


def write_places(root: Path, count: int = 10, drone: int = 3, street: int = 0) -> list[Place]:
    """Places whose images are of one colour: red tells the place, green the kind, blue the view."""
    numbers = {"drone": drone, "satellite": 1, "street": street}
    places = []
    for index in range(count):
        views = []
        for kind in KINDS:
            for number in range(numbers[kind]):
                path = root / kind / f"{index:02d}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                colour = (30 * number, 50 * KINDS.index(kind), 10 + 20 * index)
                cv2.imwrite(str(path), np.full((32, 32, 3), colour, np.uint8))
                views.append(View(path, kind, f"{index:02d}"))
        places.append(Place(f"{index:02d}", tuple(views)))
    return places


def data_of(
    places: list[Place],
    sampling: SamplingConfig = PAIRS,
    recipe: Recipe = RECIPES["none"],
    *,
    seed: int = 0,
    workers: int = 2,
) -> TrainingData:
    return TrainingData(places, sampling, recipe, size_px=SIDE, seed=seed, workers=workers)


def colours(images: torch.Tensor) -> list[tuple[int, ...]]:
    return [tuple(c.tolist()) for c in images[:, :, SIDE // 2, SIDE // 2]]


def same(first: ViewBatch, second: ViewBatch) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True)
    )


def joined(parts: list[ViewBatch]) -> ViewBatch:
    names = ("drone", "satellite", "drone_places", "satellite_places")
    return ViewBatch(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def test_a_batch_holds_its_places_views_with_their_labels(tmp_path) -> None:
    data = data_of(write_places(tmp_path))
    assert (data.places, data.batches_per_epoch) == (10, 2)
    assert data.place_ids[3] == "03"
    batches = list(data.batches(0))
    assert len(batches) == 2
    for batch in batches:
        assert batch.drone.shape == (8, 3, SIDE, SIDE)
        assert batch.satellite.shape == (4, 3, SIDE, SIDE)
        assert batch.drone.dtype == torch.uint8
        assert batch.drone_places.dtype == batch.satellite_places.dtype == torch.int64
        assert [c[0] for c in colours(batch.drone)] == [
            10 + 20 * p for p in batch.drone_places.tolist()
        ]
        assert {c[1] for c in colours(batch.drone)} == {0}
        assert {c[1] for c in colours(batch.satellite)} == {50}
        assert batch.drone_places.tolist() == batch.satellite_places.repeat_interleave(2).tolist()
        views = [c[2] for c in colours(batch.drone)]
        assert all(a != b for a, b in zip(views[::2], views[1::2], strict=True))
    moved = batches[0].to("cpu")
    assert same(moved, batches[0])


def test_an_epoch_repeats_itself_and_the_next_differs(tmp_path) -> None:
    places = write_places(tmp_path)
    runs = [list(data_of(places, recipe=RECIPES["sample4geo"]).batches(e)) for e in (3, 3, 4)]
    assert all(same(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert not any(same(a, b) for a, b in zip(runs[0], runs[2], strict=True))
    other = list(data_of(places, recipe=RECIPES["sample4geo"], seed=1).batches(3))
    assert not any(same(a, b) for a, b in zip(runs[0], other, strict=True))


def test_neither_threads_nor_ranks_nor_a_restart_change_a_pixel(tmp_path) -> None:
    places = write_places(tmp_path, count=17)
    sampling = SamplingConfig(places_per_batch=4, visits_per_epoch=2)
    recipe = RECIPES["sample4geo"]
    data = data_of(places, sampling, recipe, workers=1)
    whole = list(data.batches(1))
    assert len(whole) == 8
    many = list(data_of(places, sampling, recipe, workers=5).batches(1))
    assert all(same(a, b) for a, b in zip(whole, many, strict=True))
    rest = list(data.batches(1, start=5))
    assert all(same(a, b) for a, b in zip(whole[5:], rest, strict=True))
    parts = [list(data.batches(1, rank=rank, world=2)) for rank in range(2)]
    assert parts[0][0].satellite_places.shape == (2,)
    for number, batch in enumerate(whole):
        assert same(batch, joined([part[number] for part in parts]))
    with pytest.raises(UsageError, match="cannot be shared by 3 processes evenly"):
        data.batches(0, world=3)


def test_hard_batches_follow_the_neighbours(tmp_path) -> None:
    data = data_of(write_places(tmp_path, count=12))
    partners = np.array([[index ^ 1] for index in range(12)], np.int32)
    for batch in data.batches(0, neighbours=partners):
        places = set(batch.satellite_places.tolist())
        assert {place ^ 1 for place in places} == places


def test_street_views_join_the_branch_that_is_asked_for(tmp_path) -> None:
    places = write_places(tmp_path, street=2)
    sampling = SamplingConfig(places_per_batch=4, drone_views=1, street_views=2)
    batch = next(data_of(places, sampling).batches(0))
    assert [c[1] for c in colours(batch.drone)] == [0, 100, 100] * 4
    sampling = SamplingConfig(
        places_per_batch=4, drone_views=1, street_views=1, street_branch="satellite"
    )
    batch = next(data_of(places, sampling).batches(0))
    assert [c[1] for c in colours(batch.satellite)] == [50, 100] * 4
    sampling = SamplingConfig(places_per_batch=4, drone_views=1, google_views=1)
    batch = next(data_of(places, sampling).batches(0))
    assert [c[1] for c in colours(batch.drone)] == [0, 0] * 4


def test_a_mirror_is_shared_by_all_views_of_a_place(tmp_path) -> None:
    places = write_places(tmp_path)
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16] = 255
    for place in places:
        for view in place.views:
            cv2.imwrite(str(view.path), image)
    recipe = Recipe(RECIPES["none"].drone, RECIPES["none"].satellite, mirrored=0.5)
    seen = set()
    for batch in data_of(places, recipe=recipe).batches(0):
        views = zip(
            [*batch.drone_places.tolist(), *batch.satellite_places.tolist()],
            [*batch.drone, *batch.satellite],
            strict=True,
        )
        left: dict[int, set[bool]] = {}
        for place, shown in views:
            left.setdefault(place, set()).add(bool(shown[0, 0, 2]))
        assert all(len(sides) == 1 for sides in left.values())
        seen |= {sides.pop() for sides in left.values()}
    assert seen == {True, False}


def test_a_damaged_image_is_named_once_and_replaced_by_its_place(tmp_path, caplog) -> None:
    places = write_places(tmp_path)
    damaged = places[4].of_kind("drone")[1].path
    damaged.write_bytes(damaged.read_bytes()[:40])
    data = data_of(places, SamplingConfig(places_per_batch=5, drone_views=3, visits_per_epoch=3))
    with caplog.at_level(logging.WARNING):
        batches = list(data.batches(0))
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if str(damaged) in line]) == 1
    assert "is damaged or cut off" in "".join(told)
    assert "training goes on with the place's other views" in "".join(told)
    assert len(batches) == data.batches_per_epoch
    assert data.damaged_files == 1
    for batch in batches:
        own = batch.drone[batch.drone_places == 4]
        assert all(colour[0] == 90 and colour[2] in (0, 60) for colour in colours(own))


@pytest.mark.parametrize("kind", ["drone", "satellite"])
def test_a_place_without_a_readable_side_gives_its_seats_away(kind, tmp_path, caplog) -> None:
    places = write_places(tmp_path)
    for view in places[7].of_kind(kind):
        view.path.write_bytes(b"no image")
    with caplog.at_level(logging.ERROR):
        runs = [list(data_of(places, workers=w).batches(2)) for w in (1, 4)]
    assert all(same(a, b) for a, b in zip(*runs, strict=True))
    assert {batch.drone.shape[0] for batch in runs[0]} == {8}
    for batch in runs[0]:
        assert 7 not in batch.drone_places.tolist()
        assert set(batch.drone_places.tolist()) == set(batch.satellite_places.tolist())
    assert any(len(set(batch.satellite_places.tolist())) == 3 for batch in runs[0])
    lost = [record.getMessage() for record in caplog.records]
    assert len(lost) == 2  # once a run
    assert all("place 07: none of its" in line for line in lost)
    assert "it is not trained on; restore its images" in lost[0]


def vanish(places: Iterable[Place]) -> None:
    for place in places:
        for view in place.views:
            view.path.unlink()


def test_a_batch_without_a_readable_place_is_an_error(tmp_path) -> None:
    places = write_places(tmp_path)
    vanish(places[int(index)] for index in next(data_of(places).batches(0)).satellite_places)
    with pytest.raises(DatasetError, match=r"batch 0 of epoch 0: holds no place that can be read"):
        next(data_of(places).batches(0))


def test_a_folder_that_vanishes_ends_training_with_few_lines(tmp_path, caplog) -> None:
    places = write_places(tmp_path, count=30, drone=6)
    vanish(places[:20])
    everything = SamplingConfig(places_per_batch=30, drone_views=1)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(DatasetError, match=r"1[5-9] of 30 training places: have lost .*the disk"),
    ):
        next(data_of(places, everything, workers=1).batches(0))
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if "does not exist" in line]) == 10
    assert len([line for line in told if line.startswith("place ")]) == 10
    assert len([line for line in told if "are counted, not named" in line]) == 1
    assert len(told) < 25


def test_many_damaged_files_are_told_at_each_power_of_ten(tmp_path, caplog) -> None:
    reader = ViewReader(SIDE)
    with caplog.at_level(logging.WARNING):
        for number in range(1234):
            assert reader.read(View(tmp_path / f"{number}.png", "drone", "a")) is None
    told = [record.getMessage().split(" files cannot")[0] for record in caplog.records[11:]]
    assert told == ["100", "1000"]
    assert len(reader.damaged) == 1234


def test_places_with_one_side_only_are_refused_by_name(tmp_path) -> None:
    places = write_places(tmp_path)
    bare = Place("barn", tuple(places[0].of_kind("drone")))
    with pytest.raises(
        DatasetError, match=r"training places barn: have no satellite view.*add their"
    ):
        data_of([*places, bare])
    with pytest.raises(UsageError, match="exceeds the 3 training places"):
        data_of(places[:3])


def test_places_with_few_views_are_told_once_and_repeated(tmp_path, caplog) -> None:
    places = write_places(tmp_path, drone=1)
    with caplog.at_level(logging.WARNING):
        data = data_of(places, SamplingConfig(places_per_batch=4, drone_views=3))
    assert "10 of 10 places have fewer than 3 drone views (00, 01, 02 and 7 more)" in caplog.text
    batch = next(data.batches(0))
    assert batch.drone.shape[0] == 12


def test_reference_views_are_the_satellites_in_order(tmp_path) -> None:
    places = write_places(tmp_path)
    places[6].of_kind("satellite")[0].path.write_bytes(b"")
    chunks = list(data_of(places).reference_views(chunk=4))
    assert [len(indices) for indices, _ in chunks] == [4, 4, 1]
    indices = np.concatenate([indices for indices, _ in chunks])
    assert indices.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    images = torch.cat([images for _, images in chunks])
    assert colours(images) == [(10 + 20 * int(index), 50, 0) for index in indices]


def test_validation_images_keep_their_order_and_a_damaged_one_is_black(tmp_path) -> None:
    places = write_places(tmp_path, count=3)
    places[1].of_kind("drone")[2].path.write_bytes(b"")
    data = ValidationData(places, size_px=SIDE, workers=2)
    assert data.place_ids == ("00", "01", "02")
    assert len(data.query) == 9
    assert data.gallery.labels.tolist() == [0, 1, 2]
    assert data.query.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    images = torch.cat(list(data.query.chunks(4)))
    assert [c[0] for c in colours(images)] == [10, 10, 10, 30, 30, 0, 50, 50, 50]
    assert torch.cat(list(data.gallery.chunks(2))).shape == (3, 3, SIDE, SIDE)


def test_validation_without_most_of_its_images_is_an_error(tmp_path) -> None:
    places = write_places(tmp_path, count=4)
    data = ValidationData(places, size_px=SIDE, workers=2)
    vanish(places[1:])
    with pytest.raises(DatasetError, match=r"9 of 12 images for validation: cannot be read"):
        list(data.query.chunks())


def test_validation_sees_what_evaluation_sees(tmp_path) -> None:
    rng = np.random.default_rng(0)
    places = []
    for name, suffix, sides in (("a", "jpg", (97, 160)), ("b", "png", (31, 20))):
        path = tmp_path / f"{name}.{suffix}"
        cv2.imwrite(str(path), rng.integers(0, 256, (*sides, 3), np.uint8))
        places.append(Place(name, (View(path, "drone", name), View(path, "satellite", name))))
    data = ValidationData(places, size_px=SIDE, workers=2)
    shown = torch.cat(list(data.query.chunks())).permute(0, 2, 3, 1).numpy()
    for view, image in zip(data.query.views, shown, strict=True):
        evaluated = load_image(view, SIDE, file_digest(view.path), CLEAN)
        np.testing.assert_array_equal(image, evaluated)


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_of_the_catalogue_can_be_trained_on(name, tmp_path) -> None:
    root = twins.WRITERS[name](tmp_path)
    sampling = SamplingConfig(places_per_batch=2, drone_views=2, visits_per_epoch=2)
    config = DataConfig(name, root, validation_share=0.0)
    data, validation = open_training_data(config, sampling, size_px=SIDE, seed=0)
    assert validation is None
    assert data.place_ids == tuple(place.id for place in read_benchmark(name, root).train)
    batch = next(data.batches(0))
    assert batch.drone.shape == (4, 3, SIDE, SIDE)
    assert len(set(batch.satellite_places.tolist())) == 2


def test_held_out_places_are_not_trained_on(tmp_path) -> None:
    root = tmp_path / "data"
    write_places(root / "train")
    (root / "test").mkdir()
    for kind in ("drone", "satellite"):
        (root / "train" / kind / "00").rename(root / "moved")
        (root / "test" / kind).mkdir()
        (root / "moved").rename(root / "test" / kind / "00")
    config = DataConfig("folder", root, validation_share=0.3)
    data, validation = open_training_data(config, PAIRS, size_px=SIDE, seed=0)
    assert validation is not None
    assert len(validation.place_ids) == 3
    assert sorted((*data.place_ids, *validation.place_ids)) == [f"{k:02d}" for k in range(1, 10)]
    other, again = open_training_data(config, PAIRS, size_px=SIDE, seed=9)
    assert again is not None
    assert again.place_ids == validation.place_ids
    assert other.place_ids == data.place_ids


def test_an_empty_training_part_is_an_error(tmp_path) -> None:
    root = twins.write_folder(tmp_path)
    for kind in ("drone", "satellite"):
        for path in (root / "train" / kind).rglob("*.*"):
            path.unlink()
    with pytest.raises(DatasetError, match="train/drone: holds no images"):
        open_training_data(DataConfig("folder", root), PAIRS, size_px=SIDE, seed=0)


def test_threads_keep_the_order_hand_on_errors_and_end_early() -> None:
    def numbers() -> Iterator[int]:
        return in_order(((lambda k=k: k) for k in range(50)), workers=3, ahead=5)

    assert list(numbers()) == list(range(50))
    early = numbers()
    assert next(early) == 0
    early.close()

    def fail() -> int:
        raise ValueError("third")

    results = in_order([lambda: 1, lambda: 2, fail], workers=2, ahead=2)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(results)
