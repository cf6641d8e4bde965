"""Buildings: turned rectangles under pitched or flat roofs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mobilegeo.world.canvas import Canvas, rectangle
from mobilegeo.world.materials import Material
from mobilegeo.world.scene import Array, Raster

Roof = Literal["gable", "hip", "flat", "lean"]


@dataclass(frozen=True, eq=False)
class Building:
    """One wing; an L-shaped house has two.

    Attributes:
        centre: float64 [2], plan metres.
        half_m: half the length along the ridge (u) and across it (v).
        angle_rad: direction of the ridge, from x towards y.
        eaves_m: height of the walls.
        rise_m: of the roof above them.
        roof: its shape.
        material, variant: of its covering.
        storey_m: height of a storey, for the windows.
    """

    centre: Array
    half_m: tuple[float, float]
    angle_rad: float
    eaves_m: float
    rise_m: float
    roof: Roof
    material: Material
    variant: int
    storey_m: float = 2.9

    def grown(self, by_m: float) -> Array:
        """float64 [4, 2]: corners of a rectangle larger on all sides."""
        half_u, half_v = self.half_m
        return rectangle(self.centre, (half_u + by_m, half_v + by_m), self.angle_rad)


def raise_building(canvas: Canvas, rng: np.random.Generator, building: Building) -> None:
    """Draws a building with its roof's details and takes its ground."""
    reach = math.hypot(*building.half_m)
    window = canvas.patch(building.centre, reach)
    if window is None:
        return
    where, dx, dy = window
    cosine, sine = np.float32(np.cos(building.angle_rad)), np.float32(np.sin(building.angle_rad))
    u, v = dx * cosine + dy * sine, -dx * sine + dy * cosine
    inside = (np.abs(u) <= building.half_m[0]) & (np.abs(v) <= building.half_m[1])
    if not inside.any():
        return
    floor = float(canvas.ground_m[where][inside].min())
    height = np.float32(floor + building.eaves_m) + _roof_height(building, u, v)
    higher = inside & (height > canvas.surface_m[where])
    canvas.surface_m[where][higher] = height[higher]
    canvas.material[where][higher] = building.material
    canvas.variant[where][higher] = building.variant
    canvas.detail[where][higher] = _engraving(building, rng, u, v)[higher]
    canvas.frames.append((*building.centre, building.angle_rad, floor, building.storey_m))
    canvas.building[where][higher] = len(canvas.frames)
    _furnish(canvas, rng, building, floor)
    canvas.reserve_area(building.grown(1.0))


def _roof_height(building: Building, u: Raster, v: Raster) -> Raster:
    across = 1 - np.abs(v) / building.half_m[1]
    if building.roof == "gable":
        return np.asarray(building.rise_m * across, dtype=np.float32)
    if building.roof == "hip":
        along = (building.half_m[0] - np.abs(u)) / building.half_m[1]
        return np.asarray(building.rise_m * np.minimum(across, along), dtype=np.float32)
    if building.roof == "lean":
        return np.asarray(building.rise_m * (v / building.half_m[1] + 1) / 2, dtype=np.float32)
    edge = np.minimum(building.half_m[0] - np.abs(u), building.half_m[1] - np.abs(v))
    return np.where(edge < 0.4, np.float32(building.rise_m), np.float32(0))


