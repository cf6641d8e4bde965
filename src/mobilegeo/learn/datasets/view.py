"""Geometry of a simulated view: which ground each of its pixels shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.learn.datasets.sources import Source

Array = NDArray[np.float32]
RELIEF_STEPS = 3
"""Fixed-point steps for relief displacement; each shrinks the error by about height / agl."""


@dataclass(frozen=True, slots=True)
class Square:
    """A north-up square on the ground of a source, metres, y down.

    Attributes:
        x_m, y_m: its centre.
        side_m: its side.
    """

    x_m: float
    y_m: float
    side_m: float


@dataclass(frozen=True, slots=True)
class ViewError:
    """How far a normalised photo is from the square it is meant to show.

    Attributes:
        shift: (right, down) of its centre, as a fraction of the side.
        heading_deg: rotation left over, clockwise.
        scale: ground side shown, relative to the side meant.
        corners: float32 [4, 2], displacement of the corners (top-left, top-right, bottom-right,
            bottom-left) as fractions of the side: tilt that was not removed.
    """

    shift: tuple[float, float]
    heading_deg: float
    scale: float
    corners: Array

    @classmethod
    def none(cls) -> ViewError:
        """A perfect view."""
        return cls((0.0, 0.0), 0.0, 1.0, np.zeros((4, 2), np.float32))

    @classmethod
    def draw(cls, rng: np.random.Generator) -> ViewError:
        """Errors as telemetry leaves them: ±12.5 % of place, 4° of heading, ±10 % of scale."""
        shift_x, shift_y = rng.uniform(-0.125, 0.125, 2)
        return cls(
            (float(shift_x), float(shift_y)),
            float(np.clip(rng.normal(0.0, 4.0), -12.0, 12.0)),
            float(np.exp(np.clip(rng.normal(0.0, 0.05), -0.1, 0.1))),
            rng.normal(0.0, 0.012, (4, 2)).astype(np.float32),
        )


def pixel_to_ground(square: Square, error: ViewError, size_px: int) -> NDArray[np.float64]:
    """Homography from pixels (u right, v down, 0 … size_px) to the source's metres.

    Returns:
        float64 [3, 3].
    """
    unit = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], np.float32)
    jitter = cv2.getPerspectiveTransform(unit, unit + error.corners).astype(np.float64)
    to_unit = np.array([[1 / size_px, 0, -0.5], [0, 1 / size_px, -0.5], [0, 0, 1]])
    angle = math.radians(error.heading_deg)
    side = square.side_m * error.scale
    cos, sin = side * math.cos(angle), side * math.sin(angle)
    x = square.x_m + error.shift[0] * square.side_m
    y = square.y_m + error.shift[1] * square.side_m
    placed = np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])
    homography: NDArray[np.float64] = placed @ jitter @ to_unit
    return homography


def ground_grid(homography: NDArray[np.float64], size_px: int) -> Array:
    """Ground under every pixel centre, float32 [size, size, 2] (x, y) in metres."""
    axis = np.arange(size_px) + 0.5
    u, v = np.meshgrid(axis, axis)
    points = np.stack([u, v, np.ones_like(u)], axis=-1) @ homography.T
    grid: Array = (points[..., :2] / points[..., 2:]).astype(np.float32)
    return grid


def sample_height(source: Source, grid: Array) -> Array:
    """Height above the view's median ground, float32 [size, size], metres."""
    if source.height_m is None:
        return np.zeros(grid.shape[:2], np.float32)
    pixels = grid / np.float32(source.gsd_m) - np.float32(0.5)
    height = cv2.remap(
        source.height_m, pixels, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    result: Array = (height - np.median(height)).astype(np.float32)
    return result


def central_relief(
    source: Source, grid: Array, camera_m: tuple[float, float], agl_m: float
) -> Array:
    """Moves ground points so that the view shows relief as a camera at `camera_m` does.

    A point of height z at X appears on the ground plane at N + (X − N) · h / (h − z), N the
    camera's foot and h its height. Solved for X by fixed point; occlusion is ignored, so the
    hidden foot of a wall is smeared over a few pixels.
    """
    if source.height_m is None:
        return grid
    foot = np.array(camera_m, np.float32)
    moved = grid
    for _ in range(RELIEF_STEPS):
        height = np.clip(sample_height(source, moved), -0.3 * agl_m, 0.5 * agl_m)
        moved = foot + (grid - foot) * (1.0 - height / np.float32(agl_m))[..., None]
    return moved.astype(np.float32, copy=False)


def leaning_relief(source: Source, grid: Array, lean: tuple[float, float]) -> Array:
    """The same for a camera infinitely far away: metres of displacement a metre of height."""
    if source.height_m is None:
        return grid
    moved = grid
    for _ in range(RELIEF_STEPS):
        moved = grid - sample_height(source, moved)[..., None] * np.array(lean, np.float32)
    return moved.astype(np.float32, copy=False)


def smooth_field(rng: np.random.Generator, size_px: int, cells: int, channels: int = 1) -> Array:
    """Smooth unit-normal noise, float32 [size, size, channels]."""
    coarse = rng.normal(0.0, 1.0, (cells, cells, channels)).astype(np.float32)
    field = cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    smooth: Array = field.reshape(size_px, size_px, channels).astype(np.float32, copy=False)
    return smooth


def sample_image(source: Source, grid: Array) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Colours at ground points, from the pyramid level just finer than the view.

    Args:
        source: imagery.
        grid: float32 [size, size, 2], metres.

    Returns:
        uint8 [size, size, 3] RGB, black outside; bool [size, size], inside the source.
    """
    size = grid.shape[0]
    view_gsd = float(np.linalg.norm(grid[-1, -1] - grid[0, 0])) / (size * math.sqrt(2.0))
    finer = math.floor(math.log2(max(view_gsd / source.gsd_m, 1.0)) + 0.25)
    level = min(finer, len(source.pyramid) - 1)
    image = source.pyramid[level]
    gsd = source.gsd_m * 2**level
    pixels = grid / np.float32(gsd) - np.float32(0.5)
    colours = cv2.remap(image, pixels, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    height, width = image.shape[:2]
    inside: NDArray[np.bool_] = (
        (pixels[..., 0] >= 0)
        & (pixels[..., 1] >= 0)
        & (pixels[..., 0] <= width - 1)
        & (pixels[..., 1] <= height - 1)
    )
    return colours.astype(np.uint8, copy=False), inside


def photo_mask(rng: np.random.Generator, size_px: int, least: float = 0.55) -> NDArray[np.bool_]:
    """Where a photo at any heading covers the normalised square, bool [size, size].

    The photo is a 4:3, 3:2 or 16:9 rectangle, not quite centred; at least `least` is covered.
    """
    for _ in range(50):
        aspect = float(rng.choice([4 / 3, 4 / 3, 3 / 2, 16 / 9]))
        width = float(rng.uniform(0.95, 1.6)) * size_px
        angle = float(rng.uniform(0.0, 360.0))
        centre = size_px * (0.5 + rng.normal(0.0, 0.02, 2))
        box = cv2.boxPoints(((float(centre[0]), float(centre[1])), (width, width / aspect), angle))
        mask = np.zeros((size_px, size_px), np.uint8)
        cv2.fillConvexPoly(mask, np.rint(box).astype(np.int32), 1)
        if mask.mean() >= least:
            return mask.astype(bool)
    return np.ones((size_px, size_px), bool)
