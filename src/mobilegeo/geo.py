"""Positions on the earth, and the flat metric frame in which everything inside is computed.

Degrees at public boundaries, metres inside; x points east and y north.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod, Proj, Transformer

from mobilegeo.errors import UsageError

Array = NDArray[np.float64]
_GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class LatLon:
    """A point in degrees on WGS84.

    Attributes:
        lat: latitude, degrees north, −90 … 90.
        lon: longitude, degrees east, −180 … 180.
    """

    lat: float
    lon: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lat) and -90.0 <= self.lat <= 90.0):
            raise UsageError(f"latitude {self.lat}", "not within −90 … 90", "give degrees north")
        if not (math.isfinite(self.lon) and -180.0 <= self.lon <= 180.0):
            raise UsageError(f"longitude {self.lon}", "not within −180 … 180", "give degrees east")


@dataclass(frozen=True, slots=True)
class Bounds:
    """A box in degrees; it does not cross the antimeridian."""

    south: float
    west: float
    north: float
    east: float

    def __post_init__(self) -> None:
        LatLon(self.south, self.west)
        LatLon(self.north, self.east)
        if self.south > self.north or self.west > self.east:
            raise UsageError(f"bounds {self}", "south > north or west > east", "swap the corners")

    @property
    def centre(self) -> LatLon:
        """The middle of the box."""
        return LatLon((self.south + self.north) / 2, (self.west + self.east) / 2)

    def contains(self, point: LatLon) -> bool:
        """Whether the point lies in the box or on its edge."""
        return self.south <= point.lat <= self.north and self.west <= point.lon <= self.east

    def nearest(self, point: LatLon) -> LatLon:
        """The point of the box nearest to another (in degrees; exact where it is inside)."""
        return LatLon(
            min(max(point.lat, self.south), self.north), min(max(point.lon, self.west), self.east)
        )

    def union(self, other: Bounds) -> Bounds:
        """The smallest box around both."""
        return Bounds(
            min(self.south, other.south),
            min(self.west, other.west),
            max(self.north, other.north),
            max(self.east, other.east),
        )


def distance_m(a: LatLon, b: LatLon) -> float:
    """Length in metres of the geodesic between two points (Karney 2013, by PROJ)."""
    return float(_GEOD.inv(a.lon, a.lat, b.lon, b.lat)[2])


def destination(start: LatLon, bearing_deg: float, length_m: float) -> LatLon:
    """The point reached from `start` along a bearing (clockwise from north) after `length_m`."""
    lon, lat, _ = _GEOD.fwd(start.lon, start.lat, bearing_deg, length_m)
    return LatLon(float(lat), float(lon))


def wrap_deg(angle_deg: float) -> float:
    """The same angle within [−180, 180)."""
    return (angle_deg + 180.0) % 360.0 - 180.0


@dataclass(frozen=True)
class LocalFrame:
    """A flat frame in metres around an origin: x east, y north.

    A transverse Mercator projection of WGS84 with scale 1 on the origin's meridian. It keeps
    angles; at x metres from that meridian lengths are too long by x² / 2R²: 1.2 cm in a
    kilometre at x = 31 km, 12 cm in a kilometre at x = 99 km. The frame's north turns from true
    north by `convergence_deg`.
    """

    origin: LatLon

    @cached_property
    def crs(self) -> str:
        """The frame as a PROJ string, for rasterio and GDAL."""
        return (
            f"+proj=tmerc +lat_0={self.origin.lat!r} +lon_0={self.origin.lon!r} +k=1 "
            "+x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"
        )

    def to_metres(self, lat: Array | float, lon: Array | float) -> tuple[Array, Array]:
        """Degrees to (x, y) in metres; arrays of any one shape, or scalars."""
        x, y = _transformer(self.crs).transform(lon, lat)
        return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)

    def to_degrees(self, x_m: Array | float, y_m: Array | float) -> tuple[Array, Array]:
        """(x, y) in metres to (lat, lon) in degrees; arrays of any one shape, or scalars."""
        lon, lat = _transformer(self.crs).transform(x_m, y_m, direction="INVERSE")
        return np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)

    def point(self, x_m: float, y_m: float) -> LatLon:
        """The geographic position of one point of the frame."""
        lat, lon = self.to_degrees(x_m, y_m)
        return LatLon(float(lat), float(lon))

    def xy(self, point: LatLon) -> tuple[float, float]:
        """One geographic position in the frame, metres."""
        x, y = self.to_metres(point.lat, point.lon)
        return float(x), float(y)

    def convergence_deg(self, point: LatLon) -> float:
        """Angle from true north to the frame's north, clockwise.

        A direction measured in the frame plus this angle is a true heading.
        """
        factors = Proj(self.crs).get_factors(point.lon, point.lat)
        return float(factors.meridian_convergence)


@lru_cache(maxsize=64)
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)
