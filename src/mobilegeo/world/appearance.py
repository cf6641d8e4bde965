"""Season, light and sensor: how a world looks from straight above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.world.canvas import rectangle
from mobilegeo.world.generate import World
from mobilegeo.world.lighting import cast_shadow, sunlight
from mobilegeo.world.materials import VARIANTS, Material, Palette, Season, palette
from mobilegeo.world.render import Light
from mobilegeo.world.scene import Array, Image, Raster, Scene

_STRIP_PX = 256
_CAR_HEIGHT_M = 1.4
_SKY_LIGHT = np.array([0.43, 0.46, 0.52], np.float32)
_SUN_LIGHT = np.array([0.82, 0.77, 0.69], np.float32)
_HAZE = np.array([188, 198, 210], np.float32)


@dataclass(frozen=True, slots=True)
class Appearance:
    """A day and a camera.

    Attributes:
        season: of the vegetation.
        sun_azimuth_deg: where the sun stands, clockwise from north.
        sun_elevation_deg: its height above the horizon, 10 … 90.
        haze: share of the light that the air adds, 0 … 1.
        gains: white balance, factors of red, green and blue.
        saturation: factor of the distance from grey.
        contrast: exponent of the brightness; above 1 darkens the shadows.
        blur_px: standard deviation of the optics' blur.
        noise: standard deviation of the sensor's noise, grey levels.
        cars: share of the parking places that are taken.
        seed: of the noise and of the cars.
    """

    season: Season = "summer"
    sun_azimuth_deg: float = 150.0
    sun_elevation_deg: float = 48.0
    haze: float = 0.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 0.85
    contrast: float = 1.0
    blur_px: float = 0.0
    noise: float = 0.0
    cars: float = 0.5
    seed: int = 0

    @property
    def light(self) -> Light:
        """The same sun, for the walls of a rendered view."""
        return Light(self.sun_azimuth_deg, self.sun_elevation_deg)


def render_ortho(world: World, appearance: Appearance) -> Image:
    """The world from straight above, uint8 [H, W, 3] RGB."""
    rng = np.random.default_rng(appearance.seed)
    material, variant, surface = world.material.copy(), world.variant.copy(), world.surface_m
    surface = _park_cars(world, appearance, rng, material, variant)
    sun = appearance.light.direction
    lit = sunlight(surface, world.gsd_m, sun) * (1 - cast_shadow(surface, world.gsd_m, sun))
    colours = palette(appearance.season)
    ortho = np.empty((*material.shape, 3), np.uint8)
    for top in range(0, len(material), _STRIP_PX):
        rows = slice(top, top + _STRIP_PX)
        paint = _paint(world, colours, rows, material[rows], variant[rows])
        paint *= _SKY_LIGHT + lit[rows][..., None] * _SUN_LIGHT
        ortho[rows] = _develop(paint, appearance, rng)
    return _soften(ortho, appearance)


def scene_of(
    world: World, appearance: Appearance, west_m: float = 0.0, north_m: float = 0.0
) -> Scene:
    """The world as the renderer wants it, its upper-left corner at (west_m, north_m).

    The surface is smoothed by 0.8 cells, so that turned walls do not show the cells as teeth.
    """
    import cv2

    return Scene(
        ortho=render_ortho(world, appearance),
        surface_m=np.asarray(cv2.GaussianBlur(world.surface_m, (0, 0), 0.8), np.float32),
        gsd_m=world.gsd_m,
        west_m=west_m,
        north_m=north_m,
        ground_m=world.ground_m,
        facades=world.facades,
    )


def _paint(
    world: World,
    colours: Palette,
    rows: slice,
    material: NDArray[np.uint8],
    variant: NDArray[np.uint8],
) -> Raster:
    """Colour before lighting, float32 [h, W, 3]."""
    paint = colours.colours[material.astype(np.int32) * VARIANTS + variant]
    strengths = colours.strengths[material]
    patches = world.patches[rows] * np.float32(1 / 32)
    relative = 1 + strengths[..., 0] * (world.grain[rows] * np.float32(1 / 32))
    relative += strengths[..., 1] * patches
    relative += strengths[..., 2] * (world.detail[rows] * np.float32(1 / 127))
    paint *= relative[..., None]
    shift = strengths[..., 3] * patches
    paint[..., 0] *= 1 + shift
    paint[..., 2] *= 1 + 0.5 * shift
    return np.asarray(paint, dtype=np.float32)


def _develop(paint: Raster, appearance: Appearance, rng: np.random.Generator) -> Image:
    paint *= np.array(appearance.gains, np.float32)
    grey = paint @ np.array([0.3, 0.59, 0.11], np.float32)
    paint = grey[..., None] + np.float32(appearance.saturation) * (paint - grey[..., None])
    if appearance.contrast != 1.0:
        np.power(np.clip(paint, 0, 400) / 255, appearance.contrast, out=paint)
        paint *= 255
    paint = paint * np.float32(1 - appearance.haze) + appearance.haze * _HAZE
    if appearance.noise > 0:
        noise = rng.standard_normal(paint.shape[:2], dtype=np.float32)
        paint += (appearance.noise * noise)[..., None]
    return np.asarray(np.clip(paint, 0, 255), dtype=np.uint8)


def _soften(ortho: Image, appearance: Appearance) -> Image:
    import cv2

    if appearance.blur_px <= 0:
        return ortho
    return np.asarray(cv2.GaussianBlur(ortho, (0, 0), appearance.blur_px), dtype=np.uint8)


def _park_cars(
    world: World,
    appearance: Appearance,
    rng: np.random.Generator,
    material: NDArray[np.uint8],
    variant: NDArray[np.uint8],
) -> Raster:
    """Draws cars and returns the surface with them, which only their shadows need."""
    import cv2

    cars = np.zeros(material.shape, np.uint8)

    def fill(raster: NDArray[np.uint8], outline: Array, value: int) -> None:
        points = np.round((outline / world.gsd_m - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(raster, [points], value, shift=4)

    taken = world.slots[rng.random(len(world.slots)) < appearance.cars]
    for *place, angle in taken:
        turn = angle + rng.normal(0, 0.03)
        half = (rng.uniform(2.0, 2.4), rng.uniform(0.85, 0.95))
        body = rectangle(np.array(place), half, turn)
        fill(cars, body, 1)
        fill(material, body, int(Material.CAR))
        fill(variant, body, int(rng.integers(0, VARIANTS)))
        ahead = np.array([np.cos(turn), np.sin(turn)])
        for forward in (0.55, -1.35):
            glass = rectangle(place + forward * ahead, (0.24, 0.66), turn)
            fill(material, glass, int(Material.GLASS))
    under = (world.surface_m - world.ground_m > 0.5) | (world.material == Material.WATER)
    material[under], variant[under] = world.material[under], world.variant[under]
    cars[under] = 0
    return np.asarray(world.surface_m + np.float32(_CAR_HEIGHT_M) * cars, dtype=np.float32)
