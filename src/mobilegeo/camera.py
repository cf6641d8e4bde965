"""The camera above flat ground: from pixels to metres and back.

Frames. Image: continuous pixels, u right, v down, (0, 0) the outer corner of the top-left pixel,
so the image centre is (W / 2, H / 2). Ground: metres east and north of the point straight below
the camera. The camera is a pinhole with square pixels; the ground is a plane `agl_m` below it.

Angles as in the contract: heading clockwise from true north, of the image's top edge for a view
straight down and of the line of sight otherwise; pitch −90 looks straight down, 0 at the horizon;
roll positive when the camera leans to the right (its right side goes down).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError

Array = NDArray[np.float64]

GRAZING_DEG = 72.0
"""Ground seen farther than this from straight down (3 × the height away) is left out: a pixel
there covers more than ten times the ground of one at the nadir, mostly sides of things."""


@dataclass(frozen=True, slots=True)
class CameraModel:
    """What the lens shows.

    Attributes:
        hfov_deg: field of view across the image's width, degrees.
    """

    hfov_deg: float

    def __post_init__(self) -> None:
        if not 1.0 <= self.hfov_deg <= 170.0:
            raise UsageError(
                f"field of view {self.hfov_deg}",
                "not within 1 … 170 degrees",
                "give the angle across the image's width in degrees",
            )

    def focal_px(self, width_px: float) -> float:
        """Focal length in pixels of an image `width_px` wide."""
        return 0.5 * width_px / math.tan(math.radians(self.hfov_deg) / 2)


@dataclass(frozen=True, slots=True)
class Pose:
    """What is known of the camera's attitude and height; `None` is unknown.

    Attributes:
        heading_deg: clockwise from true north, 0 … 360.
        pitch_deg: −90 straight down … 0 horizon … 90.
        roll_deg: −180 … 180.
        agl_m: height above the ground, metres, positive.
    """

    heading_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None
    agl_m: float | None = None

    def __post_init__(self) -> None:
        _check("heading", self.heading_deg, -360.0, 360.0)
        _check("pitch", self.pitch_deg, -180.0, 180.0)
        _check("roll", self.roll_deg, -180.0, 180.0)
        _check("height above ground", self.agl_m, 0.5, 20_000.0)


@dataclass(frozen=True)
class GroundView:
    """A fully known view of the ground: the pose, the lens and the image's size.

    Attributes:
        width_px, height_px: size of the image that the pixels refer to.
        hfov_deg: field of view across the width.
        heading_deg, pitch_deg, roll_deg, agl_m: as in `Pose`, none of them unknown.
    """

    width_px: int
    height_px: int
    hfov_deg: float
    heading_deg: float
    pitch_deg: float
    roll_deg: float
    agl_m: float

    def resized(self, width_px: int, height_px: int) -> GroundView:
        """The same view on an image of another size."""
        return replace(self, width_px=width_px, height_px=height_px)

    @cached_property
    def axes(self) -> Array:
        """float64 [3, 3]: the camera's right, down and forward as rows of (east, north, up)."""
        heading, pitch, roll = (
            math.radians(angle) for angle in (self.heading_deg, self.pitch_deg, self.roll_deg)
        )
        forward = np.array(
            [
                math.sin(heading) * math.cos(pitch),
                math.cos(heading) * math.cos(pitch),
                math.sin(pitch),
            ]
        )
        right = np.array([math.cos(heading), -math.sin(heading), 0.0])
        down = np.cross(forward, right)
        return np.stack(
            [
                math.cos(roll) * right + math.sin(roll) * down,
                -math.sin(roll) * right + math.cos(roll) * down,
                forward,
            ]
        )

    @cached_property
    def pixel_rays(self) -> Array:
        """float64 [3, 3]: maps (u, v, 1) to the ray's (east, north, up), unnormalised."""
        focal = CameraModel(self.hfov_deg).focal_px(self.width_px)
        right, down, forward = self.axes
        centre = forward - (self.width_px / 2 * right + self.height_px / 2 * down) / focal
        return np.stack([right / focal, down / focal, centre], axis=1)

    @cached_property
    def image_to_ground(self) -> Array:
        """float64 [3, 3]: homography from (u, v, 1) to (east, north, w) in metres.

        w > 0 exactly for pixels below the horizon.
        """
        return np.diag([self.agl_m, self.agl_m, -1.0]) @ self.pixel_rays

    @cached_property
    def space_to_image(self) -> Array:
        """float64 [3, 3]: maps (east, north, up) from the camera to (u · w, v · w, w).

        w is the distance in front of the camera, along its axis, in the unit of the input.
        """
        focal = CameraModel(self.hfov_deg).focal_px(self.width_px)
        right, down, forward = self.axes
        return np.stack(
            [
                focal * right + self.width_px / 2 * forward,
                focal * down + self.height_px / 2 * forward,
                forward,
            ]
        )

    @cached_property
    def ground_to_image(self) -> Array:
        """float64 [3, 3]: the inverse homography; w > 0 for ground in front of the camera.

        A positive multiple of the exact inverse of `image_to_ground`, so that the sign of w
        keeps its meaning for every pose.
        """
        return self.space_to_image @ np.diag([1.0, 1.0, -self.agl_m])

    def ground_points(self, u: Array, v: Array) -> tuple[Array, Array]:
        """East and north in metres of pixels, float64 [N] each; NaN at and above the horizon."""
        east, north, w = self.image_to_ground @ np.stack([u, v, np.ones_like(u)])
        below = w > 1e-12
        w = np.where(below, w, np.nan)
        return east / w, north / w

    @cached_property
    def centre_ground(self) -> tuple[float, float] | None:
        """East and north of the ground at the image centre; `None` where that is grazing or sky."""
        east, north = self.ground_points(
            np.array([self.width_px / 2]), np.array([self.height_px / 2])
        )
        reach = self.agl_m * math.tan(math.radians(GRAZING_DEG))
        if not math.hypot(east[0], north[0]) <= reach:
            return None
        return float(east[0]), float(north[0])

    @property
    def centre_gsd_m(self) -> float | None:
        """Metres of ground a pixel at the image centre covers (geometric mean of both axes)."""
        if self.centre_ground is None:
            return None
        up = -self.axes[2, 2]
        focal = CameraModel(self.hfov_deg).focal_px(self.width_px)
        slant_m = self.agl_m / up
        return float(slant_m / focal / math.sqrt(up))

    def footprint(self, samples_per_edge: int = 16) -> Array:
        """Outline of the usable ground in the image.

        Returns:
            float64 [N, 2]: (east, north) in metres, in order; empty where no ground within
            `GRAZING_DEG` of straight down is seen. Where the image reaches farther, the outline
            follows that circle.
        """
        reach = self.agl_m * math.tan(math.radians(GRAZING_DEG))
        grid = np.linspace(0.0, 1.0, 2 * samples_per_edge + 1)
        u, v = np.meshgrid(grid * self.width_px, grid * self.height_px)
        east, north = self.ground_points(u.ravel(), v.ravel())
        near = np.hypot(east, north) <= reach
        points = np.stack([east[near], north[near]], axis=1)
        angles = np.linspace(0.0, 2.0 * math.pi, 8 * samples_per_edge, endpoint=False)
        rim = reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        seen = np.concatenate([points, rim[self.sees(rim)]])
        return _convex_hull(seen) if len(seen) >= 3 else np.zeros((0, 2))

    def sees(self, ground: Array) -> NDArray[np.bool_]:
        """Whether ground points, float64 [N, 2] (east, north), fall inside the image, bool [N]."""
        u, v, w = self.ground_to_image @ np.column_stack([ground, np.ones(len(ground))]).T
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            u, v = u / w, v / w
        inside: NDArray[np.bool_] = (
            (w > 0) & (u >= 0) & (u <= self.width_px) & (v >= 0) & (v <= self.height_px)
        )
        return inside


def _check(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(
            f"{name} {value}", f"not within {low:g} … {high:g}", "degrees and metres are expected"
        )


def _convex_hull(points: Array) -> Array:
    import cv2

    hull = cv2.convexHull(points.astype(np.float32))
    return np.asarray(hull[:, 0, :], dtype=np.float64)
