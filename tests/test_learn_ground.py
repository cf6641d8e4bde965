"""Relief from footprints, generated worlds as imagery, and what a simulation may leave out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mobilegeo.errors import ResourceError
from mobilegeo.learn.datasets import footprints, generated
from mobilegeo.learn.datasets.footprints import STOREY_M, Mosaic, extruded
from mobilegeo.learn.datasets.simulated import (
    Pool,
    SimulatedPairs,
    Simulation,
    draw_query,
    draw_tile,
)
from mobilegeo.learn.datasets.sources import Source, SourceSpec, read_sources
from mobilegeo.learn.datasets.view import Square, ViewError

MOSAIC = Mosaic(zoom=19, left=386690, top=220241, tile_px=256, shape=(256, 512))


def degrees(column: float, row: float) -> tuple[float, float]:
    """Longitude and latitude of a pixel corner of `MOSAIC`, by the map's inverse formula."""
    x = (MOSAIC.left + column / MOSAIC.tile_px) / 2**MOSAIC.zoom
    y = (MOSAIC.top + row / MOSAIC.tile_px) / 2**MOSAIC.zoom
    return x * 360.0 - 180.0, float(np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * y)))))


def geojson(path: Path, boxes: list[tuple[dict, tuple[float, float, float, float]]]) -> Path:
    features = []
    for properties, (left, top, right, bottom) in boxes:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        ring = [degrees(*corner) for corner in corners]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_a_footprint_stands_where_it_lies_and_as_high_as_it_says(tmp_path: Path) -> None:
    path = geojson(tmp_path / "b.geojson", [({"building:levels": "4"}, (300, 60, 340, 100))])
    height = extruded(path, MOSAIC)
    assert height.shape == MOSAIC.shape
    rows, columns = np.nonzero(height)
    assert (rows.min(), rows.max()) == (pytest.approx(60, abs=1), pytest.approx(99, abs=1))
    assert (columns.min(), columns.max()) == (pytest.approx(300, abs=1), pytest.approx(339, abs=1))
    assert set(height[height > 0]) == {4 * STOREY_M}


def test_a_building_without_levels_is_as_high_in_every_run(tmp_path: Path) -> None:
    boxes = [({"osm_id": 100 + k}, (10.0 * k, 0, 10.0 * k + 8, 8)) for k in range(20)]
    path = geojson(tmp_path / "b.geojson", boxes)
    height = extruded(path, MOSAIC)
    np.testing.assert_array_equal(height, extruded(path, MOSAIC))
    storeys = set(height[4, 4:200:10] / STOREY_M)
    assert storeys <= {1, 2, 3, 4, 5, 6}
    assert len(storeys) > 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "is no GeoJSON"),
        ("[1]", "is no GeoJSON"),
        ('{"features": []}', "holds no building outline"),
        ('{"features": [{"geometry": null}]}', "holds no building outline"),
    ],
)
def test_what_is_no_footprint_file(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "b.geojson"
    path.write_text(text)
    with pytest.raises(ResourceError, match=message):
        extruded(path, MOSAIC)
    with pytest.raises(ResourceError, match="is no GeoJSON"):
        extruded(tmp_path / "absent.geojson", MOSAIC)


def test_xyz_tiles_get_the_buildings_named(tmp_path: Path) -> None:
    side = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    for column in (0, 1):
        name = f"OAM-{MOSAIC.left + column}-{MOSAIC.top}-19.png"
        (tmp_path / name).write_bytes(cv2.imencode(".png", side)[1].tobytes())
    geojson(tmp_path / "b.geojson", [({"building:levels": "2"}, (260, 10, 300, 50))])
    spec = SourceSpec("xyz", ".", zoom=19, buildings="b.geojson")
    (source,) = read_sources(spec, tmp_path)
    assert source.height_m is not None
    assert source.height_m[30, 280] == 2 * STOREY_M
    assert source.height_m[30, 100] == 0


@pytest.fixture(scope="module")
def world() -> Source:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generated, "SIDE_M", 200.0)
        (source,) = read_sources(SourceSpec("world", seeds=(5, 6)), Path())
    return source


def test_a_world_is_one_place_on_two_days(world: Source) -> None:
    assert world.later is not None
    assert world.height_m is not None
    assert world.image.shape == world.later.shape == (*world.height_m.shape, 3)
    assert world.width_m == pytest.approx(200.0)
    apart = np.abs(world.image.astype(int) - world.later).mean()
    assert apart > 5
    assert world.on_another_day.image is world.later
    assert world.on_another_day.on_another_day is world.on_another_day


def test_rows_are_cut_out_of_both_days(world: Source) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generated, "SIDE_M", 200.0)
        (half,) = read_sources(SourceSpec("world", seeds=(5, 6), bottom=0.5), Path())
    assert half.later is not None
    assert world.later is not None
    np.testing.assert_array_equal(half.later, world.later[: len(world.later) // 2])


SQUARE = Square(100.0, 100.0, 90.0)


def views(source: Source, simulation: Simulation) -> tuple[np.ndarray, np.ndarray]:
    error = ViewError.none()
    rng = [np.random.default_rng(k) for k in (1, 2)]
    query = draw_query(source, SQUARE, 64, rng[0], error, simulation)
    return query, draw_tile(source, SQUARE, 64, rng[1], simulation)


def test_with_everything_left_out_both_views_are_one(world: Source) -> None:
    query, tile = views(world, Simulation(False, False, False, False))
    seen = (query.max(axis=2) > 0) & (tile.max(axis=2) > 0)
    assert seen.mean() > 0.5
    np.testing.assert_array_equal(query[seen], tile[seen])


@pytest.mark.parametrize("part", ["ground", "camera", "relief"])
def test_each_part_alone_makes_the_views_differ(world: Source, part: str) -> None:
    alone = replace(Simulation(False, False, False, False), **{part: True})
    query, tile = views(world, alone)
    seen = (query.max(axis=2) > 0) & (tile.max(axis=2) > 0)
    assert np.abs(query[seen].astype(int) - tile[seen]).mean() > 1


def test_telemetry_is_exact_where_it_is_left_out(world: Source) -> None:
    def pairs(**parts: bool) -> SimulatedPairs:
        still = Simulation(ground=False, camera=False, relief=False, **parts)
        pools = [Pool(1.0, (80.0, 90.0), (0,))]
        return SimulatedPairs([replace(world, later=None)], pools, 2, 64, 4, still)

    for exact in (True, False):
        for pair in pairs(telemetry=not exact).group(0):
            seen = (pair.query.max(axis=2) > 0) & (pair.tile.max(axis=2) > 0)
            same = np.array_equal(pair.query[seen], pair.tile[seen])
            assert same == exact


def test_real_footprints_lie_on_the_real_tiles(shared_data: Path) -> None:
    spec = SourceSpec(
        "xyz",
        "tiles/banepa/train",
        zoom=19,
        buildings="tiles/banepa/train/osm/osm_features_ac7e343eb1faacd2.geojson",
    )
    (source,) = read_sources(spec, shared_data)
    assert source.height_m is not None
    share = (source.height_m > 0).mean()
    assert 0.2 < share < 0.7
    assert source.height_m.max() <= footprints.MOST_STOREYS * STOREY_M
