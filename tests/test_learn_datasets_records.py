"""Records, graded pairs, map sheets cut into tiles, and the pixels of views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import dataset_twins as twins
from mobilegeo.errors import PhotoError
from mobilegeo.geo import Bounds, LatLon, destination, distance_m
from mobilegeo.learn.datasets.graded import graded_tasks, places_of_pairs
from mobilegeo.learn.datasets.pixels import load_pixels
from mobilegeo.learn.datasets.records import Pair, PixelBox, Place, Retrieval, Subset, View
from mobilegeo.learn.datasets.sheets import Sheet, cut, overlaps

HERE = Path("x.jpg")
LETTERS = st.sampled_from("abcdef")


def subset(name, kind, sizes) -> Subset:
    """A subset with so many views a place."""
    return Subset(
        name,
        kind,
        tuple(
            Place(place, tuple(View(HERE, kind, place) for _ in range(size)))
            for place, size in sorted(sizes.items())
        ),
    )


SIZES = st.dictionaries(LETTERS, st.integers(1, 3))


@given(SIZES, SIZES)
def test_relevant_rows_are_those_of_the_same_place(queries, gallery) -> None:
    task = Retrieval("D2S", subset("q", "drone", queries), subset("g", "satellite", gallery))
    rows = task.relevant()
    for query, found in zip(task.query.views, rows, strict=True):
        expected = [i for i, v in enumerate(task.gallery.views) if v.place == query.place]
        assert found.tolist() == expected
    assert task.distractors.place_ids == set(gallery) - set(queries)


@given(SIZES, SIZES, st.dictionaries(LETTERS, st.frozensets(LETTERS)))
def test_relevant_rows_follow_the_matches(queries, gallery, matches) -> None:
    query, tiles = subset("q", "drone", queries), subset("g", "satellite", gallery)
    task = Retrieval("D2S", query, tiles, matches)
    for view, found in zip(query.views, task.relevant(), strict=True):
        right = matches.get(view.place, frozenset())
        assert found.tolist() == [i for i, v in enumerate(tiles.views) if v.place in right]


def pair(photo, tile, overlap) -> Pair:
    drone, satellite = View(HERE, "drone", photo), View(HERE, "satellite", tile)
    return Pair(drone, satellite, overlap, overlap > 0.39)


@given(st.dictionaries(st.tuples(st.sampled_from("123456"), LETTERS), st.floats(0, 1), min_size=1))
def test_each_photo_is_filed_once_under_its_largest_overlap(overlap_of) -> None:
    pairs = [pair(photo, tile, overlap) for (photo, tile), overlap in overlap_of.items()]
    places = places_of_pairs(pairs)
    filed = [view for place in places for view in place.of_kind("drone")]
    assert len(filed) == len({photo for photo, _ in overlap_of})
    shown: dict[str, set[str]] = {}
    for photo, tile in overlap_of:
        shown.setdefault(photo, set()).add(tile)
    ids = {place.id for place in places}
    for place in places:
        assert len(place.of_kind("satellite")) == 1
        together = set().union(*(tiles for tiles in shown.values() if place.id in tiles))
        assert place.overlaps == (together - {place.id}) & ids
        assert {view.place for view in place.views} == {place.id}


def test_graded_tasks_leave_out_photos_without_a_positive_tile() -> None:
    photos = [View(HERE, "drone", name) for name in "12"]
    tiles = [View(HERE, "satellite", name) for name in "abc"]
    subsets, tasks = graded_tasks(photos, tiles, [("1", "a"), ("1", "b")])
    assert [view.place for view in subsets["query_drone"].views] == ["1"]
    assert [rows.tolist() for rows in tasks["D2S"].relevant()] == [[0, 1]]
    assert [rows.tolist() for rows in tasks["S2D"].relevant()] == [[0], [0]]
    assert tasks["D2S"].distractors.place_ids == {"c"}


BOUNDS = Bounds(32.0, 119.0, 32.01, 119.012)


def test_tiles_cover_the_sheet_and_have_the_right_size() -> None:
    sheet = Sheet(HERE, BOUNDS, 1130, 1108)
    tiles = cut(sheet, 300.0)
    covered = np.zeros((sheet.height, sheet.width), bool)
    for tile in tiles:
        box = tile.crop
        assert box is not None
        covered[box.top : box.top + box.height, box.left : box.left + box.width] = True
        assert box.left + box.width <= sheet.width
        assert box.top + box.height <= sheet.height
        east = sheet.position(box.left + box.width, box.top)
        assert distance_m(sheet.position(box.left, box.top), east) == pytest.approx(300, abs=1)
    assert covered.all()
    assert len({tile.place for tile in tiles}) == len(tiles)


def test_positions_within_a_sheet_are_linear_and_reach_its_corners() -> None:
    sheet = Sheet(HERE, BOUNDS, 100, 50)
    assert sheet.position(0, 0) == LatLon(BOUNDS.north, BOUNDS.west)
    corner = sheet.position(100, 50)
    assert (corner.lat, corner.lon) == pytest.approx((BOUNDS.south, BOUNDS.east))
    across, down = sheet.gsd_m
    assert across == pytest.approx(distance_m(LatLon(32.005, 119), LatLon(32.005, 119.012)) / 100)
    assert down == pytest.approx(distance_m(LatLon(32, 119), LatLon(32.01, 119)) / 50)


def test_a_sheet_smaller_than_a_tile_has_none() -> None:
    assert cut(Sheet(HERE, BOUNDS, 1130, 1108), 2000.0) == []


@given(st.floats(0, 500), st.floats(0, 360))
def test_overlap_of_squares_in_closed_form(length_m, bearing_deg) -> None:
    centre = LatLon(32.0, 119.0)
    share = overlaps([destination(centre, bearing_deg, length_m)], [centre], 300.0)
    dx = abs(length_m * np.sin(np.radians(bearing_deg)))
    dy = abs(length_m * np.cos(np.radians(bearing_deg)))
    shared = max(0.0, 300 - dx) * max(0.0, 300 - dy)
    assert share.shape == (1, 1)
    assert share[0, 0] == pytest.approx(shared / (2 * 300**2 - shared), abs=1e-4)


def test_a_quarter_of_a_side_off_is_still_positive() -> None:
    assert 0.39 < 0.75**2 / (2 - 0.75**2) < 0.392


def test_pixels_of_a_whole_file(tmp_path) -> None:
    path = twins.image(tmp_path / "a.png")
    pixels = load_pixels(View(path, "drone", "a"))
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(path)))
    with pytest.raises(PhotoError, match=r"none\.png: does not exist"):
        load_pixels(View(tmp_path / "none.png", "drone", "a"))


def test_pixels_cut_out_of_a_sheet(tmp_path) -> None:
    path = twins.image(tmp_path / "a.tif", 64)
    whole = np.asarray(Image.open(path))
    view = View(path, "satellite", "a", crop=PixelBox(8, 16, 32, 24))
    pixels = load_pixels(view)
    assert (pixels.dtype, pixels.flags["C_CONTIGUOUS"]) == (np.uint8, True)
    np.testing.assert_array_equal(pixels, whole[16:40, 8:40])
    half = load_pixels(view, min_side_px=12)
    means = whole[16:40, 8:40].reshape(12, 2, 16, 2, 3).mean(axis=(1, 3))
    assert half.shape == (12, 16, 3)
    assert np.abs(half - means).max() <= 1


def test_sheets_that_cannot_be_cut_are_refused(tmp_path) -> None:
    crop = PixelBox(0, 0, 4, 4)
    (tmp_path / "a.tif").write_text("no map")
    with pytest.raises(PhotoError, match=r"a\.tif: is damaged or no RGB map"):
        load_pixels(View(tmp_path / "a.tif", "satellite", "a", crop=crop))
    Image.new("L", (8, 8)).save(tmp_path / "grey.tif")
    with pytest.raises(PhotoError, match=r"grey\.tif: is damaged or no RGB map"):
        load_pixels(View(tmp_path / "grey.tif", "satellite", "a", crop=crop))
