"""What the renderer looks at: an orthophoto draped over a surface model.

All arrays of a scene cover the same extent; they may differ in resolution. The frame is any flat
metric one: x east, y north, row 0 of every array at the north edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError

Image = NDArray[np.uint8]
Raster = NDArray[np.float32]
Array = NDArray[np.float64]

_MAX_SIDE_PX = 32_000
"""OpenCV addresses the source of a warp with 16-bit integers."""

_COARSEST_PX = 64
_GROUND_CELL_M = 2.0
_WIDEST_ROOF_M = 70.0


@dataclass(frozen=True, eq=False)
class Facades:
    """Upright walls of buildings, so that a renderer need not smear the roof over them.

    Attributes:
        ids: uint16 [H, W], 0 where no building is near, else a row of the arrays below plus 1;
            grown by a cell beyond the roofs.
        frames: float32 [N, 5]: x and y of the centre in metres from the scene's upper-left corner
            (x east, y south), direction of the long axis in radians (from east towards south),
            and height of the floor and of a storey in metres.
        colours: uint8 [N, 3]: RGB of the plaster.
    """

    ids: NDArray[np.uint16]
    frames: Raster
    colours: Image


@dataclass(frozen=True, eq=False)
class Scene:
    """An orthophoto with the heights of what it shows.

    Attributes:
        ortho: uint8 [H, W, 3] RGB, seen from straight above.
        surface_m: float32 [h, w], height of the highest thing in each cell, roofs and crowns
            included, metres above any datum.
        gsd_m: metres a pixel of the ortho.
        west_m, north_m: the upper-left corner in the frame.
        ground_m: float32, height of the bare ground; estimated from the surface when left out.
        facades: walls of the buildings, where they are known.
    """

    ortho: Image
    surface_m: Raster
    gsd_m: float
    west_m: float = 0.0
    north_m: float = 0.0
    ground_m: Raster | None = None
    facades: Facades | None = None

    def __post_init__(self) -> None:
        if self.ortho.ndim != 3 or self.ortho.shape[2] != 3 or self.ortho.dtype != np.uint8:
            raise UsageError(
                f"ortho {self.ortho.dtype} {self.ortho.shape}",
                "not an RGB image",
                "give uint8 [H, W, 3]",
            )
        if self.surface_m.ndim != 2 or not np.isfinite(self.surface_m).all():
            raise UsageError(
                f"surface {self.surface_m.shape}",
                "not a raster of finite heights",
                "give float32 [h, w] without holes",
            )
        if max(self.ortho.shape[:2] + self.surface_m.shape) > _MAX_SIDE_PX:
            raise UsageError(
                f"ortho {self.ortho.shape}, surface {self.surface_m.shape}",
                f"a side exceeds {_MAX_SIDE_PX} px",
                "cut the scene into parts",
            )
        if not self.gsd_m > 0:
            raise UsageError(f"gsd_m {self.gsd_m}", "not positive", "give metres a pixel")

    @property
    def width_m(self) -> float:
        """Extent from west to east."""
        return float(self.ortho.shape[1] * self.gsd_m)

    @property
    def height_m(self) -> float:
        """Extent from north to south."""
        return float(self.ortho.shape[0] * self.gsd_m)

    def index_matrix(self, shape: tuple[int, ...]) -> Array:
        """float64 [3, 3]: (x, y, 1) of the frame to (column, row, 1) of an array of that shape.

        Integer results are centres of cells, as OpenCV has them.
        """
        per_x, per_y = shape[1] / self.width_m, shape[0] / self.height_m
        return np.array(
            [
                [per_x, 0.0, -self.west_m * per_x - 0.5],
                [0.0, -per_y, self.north_m * per_y - 0.5],
                [0.0, 0.0, 1.0],
            ]
        )

    @cached_property
    def pyramid(self) -> tuple[Image, ...]:
        """The ortho at full, half, quarter … resolution, each the mean of the one before."""
        import cv2

        levels = [self.ortho]
        while min(levels[-1].shape[:2]) > 2 * _COARSEST_PX:
            height, width = levels[-1].shape[:2]
            size = ((width + 1) // 2, (height + 1) // 2)
            levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA))
        return tuple(levels)

    @cached_property
    def terrain_m(self) -> Raster:
        """float32 [h, w]: the ground's height, as given or estimated."""
        if self.ground_m is not None:
            return self.ground_m
        return estimate_ground(self.surface_m, self.width_m / self.surface_m.shape[1])

    @cached_property
    def crest_m(self) -> Raster:
        """float32 [h, w]: the highest surface among each cell and its eight neighbours."""
        import cv2

        return np.asarray(cv2.dilate(self.surface_m, np.ones((3, 3), np.uint8)), dtype=np.float32)

    def ground_at(self, x_m: float, y_m: float) -> float:
        """Height of the ground at one point, bilinear; beyond the edge that of the edge."""
        column, row, _ = self.index_matrix(self.terrain_m.shape) @ (x_m, y_m, 1.0)
        return _bilinear(self.terrain_m, column, row)


def estimate_ground(surface_m: Raster, cell_m: float) -> Raster:
    """The bare ground under a surface model, by morphological opening.

    Wrong where a roof or wood is wider than 70 m in every direction (it is taken for ground) and
    on hilltops narrower than that (they are cut off). On even ground it is exact.

    Args:
        surface_m: float32 [h, w] heights.
        cell_m: side of its cells, metres.

    Returns:
        float32 [a, b]: the same extent in cells of about 2 m.
    """
    import cv2

    factor = max(1, round(_GROUND_CELL_M / cell_m))
    lowest = cv2.erode(surface_m, np.ones((factor, factor), np.uint8))
    size = tuple(max(1, round(side / factor)) for side in surface_m.shape[::-1])
    coarse = cv2.resize(lowest, size, interpolation=cv2.INTER_NEAREST)
    reach = max(1, round(_WIDEST_ROOF_M / (cell_m * factor)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    opened = cv2.morphologyEx(coarse, cv2.MORPH_OPEN, kernel)
    return np.asarray(cv2.GaussianBlur(opened, (0, 0), reach / 6), dtype=np.float32)


def _bilinear(raster: Raster, column: float, row: float) -> float:
    column = min(max(column, 0.0), raster.shape[1] - 1.0)
    row = min(max(row, 0.0), raster.shape[0] - 1.0)
    left, top = int(column), int(row)
    right, bottom = min(left + 1, raster.shape[1] - 1), min(top + 1, raster.shape[0] - 1)
    a, b = column - left, row - top
    upper = (1 - a) * raster[top, left] + a * raster[top, right]
    lower = (1 - a) * raster[bottom, left] + a * raster[bottom, right]
    return float((1 - b) * upper + b * lower)
