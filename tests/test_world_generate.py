"""The generated world: decided by its seed, its light by closed forms."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from mobilegeo.errors import UsageError
from mobilegeo.world import Appearance, Light, generate_world, render_ortho, scene_of
from mobilegeo.world.generate import World
from mobilegeo.world.layout import plan_layout
from mobilegeo.world.lighting import cast_shadow, sunlight
from mobilegeo.world.materials import Material
from mobilegeo.world.noise import fractal

SIZE_M = (320.0, 260.0)


@pytest.fixture(scope="module")
def world() -> World:
    return generate_world(11, SIZE_M)


def arrays(world: World) -> dict[str, np.ndarray]:
    found = {f.name: getattr(world, f.name) for f in fields(world)}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def test_a_seed_decides_everything(world):
    again, other = generate_world(11, SIZE_M), generate_world(12, SIZE_M)
    for name, value in arrays(world).items():
        np.testing.assert_array_equal(value, arrays(again)[name], err_msg=name)
    np.testing.assert_array_equal(
        render_ortho(world, Appearance(seed=3, noise=2.0)),
        render_ortho(again, Appearance(seed=3, noise=2.0)),
    )
    assert (world.material != other.material).mean() > 0.3


def test_rasters_cover_the_same_extent(world):
    assert world.size_m == SIZE_M
    shape = (1040, 1280)
    for name, value in arrays(world).items():
        if name != "slots":
            assert value.shape == shape, name
    assert render_ortho(world, Appearance()).shape == (*shape, 3)
    assert world.facades.ids.max() <= len(world.facades.frames) == len(world.facades.colours)


def test_nothing_is_below_the_ground_and_water_is_level(world):
    assert (world.surface_m >= world.ground_m - 1e-4).all()
    water = (world.material == Material.WATER) & (world.ground_m == 0)
    assert water.sum() > 1000
    np.testing.assert_array_equal(world.surface_m[water], 0.0)


def test_a_town_has_its_parts():
    material = generate_world(1, (700.0, 700.0), 0.5).material
    share = np.bincount(material.ravel(), minlength=len(Material)) / material.size
    for kind in ("ROAD", "ROOF_TILE", "ROOF_FLAT", "BROADLEAF", "LAWN", "CROP", "WATER", "MARKING"):
        assert share[Material[kind]] > 0.0005, kind
    assert share.max() < 0.6


def test_seasons_change_the_picture_and_leave_the_geometry(world):
    before = {name: value.copy() for name, value in arrays(world).items()}
    pictures = [
        render_ortho(world, Appearance(season=season)).astype(int)
        for season in ("spring", "summer", "autumn", "winter")
    ]
    for name, value in arrays(world).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    green = world.material == Material.BROADLEAF
    road = (world.material == Material.ROAD) & (world.surface_m - world.ground_m < 0.1)
    for first, second in pairwise(pictures):
        assert np.abs(first - second)[green].mean() > 5
        np.testing.assert_array_equal(first[road], second[road])


def test_other_seeds_move_the_cars_and_nothing_else(world):
    first, second = (render_ortho(world, Appearance(seed=s, cars=0.6)) for s in (1, 2))
    changed = (first != second).any(axis=2)
    none = render_ortho(world, Appearance(cars=0.0, seed=1))
    assert 0.0005 < changed.mean() < 0.1
    np.testing.assert_array_equal(none, render_ortho(world, Appearance(cars=0.0, seed=2)))


def test_appearance_moves_exposure_as_named(world):
    plain = render_ortho(world, Appearance(cars=0)).astype(float)
    red = render_ortho(world, Appearance(cars=0, gains=(1.2, 1.0, 1.0))).astype(float)
    assert red[..., 0].mean() > 1.1 * plain[..., 0].mean()
    for change in ({"haze": 0.5}, {"blur_px": 2.0}):
        softer = render_ortho(world, replace(Appearance(cars=0), **change)).astype(float)
        assert softer.std() < 0.97 * plain.std()


def test_a_scene_keeps_the_frame_it_is_given(world):
    scene = scene_of(world, Appearance(), 500_000.0, 6_000_000.0)
    assert (scene.width_m, scene.height_m) == SIZE_M
    x, y = 500_000.0 + 100.125, 6_000_000.0 - 50.125
    assert scene.ground_at(x, y) == pytest.approx(float(world.ground_m[200, 400]), abs=1e-4)


@pytest.mark.parametrize("azimuth", [0.0, 90.0, 140.0, 225.0])
@pytest.mark.parametrize("elevation", [25.0, 50.0])
def test_a_pole_casts_a_shadow_of_its_height_over_the_tangent(azimuth, elevation):
    surface = np.zeros((401, 401), np.float32)
    surface[198:203, 198:203] = 20.0
    shadow = cast_shadow(surface, 0.5, Light(azimuth, elevation).direction)
    rows, columns = np.nonzero((shadow > 0.5) & (surface == 0))
    east, north = (columns - 200) * 0.5, (200 - rows) * 0.5
    away = np.radians(azimuth + 180)
    along = east * np.sin(away) + north * np.cos(away)
    across = east * np.cos(away) - north * np.sin(away)
    assert along.max() == pytest.approx(20 / math.tan(math.radians(elevation)), abs=2.5)
    assert along.min() > -2.5
    assert np.abs(across).max() < 3.5


def test_level_ground_is_fully_lit_and_slopes_by_their_cosine():
    sun = Light(90.0, 40.0).direction
    flat = np.zeros((50, 50), np.float32)
    np.testing.assert_allclose(sunlight(flat, 1.0, sun), 1.0, rtol=1e-6)
    assert not cast_shadow(flat, 1.0, sun).any()
    slope = math.tan(math.radians(15))
    facing = np.tile(-slope * np.arange(50, dtype=np.float32), (50, 1))  # falls towards the east
    expected = math.sin(math.radians(40 + 15)) / math.sin(math.radians(40))
    np.testing.assert_allclose(sunlight(facing, 1.0, sun), expected, rtol=1e-4)


def test_roofs_keep_their_shade_up_to_the_eaves():
    surface = np.zeros((40, 40), np.float32)
    surface[10:30, 10:30] = 8.0
    lit = sunlight(surface, 0.25, Light(120.0, 40.0).direction)
    np.testing.assert_allclose(lit, 1.0, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_blocks_tile_the_plan(seed):
    import cv2

    layout = plan_layout(np.random.default_rng(seed), (600.0, 500.0))
    cover = np.zeros((500, 600), np.uint8)
    for block in layout.blocks:
        one = np.zeros_like(cover)
        cv2.fillPoly(one, [np.round(block.outline).astype(np.int32)], 1)
        cover += one
    assert (cover == 0).mean() < 0.002
    assert (cover > 1).mean() < 0.06  # shared borders are a pixel wide
    assert len(layout.roads) + 1 >= len(layout.blocks) > 10


def test_noise_has_the_strength_asked_for():
    field = fractal(np.random.default_rng(0), (600, 700), {1.0: 1.0})
    assert field.std() == pytest.approx(1.0, rel=0.02)
    coarse = fractal(np.random.default_rng(0), (600, 700), {20.0: 1.0})
    assert coarse.std() == pytest.approx(1.0, rel=0.25)
    assert np.abs(np.diff(coarse, axis=0)).mean() < 0.3 * np.abs(np.diff(field, axis=0)).mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size_m": (100.0, 500.0)}, "world size .*not within 200 … 4000 m"),
        ({"size_m": (500.0, math.nan)}, "world size"),
        ({"gsd_m": 0.01}, "world gsd 0.01: not within 0.1 … 1 m"),
    ],
)
def test_worlds_that_cannot_be_meant_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        generate_world(1, **arguments)
