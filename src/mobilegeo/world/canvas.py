"""The rasters of a world while it is being drawn, and the strokes that draw on them.

Coordinates are plan metres: x east and y *south* of the upper-left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mobilegeo.world.materials import Material
from mobilegeo.world.scene import Array, Raster

_SHIFT = 4
FREE_CELL_M = 1.0
"""Side of the cells in which occupancy is kept."""


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree to be planted.

    Attributes:
        place: float64 [2].
        radius_m: of its crown.
        height_m: of its top.
        conifer: whether it is one.
    """

    place: Array
    radius_m: float
    height_m: float
    conifer: bool


@dataclass(eq=False)
class Canvas:
    """Rasters under construction, all [H, W].

    Attributes:
        gsd_m: metres a pixel.
        ground_m: float32, the bare ground.
        surface_m: float32, with everything that stands on it.
        material: uint8, a `Material`.
        variant: uint8, tells objects of one material apart.
        detail: int8, relative brightness engraved in the objects, 127 = all of it.
        building: uint16, 0 or the number of the building.
        taken: uint8 [h, w] in cells of 1 m: nothing more may be built here.
        frames: of the buildings, as in `Facades`.
        trees: what will be planted.
        slots: (x, y, angle in radians) where a car may stand.
    """

    gsd_m: float
    ground_m: Raster
    surface_m: Raster
    material: NDArray[np.uint8]
    variant: NDArray[np.uint8]
    detail: NDArray[np.int8]
    building: NDArray[np.uint16]
    taken: NDArray[np.uint8]
    frames: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    slots: list[tuple[float, float, float]] = field(default_factory=list)

    @classmethod
    def blank(cls, ground_m: Raster, gsd_m: float) -> Canvas:
        """Bare meadow on the given ground."""
        shape = ground_m.shape
        cells = tuple(int(np.ceil(side * gsd_m / FREE_CELL_M)) for side in shape)
        return cls(
            gsd_m=gsd_m,
            ground_m=ground_m,
            surface_m=ground_m.copy(),
            material=np.zeros(shape, np.uint8),
            variant=np.zeros(shape, np.uint8),
            detail=np.zeros(shape, np.int8),
            building=np.zeros(shape, np.uint16),
            taken=np.zeros(cells, np.uint8),
        )

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height."""
        height, width = self.material.shape
        return width * self.gsd_m, height * self.gsd_m

    def fill(self, outline: Array, material: Material, variant: int) -> None:
        """Covers a polygon, float64 [N, 2]."""
        import cv2

        points = [self._fixed(outline)]
        cv2.fillPoly(self.material, points, int(material), shift=_SHIFT)
        cv2.fillPoly(self.variant, points, variant, shift=_SHIFT)

    def stroke(self, line: Array, width_m: float, material: Material, variant: int) -> None:
        """Draws a polyline, float64 [N, 2], with round ends."""
        import cv2

        points, width = [self._fixed(line)], max(1, round(width_m / self.gsd_m))
        cv2.polylines(self.material, points, False, int(material), width, shift=_SHIFT)
        cv2.polylines(self.variant, points, False, variant, width, shift=_SHIFT)

    def reserve(self, line: Array, width_m: float) -> None:
        """Keeps a strip along a polyline free of buildings and trees."""
        import cv2

        points = [self._fixed(line, FREE_CELL_M)]
        width = max(1, round(width_m / FREE_CELL_M))
        cv2.polylines(self.taken, points, False, 1, width, shift=_SHIFT)

    def reserve_area(self, outline: Array) -> None:
        """Keeps a polygon free of buildings and trees."""
        import cv2

        cv2.fillPoly(self.taken, [self._fixed(outline, FREE_CELL_M)], 1, shift=_SHIFT)

    def is_free(self, outline: Array) -> bool:
        """Whether nothing is built on the (convex) quadrilateral, float64 [4, 2], or off it."""
        a, b, c, d = outline
        steps = np.linspace(0, 1, max(4, int(np.ptp(outline, axis=0).max() / 2.5)))
        p, q = (grid.ravel()[:, None] for grid in np.meshgrid(steps, steps))
        points = (1 - q) * ((1 - p) * a + p * b) + q * ((1 - p) * d + p * c)
        cells = np.floor(points / FREE_CELL_M).astype(int)
        height, width = self.taken.shape
        if (cells < 0).any() or (cells[:, 0] >= width).any() or (cells[:, 1] >= height).any():
            return False
        return not self.taken[cells[:, 1], cells[:, 0]].any()

    def material_at(self, point: Array) -> Material | None:
        """The material at a point; `None` beyond the edge."""
        row, column = math.floor(point[1] / self.gsd_m), math.floor(point[0] / self.gsd_m)
        height, width = self.material.shape
        if not (0 <= row < height and 0 <= column < width):
            return None
        return Material(int(self.material[row, column]))

    def patch(
        self, centre: Array, radius_m: float
    ) -> tuple[tuple[slice, slice], Raster, Raster] | None:
        """A square window of the rasters around a point.

        Returns:
            (slices into the rasters, dx, dy): float32 [h, w] metres from the point; `None` where
            the window lies beyond the edge.
        """
        height, width = self.material.shape
        left, top = (max(0, int((c - radius_m) / self.gsd_m)) for c in centre)
        right = min(width, int((centre[0] + radius_m) / self.gsd_m) + 2)
        bottom = min(height, int((centre[1] + radius_m) / self.gsd_m) + 2)
        if right <= left or bottom <= top:
            return None
        xs = (np.arange(left, right, dtype=np.float32) + 0.5) * self.gsd_m - centre[0]
        ys = (np.arange(top, bottom, dtype=np.float32) + 0.5) * self.gsd_m - centre[1]
        dx, dy = np.meshgrid(xs.astype(np.float32), ys.astype(np.float32))
        return (slice(top, bottom), slice(left, right)), dx, dy

    def _fixed(self, points: Array, cell_m: float | None = None) -> NDArray[np.int32]:
        scaled = points / (cell_m or self.gsd_m) - 0.5
        return np.asarray(np.round(scaled * (1 << _SHIFT)), dtype=np.int32)


def rectangle(centre: Array, half_m: Array | tuple[float, float], angle_rad: float) -> Array:
    """float64 [4, 2]: corners of a turned rectangle.

    Args:
        centre: float64 [2].
        half_m: half its sides, along `angle_rad` (from x to y) and across.
        angle_rad: its direction.
    """
    along = np.array([np.cos(angle_rad), np.sin(angle_rad)])
    across = np.array([-along[1], along[0]])
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    u, v = signs[:, :1] * half_m[0], signs[:, 1:] * half_m[1]
    return np.asarray(centre + u * along + v * across)
