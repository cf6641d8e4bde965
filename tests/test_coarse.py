"""The coarse search on a map of random descriptors that vary smoothly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locate_kit import BlockEncoder
from mobilegeo.locate import coarse as coarse_module
from mobilegeo.locate.coarse import REACH_M, CoarseMap
from mobilegeo.locate.correlate import Template
from mobilegeo.locate.prior import Box
from mobilegeo.maps.cells import CHUNK_CELLS, CellBox
from mobilegeo.maps.descriptors import DescriptorBasis

CELL_M = BlockEncoder().spec.cell_m
ROWS, COLUMNS = 3, 4


class Chunked:
    """3 × 4 chunks, south-west at (−1, −2), one of them missing."""

    def __init__(self, missing=((0, 1),)):
        self.spec = BlockEncoder().spec
        rng = np.random.default_rng(5)
        height, width = ROWS * CHUNK_CELLS, COLUMNS * CHUNK_CELLS
        noise = rng.normal(size=(height // 2, width // 2, self.spec.feature_dim))
        planes = [cv2.resize(p, (width, height)) for p in np.moveaxis(noise, 2, 0)]
        smooth = np.stack(planes, axis=2) * rng.uniform(0.5, 2.0, self.spec.feature_dim)
        self.basis = DescriptorBasis.of(smooth.reshape(-1, smooth.shape[2]))
        self.cells = self.basis.unit(smooth, np.ones((height, width), bool))
        self.feature_extent = CellBox(-2 * CHUNK_CELLS, -1 * CHUNK_CELLS, width, height)
        whole = {(r, c) for r in range(-1, ROWS - 1) for c in range(-2, COLUMNS - 2)}
        for row, column in missing:
            top = (ROWS - 2 - row) * CHUNK_CELLS
            left = (column + 2) * CHUNK_CELLS
            self.cells[top : top + CHUNK_CELLS, left : left + CHUNK_CELLS] = 0
        self.feature_chunks = frozenset(whole - set(missing))

    @property
    def area(self):
        e = self.feature_extent
        sides = (e.x0, e.y0, e.x0 + e.width, e.y0 + e.height)
        return Box(*(side * CELL_M for side in sides))

    def features(self, x0, y0, width, height):
        e = self.feature_extent
        top, left = e.y0 + e.height - (y0 + height), x0 - e.x0
        window = self.cells[top : top + height, left : left + width]
        assert window.shape[:2] == (height, width), "whole chunks are read"
        return window, window.any(axis=2)

    def template(self, x, y, side):
        """The map's own cells around the corner (x, y), counted from the origin."""
        e = self.feature_extent
        row, column = e.y0 + e.height - y, x - e.x0
        half = side // 2
        cells = self.cells[row - half : row + half, column - half : column + half]
        return Template(cells, cells.any(axis=2))


MAP = Chunked()
COARSE = CoarseMap(MAP)


def anywhere(_, block):
    return np.ones((block.height + 1, block.width + 1), dtype=bool)


def middle(place):
    return place.x_m, place.y_m


@settings(max_examples=20)
@given(x=st.integers(-110, -20), y=st.integers(-45, 110), side=st.sampled_from([12, 16, 22, 24]))
def test_the_place_of_a_piece_of_the_map_comes_first(x, y, side):
    found = COARSE.places([MAP.template(x, y, side)], [MAP.area], anywhere, 4)
    # Corners of the pooled grid lie every other cell; a neighbour of the nearest may be higher.
    assert middle(found[0]) == pytest.approx((x * CELL_M, y * CELL_M), abs=2 * CELL_M)
    box = found[0].box
    assert (box.west + box.east) / 2 == found[0].x_m
    assert box.east - box.west == box.north - box.south == 2 * REACH_M
    assert len(found) == 4


def test_of_several_templates_each_finds_its_place():
    places = [(-100, -30), (-50, 60), (-70, 20)]
    templates = [MAP.template(x, y, 16) for x, y in places]
    found = COARSE.places(templates, [MAP.area], anywhere, 3)
    assert sorted(place.number for place in found) == [0, 1, 2]
    for place in found:
        x, y = places[place.number]
        assert middle(place) == pytest.approx((x * CELL_M, y * CELL_M), abs=2 * CELL_M)


def test_only_allowed_places_inside_the_areas_are_looked_at():
    template = MAP.template(-100, 40, 16)

    def east_only(number, block):
        assert number == 0
        x, _ = block.corners()
        return np.broadcast_to(x > -60 * CELL_M, (block.height + 1, block.width + 1))

    found = COARSE.places([template], [MAP.area], east_only, 5)
    assert len(found) == 5
    assert all(middle(place)[0] > -60 * CELL_M for place in found)
    area = Box(-120 * CELL_M, -50 * CELL_M, 100 * CELL_M, 0.0)
    found = COARSE.places([template], [area], anywhere, 5)
    assert all(middle(place)[1] <= 0.0 for place in found)
    assert COARSE.places([template], [MAP.area], lambda n, b: ~anywhere(n, b), 5) == []


def test_where_the_map_has_no_data_nothing_is_found():
    template = MAP.template(-60, 30, 16)
    inside = Box(20 * CELL_M, 20 * CELL_M, 50 * CELL_M, 50 * CELL_M)  # the missing chunk is (0, 1)
    missing = Box(*(v + 64 * CELL_M if i % 2 == 0 else v for i, v in enumerate(
        (inside.west, inside.south, inside.east, inside.north))))  # fmt: skip
    assert COARSE.places([template], [missing], anywhere, 5) == []
    outside = Box(9000.0, 9000.0, 9400.0, 9400.0)
    assert COARSE.places([template], [outside], anywhere, 5) == []


def test_places_lie_apart():
    template = MAP.template(-60, 30, 16)
    points = np.array(
        [middle(place) for place in COARSE.places([template], [MAP.area], anywhere, 16)]
    )
    assert len(points) == 16
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    assert (gaps + 1e9 * np.eye(16)).min() > 32.0


def test_blocks_and_threads_do_not_change_the_answer(monkeypatch):
    template = MAP.template(-90, 50, 24)
    whole = COARSE.places([template], [MAP.area], anywhere, 6)
    monkeypatch.setattr(coarse_module, "threads", lambda: 1)
    assert COARSE.places([template], [MAP.area], anywhere, 6) == whole
    monkeypatch.setattr("mobilegeo.locate.scan.BLOCK_CELLS", 37)
    cut = COARSE.places([template], [MAP.area], anywhere, 6)
    assert {middle(place) for place in cut} == {middle(place) for place in whole}


def test_a_plain_map_and_an_empty_template_find_no_false_certainty():
    plain = Chunked()
    plain.cells[:] = np.float32(1 / 3)
    found = CoarseMap(plain).places([MAP.template(-60, 30, 16)], [plain.area], anywhere, 3)
    assert len(found) <= 3
    empty = Template(np.zeros((16, 16, 9), np.float32), np.zeros((16, 16), bool))
    assert COARSE.places([empty], [MAP.area], anywhere, 3) == []