def _engraving(
    building: Building, rng: np.random.Generator, u: Raster, v: Raster
) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Courses of tiles, seams of metal, sheets and stains of flat roofs; int8 [h, w]."""
    phase = rng.uniform(0, 6.3)
    if building.material == Material.ROOF_TILE:
        value = 28 * np.sin(v * (2 * np.pi / 0.9) + phase) + 18 * np.sin(u * 1.7 + phase)
        value[np.abs(v) < 0.2] = 70
    elif building.material == Material.ROOF_METAL:
        value = 40 * np.sin(v * (2 * np.pi / 1.5) + phase) + 22 * np.sin(u * 0.33 + 3 * phase)
    else:
        seams = (np.abs((u + phase) % 6.0) < 0.3) | (np.abs((v + phase) % 9.0) < 0.3)
        value = np.where(seams, -45, 12 * np.sin(0.4 * u + phase) * np.sin(0.3 * v))
    return np.asarray(np.clip(value, -127, 127), dtype=np.int8)


def _furnish(canvas: Canvas, rng: np.random.Generator, building: Building, floor_m: float) -> None:
    """Chimneys, skylights, panels and machines on the roof."""
    if building.roof == "flat":
        _furnish_flat(canvas, rng, building, floor_m)
    elif building.material == Material.ROOF_TILE:
        _furnish_tiles(canvas, rng, building, floor_m)
    elif rng.random() < 0.6:
        for u in np.arange(-0.85, 0.86, 8 / building.half_m[0]) * building.half_m[0]:
            for side in (-1, 1):
                spot = (float(u), side * 0.5 * building.half_m[1], 0.6, 0.28 * building.half_m[1])
                _box(canvas, building, spot, None, (Material.CLUTTER, 20))


def _furnish_tiles(
    canvas: Canvas, rng: np.random.Generator, building: Building, floor_m: float
) -> None:
    if rng.random() < 0.6:
        u = rng.uniform(-0.7, 0.7) * building.half_m[0]
        top = floor_m + building.eaves_m + building.rise_m + 0.8
        _box(canvas, building, (u, 0.4, 0.45, 0.45), top, (Material.CLUTTER, 140))
    side = int(rng.choice([-1, 1]))
    if rng.random() < 0.22:
        _panel(canvas, rng, building, side)
    for _ in range(int(rng.integers(0, 3))):
        u = rng.uniform(-0.8, 0.8) * building.half_m[0]
        spot = (u, -side * 0.5 * building.half_m[1], 0.5, 0.4)
        _box(canvas, building, spot, None, (Material.GLASS, 0))


def _furnish_flat(
    canvas: Canvas, rng: np.random.Generator, building: Building, floor_m: float
) -> None:
    area = building.half_m[0] * building.half_m[1]
    for _ in range(min(14, int(area / 22) + int(rng.integers(0, 3)))):
        u, v = rng.uniform(-0.8, 0.8, 2) * (building.half_m[0], building.half_m[1])
        half_u, half_v = rng.uniform(0.5, 1.6, 2)
        top = floor_m + building.eaves_m + rng.uniform(0.5, 1.6)
        finish = (Material.CLUTTER, int(rng.integers(0, 256)))
        _box(canvas, building, (u, v, half_u, half_v), top, finish)
    if area > 250 and rng.random() < 0.35:
        for u in np.arange(-0.8, 0.81, 3.2 / building.half_m[0]) * building.half_m[0]:
            spot = (float(u), 0.0, 0.7, 0.75 * building.half_m[1])
            _box(canvas, building, spot, None, (Material.SOLAR, 0))


def _panel(canvas: Canvas, rng: np.random.Generator, building: Building, side: int) -> None:
    half_u = building.half_m[0] * rng.uniform(0.35, 0.75)
    spot = (0.0, side * 0.5 * building.half_m[1], half_u, 0.3 * building.half_m[1])
    _box(canvas, building, spot, None, (Material.SOLAR, int(rng.integers(0, 256))))


def _box(
    canvas: Canvas,
    building: Building,
    spot: tuple[float, float, float, float],
    top_m: float | None,
    finish: tuple[Material, int],
) -> None:
    """A rectangle in the building's axes (u, v, half sizes); raised to `top_m` where given."""
    u, v, half_u, half_v = spot
    cosine, sine = np.cos(building.angle_rad), np.sin(building.angle_rad)
    centre = building.centre + np.array([u * cosine - v * sine, u * sine + v * cosine])
    window = canvas.patch(centre, math.hypot(half_u, half_v))
    if window is None:
        return
    where, dx, dy = window
    inside = (np.abs(dx * cosine + dy * sine) <= half_u) & (
        np.abs(dy * cosine - dx * sine) <= half_v
    )
    inside &= canvas.building[where] > 0
    canvas.material[where][inside] = finish[0]
    canvas.variant[where][inside] = finish[1]
    canvas.detail[where][inside] = 0
    if top_m is not None:
        canvas.surface_m[where][inside] = top_m
