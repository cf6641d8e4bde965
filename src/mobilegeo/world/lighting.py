"""Sunlight on a surface model: how squarely it falls, and where something stands in its way."""

from __future__ import annotations

import math

import numpy as np

from mobilegeo.world.scene import Array, Raster

_SOFT_M = 0.5
"""Height over which a shadow's edge fades."""


def sunlight(surface_m: Raster, gsd_m: float, sun: Array) -> Raster:
    """Cosine of the sun's angle of incidence, 1 on level ground, without shadows.

    Args:
        surface_m: float32 [H, W], row 0 in the north.
        gsd_m: side of a cell.
        sun: float64 [3], unit vector (east, north, up) towards the sun.

    Returns:
        float32 [H, W], 0 … 1.6.
    """
    east = _gentler(np.diff(surface_m, axis=1), axis=1) / np.float32(gsd_m)
    south = _gentler(np.diff(surface_m, axis=0), axis=0) / np.float32(gsd_m)
    facing = np.float32(sun[2]) - east * np.float32(sun[0]) + south * np.float32(sun[1])
    facing /= np.sqrt(1 + east * east + south * south)
    return np.asarray(np.clip(facing / np.float32(sun[2]), 0, 1.6), dtype=np.float32)


def _gentler(steps: Raster, axis: int) -> Raster:
    """The smaller of the steps to either neighbour, 0 where they differ in sign.

    Roofs keep their slope up to the eaves, where a central difference would see the wall.
    """
    low = np.concatenate([np.take(steps, [0], axis), steps], axis)
    high = np.concatenate([steps, np.take(steps, [-1], axis)], axis)
    return np.where(
        low * high > 0, np.copysign(np.minimum(np.abs(low), np.abs(high)), low), np.float32(0)
    )


def cast_shadow(surface_m: Raster, gsd_m: float, sun: Array) -> Raster:
    """How far each cell lies in shadow: float32 [H, W], 0 lit … 1 dark.

    The height of the shadow above a cell is the maximum over the path to the sun of the surface
    there less the sun ray's climb. Each pass doubles the length of the path looked at; shifts are
    rounded to whole cells (an error of at most half a cell a pass).
    """
    level = math.hypot(sun[0], sun[1])
    climb = sun[2] / max(level, 1e-6)
    reach_px = float(np.ptp(surface_m)) / climb / gsd_m
    direction = np.array([sun[0], -sun[1]]) / max(level, 1e-6)
    shadow = _shifted_max(surface_m - 1e6, surface_m, direction, 1.0, climb * gsd_m)
    step = 1.0
    while step < reach_px:
        shadow = _shifted_max(shadow, shadow, direction, step, climb * gsd_m)
        step *= 2
    return np.asarray(np.clip((shadow - surface_m) / _SOFT_M, 0, 1), dtype=np.float32)


def _shifted_max(
    here: Raster, there: Raster, direction: Array, step_px: float, climb_m: float
) -> Raster:
    """Maximum of `here` and of what lies a step towards the sun, lowered by the ray's climb."""
    dx, dy = (round(component * step_px) for component in direction)
    result = here.copy()
    height, width = here.shape
    to = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
    source = (slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx)))
    if abs(dy) < height and abs(dx) < width:
        travelled = np.float32(climb_m * math.hypot(dx, dy))
        np.maximum(result[to], there[source] - travelled, out=result[to])
    return result
