"""From a photo to what the map would show, over the map's own relief instead of a plane.

A surface model tells the height of every pixel of the map. Each is projected into the photo as a
point in space, so roofs and crowns land where the map has them instead of leaning outwards; what
something nearer hides is not covered. The map is taken for a true orthophoto: one in which houses
lean themselves is matched no better than by a plane.

The camera's height is counted from the ground below it, as `Surface.ground_m` finds it.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GRAZING_DEG, GroundView
from mobilegeo.locate.normalise import GroundPatch, shrink_to
from mobilegeo.maps.tiling import Extent

Raster = NDArray[np.float32]

HIDING_REACH_M = 80.0
"""Things farther from a point than this do not hide it: at the most grazing angle that counts,
what is higher than 26 m above the point could."""

CLEARANCE_M = 1.0
"""A line of sight has to run this deep below the surface to be blocked, as crowns and the edges of
a surface model are ragged."""


PAINT_REACH_M = 2.0
"""Spread of the blur from which hidden ground gets its colour."""


class SurfaceModel(Protocol):
    """Heights of what the map shows; see `maps.surface.Surface`."""

    def heights(self, box: Extent) -> tuple[Raster, Extent]:
        """Heights of a box of the frame, NaN without data, and the box that they cover."""
        ...

    def ground_m(self, x_m: float, y_m: float) -> float | None:
        """Height of the bare ground at a point."""
        ...


def project_relief(
    image: NDArray[np.uint8],
    view: GroundView,
    surface: SurfaceModel,
    place: tuple[float, float],
    *,
    gsd_m: float,
    size_px: int,
    centre: tuple[float, float],
) -> GroundPatch | None:
    """Projects a photo onto the surface of the map around a place.

    Args:
        image: uint8 [H, W, 3] RGB.
        view: the pose and lens; its pixels are scaled to the image's size.
        surface: heights of the map.
        place: the point below the camera, x and y in the map's frame. Being wrong by a few metres
            does little harm.
        gsd_m: metres a pixel of the patch.
        size_px: side of the patch.
        centre: east and north of the patch's centre, metres from the point below the camera.

    Returns:
        The patch, or `None` where the surface knows nothing. Holes in the surface are taken as
        level with the ground below the camera.
    """
    import cv2

    height, width = image.shape[:2]
    view = view.resized(width, height)
    ground_m = _reference_m(surface, place, centre)
    if ground_m is None:
        return None
    cells = _Cells(surface, ground_m, place, centre, gsd_m * size_px / 2)
    steps = (np.arange(size_px, dtype=np.float32) + 0.5 - size_px / 2) * gsd_m
    east, north = np.meshgrid(float(centre[0]) + steps, float(centre[1]) - steps)
    above = cells.sample(cells.above_m, east, north)
    visible = cells.sample(cells.visible_from(view.agl_m), east, north) > 0.5
    u, v, ahead = _to_image(view, east, north, above - float(view.agl_m))
    small, (shrink_u, shrink_v) = shrink_to(image, view, gsd_m)
    warped = cv2.remap(
        small,
        u * shrink_u - 0.5,
        v * shrink_v - 0.5,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    reach = view.agl_m * math.tan(math.radians(GRAZING_DEG))
    inside = (
        ahead & (u >= 0) & (u <= width) & (v >= 0) & (v <= height)
        & (east**2 + north**2 <= reach**2)
    )  # fmt: skip
    valid, hidden = inside & visible, inside & ~visible
    if hidden.any():
        warped, near = _painted(warped, valid, gsd_m)
        hidden &= near
    warped[~(valid | hidden)] = 0
    return GroundPatch(warped, valid, gsd_m, centre[0], centre[1], hidden)


def _painted(
    image: NDArray[np.uint8], valid: NDArray[np.bool_], gsd_m: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The image with all that is not valid in the mean colour of what is valid around it.

    Holes of one flat colour would have edges of their own, which a network sees.

    Returns:
        uint8 [S, S, 3], and bool [S, S]: where something valid is near enough.
    """
    import cv2

    weight = valid.astype(np.float32)
    spread_px = PAINT_REACH_M / gsd_m
    total = cv2.GaussianBlur(image * weight[..., None], (0, 0), spread_px)
    share = cv2.GaussianBlur(weight, (0, 0), spread_px)
    near = share > 1e-4
    mean = total / np.maximum(share, 1e-4)[..., None]
    painted = np.where(valid[..., None], image, np.rint(mean)).astype(np.uint8)
    return painted, near


def _reference_m(
    surface: SurfaceModel, place: tuple[float, float], centre: tuple[float, float]
) -> float | None:
    """Height of the ground below the camera, or of that in view where the map ends before."""
    below = surface.ground_m(*place)
    if below is not None:
        return below
    return surface.ground_m(place[0] + centre[0], place[1] + centre[1])


def _to_image(
    view: GroundView, east: Raster, north: Raster, up: Raster
) -> tuple[Raster, Raster, NDArray[np.bool_]]:
    """Pixels of points in space, float32 [S, S] each, and which lie in front of the camera."""
    u, v, w = (
        row[0] * east + row[1] * north + row[2] * up
        for row in view.space_to_image.astype(np.float32)
    )
    ahead = (w > 1e-3) & (up < 0)
    w = np.where(ahead, w, 1.0).astype(np.float32)
    return u / w, v / w, ahead


class _Cells:
    """The surface under a patch and around it, relative to the camera.

    Attributes:
        above_m: float32 [h, w], heights above the ground below the camera; 0 in holes.
    """

    def __init__(
        self,
        surface: SurfaceModel,
        ground_m: float,
        place: tuple[float, float],
        centre: tuple[float, float],
        half_m: float,
    ) -> None:
        x, y = place[0] + centre[0], place[1] + centre[1]
        reach = half_m + HIDING_REACH_M
        heights, box = surface.heights(Extent(x - reach, y - reach, x + reach, y + reach))
        self.above_m: Raster = np.nan_to_num(heights - float(ground_m), nan=0.0)
        self.cell_m = float(box.width_m / heights.shape[1])
        self._west, self._north = float(box.west_m - place[0]), float(box.north_m - place[1])

    def sample(self, values: Raster, east: Raster, north: Raster) -> Raster:
        """Values between cells, bilinear, at points relative to the camera."""
        import cv2

        column = (east - self._west) / self.cell_m - 0.5
        row = (self._north - north) / self.cell_m - 0.5
        sampled = cv2.remap(values, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(sampled, dtype=np.float32)

    def visible_from(self, agl_m: float) -> Raster:
        """1 where the line of sight from the camera reaches a cell, else 0; float32 [h, w].

        The line is followed from each cell towards the camera in steps of a cell.
        """
        rows, columns = self.above_m.shape
        east, north = np.meshgrid(
            self._west + (np.arange(columns, dtype=np.float32) + 0.5) * self.cell_m,
            self._north - (np.arange(rows, dtype=np.float32) + 0.5) * self.cell_m,
        )
        distance = np.maximum(np.hypot(east, north), 1e-3)
        climb = (float(agl_m) - self.above_m) / distance
        hidden = np.zeros(self.above_m.shape, dtype=np.bool_)
        highest = float(self.above_m.max())
        for number in range(1, math.ceil(HIDING_REACH_M / self.cell_m) + 1):
            ahead = number * self.cell_m
            line = self.above_m + climb * ahead
            if line.min() > highest:
                break
            back = np.maximum(1 - ahead / distance, 0)
            over = self.sample(self.above_m, east * back, north * back)
            hidden |= over > line + CLEARANCE_M
        return (~hidden).astype(np.float32)
