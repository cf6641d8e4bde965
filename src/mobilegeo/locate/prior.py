"""Where the drone can be, before the photo is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.geo import Bounds, LatLon, LocalFrame

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Box:
    """An area in a metric frame: x from `west` to `east`, y from `south` to `north`, metres."""

    west: float
    south: float
    east: float
    north: float

    def intersection(self, other: Box) -> Box | None:
        """The common part, or `None`."""
        box = Box(
            max(self.west, other.west),
            max(self.south, other.south),
            min(self.east, other.east),
            min(self.north, other.north),
        )
        return box if box.west < box.east and box.south < box.north else None

    @property
    def area_m2(self) -> float:
        """Area in square metres."""
        return (self.east - self.west) * (self.north - self.south)


class Prior(Protocol):
    """An area in which the photo's ground must lie."""

    def contains(self, frame: LocalFrame, x_m: Float64, y_m: Float64) -> NDArray[np.bool_]:
        """Which points of the frame, float64 [...] each, lie inside; bool of the same shape."""
        ...

    def box(self, frame: LocalFrame) -> Box:
        """The smallest box of the frame around the area."""
        ...

    def dilated(self, margin_m: float) -> Prior:
        """The area and all within `margin_m` metres of it."""
        ...


@dataclass(frozen=True, slots=True)
class CirclePrior:
    """Within `radius_m` metres of `centre`."""

    centre: LatLon
    radius_m: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.radius_m) and self.radius_m > 0):
            raise UsageError(
                f"radius {self.radius_m}", "is not a positive length", "give metres above 0"
            )

    def contains(self, frame: LocalFrame, x_m: Float64, y_m: Float64) -> NDArray[np.bool_]:
        """See `Prior.contains`."""
        x, y = frame.xy(self.centre)
        inside: NDArray[np.bool_] = (x_m - x) ** 2 + (y_m - y) ** 2 <= self.radius_m**2
        return inside

    def box(self, frame: LocalFrame) -> Box:
        """See `Prior.box`."""
        x, y = frame.xy(self.centre)
        r = self.radius_m
        return Box(x - r, y - r, x + r, y + r)

    def dilated(self, margin_m: float) -> CirclePrior:
        """See `Prior.dilated`."""
        return CirclePrior(self.centre, self.radius_m + margin_m)


@dataclass(frozen=True, slots=True)
class BoxPrior:
    """Within geographic bounds."""

    bounds: Bounds

    def contains(self, frame: LocalFrame, x_m: Float64, y_m: Float64) -> NDArray[np.bool_]:
        """See `Prior.contains`."""
        lat, lon = frame.to_degrees(x_m, y_m)
        b = self.bounds
        inside: NDArray[np.bool_] = (
            (lat >= b.south) & (lat <= b.north) & (lon >= b.west) & (lon <= b.east)
        )
        return inside

    def box(self, frame: LocalFrame) -> Box:
        """See `Prior.box`."""
        b = self.bounds
        # Parallels bulge towards the equator most at the frame's own meridian, meridians at the
        # equator: eight points show how far the box reaches.
        middle = b.nearest(LatLon(0.0, frame.origin.lon))
        lats = np.array([b.south, b.north] * 2 + [b.south, b.north, middle.lat, middle.lat])
        lons = np.array([b.west, b.west, b.east, b.east, middle.lon, middle.lon, b.west, b.east])
        x, y = frame.to_metres(lats, lons)
        return Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))

    def dilated(self, margin_m: float) -> BoxPrior:
        """See `Prior.dilated`; wider than asked by up to 1 % (degrees taken at their shortest)."""
        b = self.bounds
        lat = margin_m / 110_574.0
        widest = min(89.9, max(abs(b.south), abs(b.north)) + lat)
        lon = margin_m / (110_574.0 * math.cos(math.radians(widest)))
        return BoxPrior(
            Bounds(
                max(-90.0, b.south - lat),
                max(-180.0, b.west - lon),
                min(90.0, b.north + lat),
                min(180.0, b.east + lon),
            )
        )
