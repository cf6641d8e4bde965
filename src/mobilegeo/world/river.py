"""A river in its valley."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobilegeo.world.canvas import Canvas
from mobilegeo.world.materials import Material
from mobilegeo.world.noise import fractal
from mobilegeo.world.plants import plant
from mobilegeo.world.scene import Array, Raster

_CELL_M = 4.0
_RELIEF_M = 7.0
_BED_M = 2.5
_VALLEY_M = 160.0


@dataclass(frozen=True, eq=False)
class River:
    """A winding river.

    Attributes:
        line: float64 [N, 2], plan metres, from beyond one edge to beyond another.
        width_m: from bank to bank.
    """

    line: Array
    width_m: float


def draw_course(rng: np.random.Generator, size_m: tuple[float, float]) -> River:
    """A course past the outskirts of an area of that width and height."""
    steps = np.linspace(-0.15, 1.15, 160)
    offset = rng.choice([rng.uniform(0.12, 0.30), rng.uniform(0.70, 0.88)])
    swing = sum(
        rng.uniform(0.010, 0.045) * np.sin(2 * np.pi * k * steps + rng.uniform(0, 6.3))
        for k in (1.1, 1.9, 3.3, 5.1)
    )
    line = np.stack([steps, offset + rng.uniform(-0.15, 0.15) * (steps - 0.5) + swing], axis=1)
    if rng.random() < 0.5:
        line = line[:, ::-1]
    return River(line * np.array(size_m), rng.uniform(13, 22))


def shape_ground(
    rng: np.random.Generator, shape: tuple[int, int], gsd_m: float, river: River
) -> Raster:
    """Gentle hills that sink to the river; float32 [H, W], metres above its water."""
    import cv2

    small = tuple(max(2, round(side * gsd_m / _CELL_M)) for side in shape)
    hills = fractal(rng, (small[0], small[1]), {420 / _CELL_M: 1.0, 180 / _CELL_M: 0.3})
    away = np.full(small, 255, np.uint8)
    points = np.round(river.line / _CELL_M * 16).astype(np.int32)
    cv2.polylines(away, [points], False, 0, 1, shift=4)
    distance = cv2.distanceTransform(away, cv2.DIST_L2, 5) * _CELL_M - river.width_m / 2
    valley = np.clip(distance / _VALLEY_M, 0, 1)
    above = np.logaddexp(0, hills + 1.2)  # positive, and close to its argument where that is large
    height = _BED_M + _RELIEF_M * above * valley * valley * (3 - 2 * valley)
    full = cv2.resize(height, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(full, dtype=np.float32)


def draw_river(canvas: Canvas, rng: np.random.Generator, river: River) -> None:
    """Banks, water and the trees along it; roads are drawn later and bridge it."""
    import cv2

    canvas.stroke(river.line, river.width_m + 9, Material.BANK, int(rng.integers(0, 256)))
    canvas.stroke(river.line, river.width_m, Material.WATER, int(rng.integers(0, 256)))
    canvas.reserve(river.line, river.width_m + 12)
    wet = np.zeros(canvas.material.shape, np.uint8)
    points = np.round(river.line / canvas.gsd_m * 16).astype(np.int32)
    cv2.polylines(wet, [points], False, 1, round(river.width_m / canvas.gsd_m), shift=4)
    canvas.ground_m[wet > 0] = 0.0
    canvas.surface_m[wet > 0] = 0.0
    for point in river.line:
        for _ in range(3):
            place = point + rng.normal(0, river.width_m * 0.6, 2)
            plant(canvas, rng, place, rng.uniform(1.8, 5.0))
