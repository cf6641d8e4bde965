"""From a photo to what the map would show: north-up, at the map's scale, on the ground plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GRAZING_DEG, GroundView

FINER = 1.25
"""Photos are averaged down to this many pixels a pixel of the patch along each side: a little finer
than the patch, so that the warp's interpolation does not blur it again."""

NEAR_ENOUGH = 0.875
"""A photo is not made smaller by less than this factor, which would only blur it."""

MIN_SIDE_PX = 8
"""Photos are not made smaller than this."""

_TO_CENTRES = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
"""Continuous pixels (corner origin) to OpenCV's, whose integers are pixel centres."""


@dataclass(frozen=True, slots=True)
class GroundPatch:
    """A square of ground, north-up, as a photo shows it.

    Attributes:
        image: uint8 [S, S, 3] RGB; 0 where the photo does not reach.
        valid: bool [S, S], where it shows the ground.
        gsd_m: metres a pixel.
        east_m, north_m: the patch's centre relative to the point below the camera.
        hidden: bool [S, S], ground behind something nearer, where the image is painted in from
            around; `None` when nothing is known of that.
    """

    image: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    gsd_m: float
    east_m: float
    north_m: float
    hidden: NDArray[np.bool_] | None = None

    @property
    def coloured(self) -> NDArray[np.bool_]:
        """Where the image holds a colour, seen or painted in, bool [S, S]."""
        return self.valid if self.hidden is None else self.valid | self.hidden

    @property
    def coverage(self) -> float:
        """Share of the patch that the photo covers, 0 … 1."""
        return float(self.valid.mean())


def project(
    image: NDArray[np.uint8],
    view: GroundView,
    *,
    gsd_m: float,
    size_px: int,
    centre: tuple[float, float],
) -> GroundPatch:
    """Projects a photo onto the ground plane.

    Args:
        image: uint8 [H, W, 3] RGB.
        view: the pose and lens; its pixels are scaled to the image's size.
        gsd_m: metres a pixel of the patch.
        size_px: side of the patch.
        centre: east and north of the patch's centre, metres from the point below the camera.

    Returns:
        The patch. Ground beyond `GRAZING_DEG` from straight down counts as not covered.
    """
    import cv2

    height, width = image.shape[:2]
    view = view.resized(width, height)
    patch_to_ground = _patch_to_ground(gsd_m, size_px, centre)
    patch_to_image = view.ground_to_image @ patch_to_ground
    image, shrink = shrink_to(image, view, gsd_m)
    to_pixels = np.diag([shrink[0], shrink[1], 1.0]) @ patch_to_image
    warped = cv2.warpPerspective(
        image,
        _TO_CENTRES @ to_pixels @ np.linalg.inv(_TO_CENTRES),
        (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    valid = _coverage(view, patch_to_ground, patch_to_image, size_px)
    covered = np.asarray(cv2.copyTo(warped, valid.view(np.uint8)), np.uint8)
    return GroundPatch(covered, valid, gsd_m, centre[0], centre[1])


def _patch_to_ground(
    gsd_m: float, size_px: int, centre: tuple[float, float]
) -> NDArray[np.float64]:
    half = gsd_m * size_px / 2
    return np.array(
        [[gsd_m, 0.0, centre[0] - half], [0.0, -gsd_m, centre[1] + half], [0.0, 0.0, 1.0]]
    )


def shrink_to(
    image: NDArray[np.uint8], view: GroundView, gsd_m: float
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Averages a photo much finer than the patch down, as the warp itself only interpolates.

    By whole pixels as far as possible and by interpolation, of which every pixel has its part, for
    what remains: a fifth of the time that averaging over parts of pixels takes.

    Returns:
        The photo and the factors, at most 1, by which its width and height were multiplied.
    """
    import cv2

    scale = needed_share(view, gsd_m)
    if scale > NEAR_ENOUGH:
        return image, (1.0, 1.0)
    height, width = image.shape[:2]
    whole = max(1, min(int(1 / scale), min(height, width) // MIN_SIDE_PX))
    rows, columns = height // whole, width // whole
    if whole > 1:
        cut = image[: rows * whole, : columns * whole]
        image = np.asarray(cv2.resize(cut, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    if scale * whole > NEAR_ENOUGH:
        return image, (1 / whole, 1 / whole)
    size = tuple(max(MIN_SIDE_PX, round(scale * whole * side)) for side in (columns, rows))
    small: NDArray[np.uint8] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return small, (size[0] / (columns * whole), size[1] / (rows * whole))


def needed_share(view: GroundView, gsd_m: float) -> float:
    """Share of a photo's resolution, along a side, that is left for a patch at `gsd_m`, 0 … 1."""
    return min(1.0, FINER * _nearest_gsd_m(view) / gsd_m)


def _nearest_gsd_m(view: GroundView) -> float:
    """Metres a pixel at the image centre, or straight down where the centre shows no ground."""
    at_centre = view.centre_gsd_m
    if at_centre is not None:
        return at_centre
    return 2 * view.agl_m * math.tan(math.radians(view.hfov_deg) / 2) / view.width_px


def _coverage(
    view: GroundView,
    patch_to_ground: NDArray[np.float64],
    patch_to_image: NDArray[np.float64],
    size_px: int,
) -> NDArray[np.bool_]:
    """Which pixels of the patch the photo shows, not too grazing, bool [S, S].

    The image is cut out by half-planes of the ground, and the grazing limit is a circle: together
    a convex shape, of which every row of the patch meets one interval.
    """
    steps = np.arange(size_px, dtype=np.float64) + 0.5
    u, v, w = patch_to_image
    low, high = _within_circle(view, patch_to_ground, steps)
    for plane in (w, u, view.width_px * w - u, v, view.height_px * w - v):
        at_zero = plane[1] * steps + plane[2]
        with np.errstate(over="ignore"):  # an edge along the rows meets them at infinity
            if plane[0] == 0.0:
                high = np.where(at_zero >= 0, high, -np.inf)
            elif plane[0] > 0.0:
                low = np.maximum(low, -at_zero / plane[0])
            else:
                high = np.minimum(high, -at_zero / plane[0])
    covered: NDArray[np.bool_] = (steps >= low[:, None]) & (steps <= high[:, None])
    return covered


def _within_circle(
    view: GroundView, patch_to_ground: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and last x of each row within `GRAZING_DEG` of straight down, float64 [S] each."""
    reach = view.agl_m * math.tan(math.radians(GRAZING_DEG))
    east, north = patch_to_ground[0], patch_to_ground[1]
    chord = reach**2 - (north[1] * steps + north[2]) ** 2
    half = np.where(chord >= 0, np.sqrt(np.maximum(chord, 0.0)), -np.inf)
    return (-half - east[2]) / east[0], (half - east[2]) / east[0]
