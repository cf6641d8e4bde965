"""Simulated views: sources, geometry, photometry, determinism."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from mobilegeo.errors import ResourceError, UsageError
from mobilegeo.learn.datasets import photometry
from mobilegeo.learn.datasets.simulated import (
    SEPARATION,
    Pool,
    SimulatedPairs,
    draw_query,
    draw_tile,
    turned,
)
from mobilegeo.learn.datasets.sources import (
    Source,
    SourceSpec,
    contiguous_blocks,
    read_sources,
    tile_gsd_m,
)
from mobilegeo.learn.datasets.view import (
    Square,
    ViewError,
    central_relief,
    ground_grid,
    leaning_relief,
    photo_mask,
    pixel_to_ground,
    sample_image,
)

SIZE = 64


def textured(seed: int = 0, name: str = "a", cell_px: int = 8) -> Source:
    """Smooth random colours over 200 × 200 m at 0.5 m a pixel."""
    coarse = np.random.default_rng(seed).integers(0, 256, (400 // cell_px,) * 2 + (3,), np.uint8)
    image = cv2.resize(coarse, (400, 400), interpolation=cv2.INTER_CUBIC)
    return Source(name, "group", image.astype(np.uint8), 0.5)


def spot(x_m: float, y_m: float) -> Source:
    """Black ground of 200 m with one white disc of 3 m."""
    image = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(image, (round(x_m / 0.5), round(y_m / 0.5)), 6, (255, 255, 255), -1)
    return Source("spot", "spot", image, 0.5)


def seen_at(source: Source, square: Square, error: ViewError, size: int = 200) -> np.ndarray:
    """Pixel (u, v) of the disc in a view."""
    grid = ground_grid(pixel_to_ground(square, error, size), size)
    image, _ = sample_image(source, grid)
    v, u = np.nonzero(image[..., 0] > 128)
    return np.array([u.mean() + 0.5, v.mean() + 0.5])


def error(
    shift: tuple[float, float] = (0.0, 0.0), heading_deg: float = 0.0, scale: float = 1.0
) -> ViewError:
    return ViewError(shift, heading_deg, scale, np.zeros((4, 2), np.float32))


SQUARE = Square(100.0, 100.0, 100.0)


def test_a_perfect_view_shows_the_square() -> None:
    assert seen_at(spot(100, 100), SQUARE, ViewError.none()) == pytest.approx([100, 100], abs=1)
    assert seen_at(spot(110, 80), SQUARE, ViewError.none()) == pytest.approx([120, 60], abs=1)


def test_a_shift_of_known_metres_shows_at_the_known_place() -> None:
    east_10m_south_5m = error(shift=(0.1, 0.05))
    assert seen_at(spot(100, 100), SQUARE, east_10m_south_5m) == pytest.approx([80, 90], abs=1)


def test_a_view_turned_clockwise_shows_things_turned_the_other_way() -> None:
    at = seen_at(spot(130, 100), SQUARE, error(heading_deg=30.0))
    expected = [100 + 60 * math.cos(math.radians(30)), 100 - 60 * math.sin(math.radians(30))]
    assert at == pytest.approx(expected, abs=1)


def test_a_larger_scale_shows_things_nearer_the_centre() -> None:
    assert seen_at(spot(120, 100), SQUARE, error(scale=2.0)) == pytest.approx([120, 100], abs=1)


def test_corner_jitter_moves_the_corners() -> None:
    corners = np.array([[0.1, 0.0], [0, 0], [0, 0], [0, 0]], np.float32)
    homography = pixel_to_ground(SQUARE, ViewError((0.0, 0.0), 0.0, 1.0, corners), 200)
    top_left = homography @ [0, 0, 1]
    bottom_right = homography @ [200, 200, 1]
    assert top_left[:2] / top_left[2] == pytest.approx([60.0, 50.0])
    assert bottom_right[:2] / bottom_right[2] == pytest.approx([150.0, 150.0])


def tower(height_m: float) -> Source:
    """Flat ground with a square tower 30 m east of the middle, the tower white."""
    source = spot(0, 0)
    image, height = np.zeros_like(source.image), np.zeros((400, 400), np.float32)
    image[190:210, 250:270] = 255  # x 125 … 135 m, y 95 … 105 m
    height[180:220, 230:300] = height_m
    return Source("tower", "tower", image, 0.5, height)


def test_relief_moves_a_roof_outwards_as_a_pinhole_does() -> None:
    agl_m, height_m = 100.0, 20.0
    grid = ground_grid(pixel_to_ground(SQUARE, ViewError.none(), 200), 200)
    moved = central_relief(tower(height_m), grid, (100.0, 100.0), agl_m)
    image, _ = sample_image(tower(height_m), moved)
    u = np.nonzero(image[100, :, 0] > 128)[0].mean() + 0.5
    east_m = 30.0 * agl_m / (agl_m - height_m)
    assert u == pytest.approx(100 + 2 * east_m, abs=1.5)


def test_lean_moves_a_roof_along_its_direction() -> None:
    grid = ground_grid(pixel_to_ground(SQUARE, ViewError.none(), 200), 200)
    image, _ = sample_image(tower(20.0), leaning_relief(tower(20.0), grid, (0.2, 0.0)))
    u = np.nonzero(image[100, :, 0] > 128)[0].mean() + 0.5
    assert u == pytest.approx(100 + 2 * (30.0 + 0.2 * 20.0), abs=1.5)


def test_coarse_views_are_averaged_and_the_outside_is_known() -> None:
    checker = np.indices((256, 256)).sum(axis=0) % 2 * 255
    source = Source("c", "c", np.repeat(checker[..., None], 3, 2).astype(np.uint8), 0.5)
    grid = ground_grid(pixel_to_ground(Square(64, 64, 160), ViewError.none(), 40), 40)
    image, inside = sample_image(source, grid)
    assert inside.mean() == pytest.approx((128 / 160) ** 2, abs=0.05)
    assert abs(image[12:28, 12:28].astype(int) - 127).max() <= 1
    assert image[~inside].max() <= 128


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_photo_masks_cover_enough(seed: int) -> None:
    mask = photo_mask(np.random.default_rng(seed), SIZE)
    assert mask.shape == (SIZE, SIZE)
    assert mask.mean() >= 0.55


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_errors_are_as_large_as_telemetry_leaves_them(seed: int) -> None:
    drawn = ViewError.draw(np.random.default_rng(seed))
    assert max(map(abs, drawn.shift)) <= 0.125
    assert abs(drawn.heading_deg) <= 12.0
    assert 0.9 <= drawn.scale <= 1.11


def test_the_eight_symmetries_differ_and_keep_the_square() -> None:
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    seen = {turned(image, symmetry).tobytes() for symmetry in range(8)}
    assert len(seen) == 8
    assert turned(image, 0).tobytes() == image.tobytes()


@pytest.mark.parametrize(
    "step", [step for chain in ("SCENE", "QUERY", "TILE") for _, step in getattr(photometry, chain)]
)
def test_every_photometric_step_keeps_the_layout(step: photometry.Step) -> None:
    image = textured().image[:SIZE, :SIZE].astype(np.float32) / 255
    before = image.copy()
    out = step(image.copy(), np.random.default_rng(3))
    assert out.shape == image.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert not np.array_equal(out, before)
    again = step(image.copy(), np.random.default_rng(3))
    assert np.array_equal(out, again)


def test_degraded_images_are_never_black() -> None:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    chains = (photometry.SCENE, photometry.QUERY)
    for seed in range(10):
        assert photometry.degrade(image, np.random.default_rng(seed), *chains).min() >= 1


def test_season_changes_vegetation_only() -> None:
    image = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    image[:, :32] = (0.2, 0.6, 0.2)
    out = photometry.season(image, np.random.default_rng(0))
    np.testing.assert_allclose(out[:, 32:], 0.5, atol=1e-6)
    assert abs(out[:, :32] - image[:, :32]).max() > 0.05


def pairs(seed: int = 0) -> SimulatedPairs:
    sources = [textured(seed=1, name="a"), textured(seed=2, name="b")]
    return SimulatedPairs(sources, [Pool(1.0, (40.0, 60.0), (0, 1))], 4, SIZE, seed)


def test_groups_are_reproducible_by_number_and_seed() -> None:
    one, same, other = pairs().group(5), pairs().group(5), pairs(seed=1).group(5)
    assert len(one) == 4
    for a, b in zip(one, same, strict=True):
        assert a.square == b.square
        assert np.array_equal(a.query, b.query)
        assert np.array_equal(a.tile, b.tile)
    assert one[0].square != other[0].square
    assert one[0].square != pairs().group(6)[0].square


def test_places_of_a_group_are_apart_and_inside_their_source() -> None:
    for number in range(5):
        group = pairs().group(number)
        for a in group:
            half = a.square.side_m / 2
            assert half <= a.square.x_m <= 200 - half
            for b in group:
                if a is not b and a.source == b.source:
                    apart = max(abs(a.square.x_m - b.square.x_m), abs(a.square.y_m - b.square.y_m))
                    assert apart >= SEPARATION * a.square.side_m


def test_flat_water_is_no_place() -> None:
    water = Source("w", "w", np.full((400, 400, 3), 90, np.uint8), 0.5)
    assert SimulatedPairs([water], [Pool(1.0, (40.0, 60.0), (0,))], 4, SIZE).group(0) == []


def test_query_and_tile_show_the_same_ground() -> None:
    source, correlations = textured(cell_px=80), []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        query = draw_query(source, SQUARE, SIZE, rng).astype(float).mean(axis=2)
        tile = draw_tile(source, SQUARE, SIZE, rng).astype(float).mean(axis=2)
        seen = query > 0
        assert seen.mean() >= 0.5
        correlations.append(np.corrcoef(query[seen], tile[seen])[0, 1])
    assert np.mean(correlations) > 0.1


def test_tile_resolution_agrees_with_proj() -> None:
    zoom, row = 19, 220245
    to_degrees = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    half = 20037508.342789244
    lat = to_degrees.transform(0.0, half - (row + 0.5) * 2 * half / 2**zoom)[1]
    expected = 2 * half / 2**zoom / 512 * math.cos(math.radians(lat))
    assert tile_gsd_m(zoom, row + 0.5, 512) == pytest.approx(expected, rel=1e-9)


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_blocks_partition_the_tiles(tiles: set[tuple[int, int]]) -> None:
    blocks = contiguous_blocks(tiles)
    assert sorted(tile for block in blocks for tile in block) == sorted(tiles)
    for a in blocks:
        for b in blocks:
            if a is not b:
                steps = [abs(s[0] - t[0]) + abs(s[1] - t[1]) for s in a for t in b]
                assert min(steps) > 1


def write(path: Path, colour: int, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((size, size, 3), (colour, 0, 255), np.uint8)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def test_xyz_tiles_become_mosaics_in_their_places(tmp_path: Path) -> None:
    write(tmp_path / "t" / "OAM-10-20-5.tif", 1)  # PNG bytes behind another suffix
    write(tmp_path / "t" / "OAM-11-20-5.tif", 2)
    write(tmp_path / "t" / "OAM-30-20-5.tif", 3)
    write(tmp_path / "t" / "OAM-11-21-6.tif", 4)
    found = read_sources(SourceSpec("xyz", "t", zoom=5), tmp_path)
    assert [source.image.shape for source in found] == [(8, 16, 3), (8, 8, 3)]
    assert found[0].image[0, 0].tolist() == [255, 0, 1]
    assert found[0].image[0, 8].tolist() == [255, 0, 2]
    assert found[0].gsd_m == pytest.approx(tile_gsd_m(5, 20.5, 8))


def test_loose_images_are_grouped_by_folder_and_rows_are_cut(tmp_path: Path) -> None:
    write(tmp_path / "t" / "park" / "a.png", 1)
    write(tmp_path / "t" / "road" / "b.png", 2)
    found = read_sources(SourceSpec("images", "t", gsd_m=0.3, top=0.5), tmp_path)
    assert [source.group for source in found] == ["t/park", "t/road"]
    assert found[0].image.shape == (4, 8, 3)
    assert found[0].width_m == pytest.approx(2.4)
    assert found[0].depth_m == pytest.approx(1.2)


def test_sources_reject_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such reader; use one of"):
        SourceSpec("satellite", "t")
    with pytest.raises(UsageError, match="not a range within 0 … 1"):
        SourceSpec("images", "t", top=0.7, bottom=0.2)
    with pytest.raises(ResourceError, match="no such imagery"):
        read_sources(SourceSpec("images", "t"), tmp_path)
    (tmp_path / "t").mkdir()
    with pytest.raises(ResourceError, match="holds no imagery of kind 'images'"):
        read_sources(SourceSpec("images", "t"), tmp_path)
    (tmp_path / "t" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ResourceError, match="is not an image OpenCV reads"):
        read_sources(SourceSpec("images", "t"), tmp_path)


def test_real_scene_has_its_surface_model(shared_data: Path) -> None:
    (scene,) = read_sources(SourceSpec("scene", "scenes/autzen", bottom=0.5), shared_data)
    assert scene.gsd_m == pytest.approx(0.3048)
    assert scene.width_m == pytest.approx(990, abs=1)
    assert scene.height_m is not None
    assert scene.height_m.shape == scene.image.shape[:2]
    assert 10 < np.ptp(scene.height_m) < 150
