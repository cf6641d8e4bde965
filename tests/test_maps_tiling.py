from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maps_kit import FakeEncoder, PlainSource
from mobilegeo.errors import MapError, UsageError
from mobilegeo.geo import LocalFrame
from mobilegeo.maps import tiling
from mobilegeo.maps.cells import (
    FEATURE_RANGE,
    FEATURE_STEP,
    FeatureBlock,
    quantised,
)
from mobilegeo.maps.plan import plan_build
from mobilegeo.maps.tiling import Extent, TileGrid, extent_of, tile_grids


def positions(grid, source):
    """All tiles of a grid with enough pixels, set of (i, j)."""
    extent = extent_of(source, source.frame)
    found = []
    for block in grid.blocks(extent):
        found += map(tuple, block.tiles(block.read(source, source.frame)).tolist())
    assert len(found) == len(set(found))
    return set(found)


@settings(max_examples=20, deadline=None)
@given(
    st.floats(40, 200),
    st.floats(40, 200),
    st.sampled_from([20.0, 33.0]),
    st.sampled_from([0.25, 0.3, 0.5, 1.0]),
)
def test_tiles_are_exactly_those_with_half_of_their_area_on_the_map(width, height, side, stride):
    source = PlainSource(width, height)
    grid = TileGrid(side, 32, round(stride * 32))
    found = positions(grid, source)
    reach = 60
    margin = 2 * grid.gsd_m
    for i in range(-reach, reach):
        for j in range(-reach, reach):
            x, y = i * grid.stride_m, j * grid.stride_m
            across = min(x + side, width / 2) - max(x, -width / 2)
            along = min(y + side, height / 2) - max(y, -height / 2)
            share = max(across, 0) * max(along, 0) / side**2
            if share > 0.5 + margin / side:
                assert (i, j) in found
            if share < 0.5 - margin / side:
                assert (i, j) not in found


def test_blocks_do_not_change_tiles_nor_pixels(monkeypatch):
    source = PlainSource(120.0, 90.0, hole=(-10, -10, 25, 10))
    grid = TileGrid(30.0, 32, 8)

    def images():
        result = {}
        for block in grid.blocks(extent_of(source, source.frame)):
            patch = block.read(source, source.frame)
            tiles = block.tiles(patch)
            if len(tiles):
                cut = block.cut(patch.image, tiles)
                result |= {tuple(t): i for t, i in zip(tiles.tolist(), cut, strict=True)}
        return result

    one = images()
    monkeypatch.setattr(tiling, "BLOCK_TILES", 3)
    many = images()
    assert one.keys() == many.keys()
    assert all(np.array_equal(one[key], many[key]) for key in one)
    (i, j), image = next(iter(one.items()))
    alone = source.read(source.frame, i * 7.5, j * 7.5 + 30.0, 30 / 32, 32, 32)
    assert np.array_equal(image, alone.image)


def test_holes_leave_tiles_out():
    whole = positions(TileGrid(30.0, 32, 8), PlainSource(120.0, 90.0))
    holed = positions(TileGrid(30.0, 32, 8), PlainSource(120.0, 90.0, hole=(-20, -20, 20, 20)))
    assert holed < whole
    assert (-2, -2) in whole - holed  # it lies within ± 15 m


def test_small_maps():
    extent = Extent(-45.0, -20.0, 45.0, 20.0)
    grids, notes = tile_grids((60.0, 120.0, 30.0), 0.25, 224, extent, "m.tif")
    assert [g.footprint_m for g in grids] == [30.0, 60.0]
    assert [g.stride_px for g in grids] == [56, 56]
    assert notes == ["footprint 120 m left out: the map covers only 90 × 40 m"]
    with pytest.raises(MapError, match=r"m\.tif: covers 90 × 40 m.*smallest footprint of 120 m"):
        tile_grids((120.0, 240.0), 0.25, 224, extent, "m.tif")


@pytest.mark.parametrize("footprints", [(), (0.5,), (60.0, float("nan")), (1e6,)])
def test_senseless_footprints_are_refused(footprints):
    with pytest.raises(UsageError, match=r"footprints .*: not within 1 … 20000 metres"):
        tile_grids(footprints, 0.25, 224, Extent(0, 0, 100, 100), "m")


@pytest.mark.parametrize("stride", [0.0, 1.5, -1.0, float("nan")])
def test_senseless_strides_are_refused(stride):
    with pytest.raises(UsageError, match=r"stride .*: not within 1/224 … 1"):
        tile_grids((60.0,), stride, 224, Extent(0, 0, 100, 100), "m")


def test_too_large_a_map_is_refused():
    source = PlainSource(600_000.0, 1000.0)
    with pytest.raises(MapError, match="plain: is wider or higher than 500 km"):
        extent_of(source, source.frame)


def test_extent_is_the_maps_box_in_the_frame():
    source = PlainSource(300.0, 200.0)
    extent = extent_of(source, source.frame)
    box = (extent.west_m, extent.south_m, extent.east_m, extent.north_m)
    assert box == pytest.approx((-150.0, -100.0, 150.0, 100.0), abs=0.05)


def test_plan_covers_the_map_with_chunks():
    source, encoder = PlainSource(300.0, 200.0), FakeEncoder()
    plan = plan_build(source, encoder, (30.0,), 0.25)
    side_m = 64 * encoder.spec.cell_m
    west = min(b.x0 for b in plan.feature_blocks) * encoder.spec.cell_m
    east = max(b.x0 for b in plan.feature_blocks) * encoder.spec.cell_m + side_m
    assert west <= -150.0 < west + side_m
    assert east - side_m < 150.0 <= east
    assert isinstance(plan.frame, LocalFrame)


def test_features_do_not_depend_on_the_block():
    source, encoder = PlainSource(300.0, 200.0, hole=(10, 10, 40, 30)), FakeEncoder()
    spec = encoder.spec
    whole = FeatureBlock(spec, -32, -32, 64)
    patch = whole.read(source, source.frame)
    expected = whole.encode(patch, encoder).astype(int)
    assert np.abs(expected).max() > 20
    parts = np.zeros_like(expected)
    for x0 in (-32, -16, 0, 16):
        for y0 in (-32, -16, 0, 16):
            block = FeatureBlock(spec, x0, y0, 16)
            top, left = 64 - (y0 + 32) - 16, x0 + 32
            encoded = block.encode(block.read(source, source.frame), encoder)
            parts[top : top + 16, left : left + 16] = encoded
    assert np.abs(parts - expected).max() <= 1
    assert (parts == expected).mean() > 0.99


def test_cells_are_valid_with_half_of_their_pixels():
    spec = FakeEncoder().spec
    source = PlainSource(50.0, 50.0)  # cells of 2 m: half of an edge's, a quarter of a corner's
    block = FeatureBlock(spec, -32, -32, 64)
    valid = block.valid_cells(block.read(source, source.frame))
    assert valid.sum() == 26 * 26 - 4
    assert valid[32 - 12 : 32 + 12, 32 - 12 : 32 + 12].all()


@given(st.floats(-10, 10, width=32))
def test_quantising_is_exact_to_half_a_step(value):
    stored = quantised(np.array([value], np.float32))
    assert stored.dtype == np.int8
    clipped = min(max(value, -FEATURE_RANGE), FEATURE_RANGE)
    assert abs(int(stored[0]) * FEATURE_STEP - clipped) <= FEATURE_STEP * 0.5001
