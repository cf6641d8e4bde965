"""What every map can do: give a north-up window of itself in a local metric frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MapError
from mobilegeo.geo import Array, Bounds, LatLon, LocalFrame


@dataclass(frozen=True, slots=True)
class Patch:
    """A window of a map.

    Attributes:
        image: uint8 [H, W, 3] RGB, row 0 in the north; 0 where not valid.
        valid: bool [H, W], False outside the map and where it has no data.
    """

    image: NDArray[np.uint8]
    valid: NDArray[np.bool_]

    @classmethod
    def empty(cls, width: int, height: int) -> Patch:
        """A window without any data."""
        return cls(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.bool_))


class MapSource(Protocol):
    """Georeferenced imagery of any kind; not to be read by two threads at once."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files or folders it was opened from, without their directories."""
        ...

    @property
    def bounds(self) -> Bounds:
        """A box around all imagery."""
        ...

    @property
    def gsd_m(self) -> float:
        """Ground resolution of the finest imagery at the centre, true metres a pixel."""
        ...

    @property
    def warnings(self) -> list[str]:
        """What could not be read and was left out, in the order in which it was met."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the files do; for resuming a build."""
        ...

    def read(
        self, frame: LocalFrame, x_m: float, y_m: float, gsd_m: float, width: int, height: int
    ) -> Patch:
        """A north-up window whose upper-left corner is (x_m, y_m) in the frame.

        Args:
            frame: the metric frame; `x_m` east, `y_m` north.
            x_m: west edge.
            y_m: north edge.
            gsd_m: side of a pixel of the window, metres.
            width: of the window, pixels.
            height: of the window, pixels.
        """
        ...


def first_valid(layers: Iterable[Patch], width: int, height: int) -> Patch:
    """Lays patches of one window over each other: the first wins, later ones fill its holes.

    `layers` may be a generator: it is only drawn from until there is no hole left.
    """
    result = None
    for layer in layers:
        if result is None:
            result = layer
        else:
            fill = layer.valid & ~result.valid
            result.image[fill] = layer.image[fill]
            result.valid[fill] = True
        if result.valid.all():
            break
    return result if result is not None else Patch.empty(width, height)


def bounds_around(lat: Array, lon: Array, where: str) -> Bounds:
    """The box around points on the edge of a map, float64 [N] each, degrees.

    Raises:
        MapError: a point has no geographic position, or the map crosses the antimeridian;
            `where` names the map.
    """
    if not (np.isfinite(lat).all() and np.isfinite(lon).all()) or np.abs(lat).max() > 90.0:
        raise MapError(
            where,
            "its georeference places it outside the earth",
            "check its coordinate system and geotransform with gdalinfo",
        )
    lon = np.where(np.abs(lon) > 180.0, (lon + 180.0) % 360.0 - 180.0, lon)
    if np.ptp(lon) > 180.0:
        raise MapError(
            where,
            "crosses the antimeridian or is wider than half the earth",
            "cut it there with gdalwarp -te and build a pack of each part",
        )
    south, west, north, east = lat.min(), lon.min(), lat.max(), lon.max()
    return Bounds(float(south), float(west), float(north), float(east))


def pixel_side_m(lat: Array, lon: Array) -> float:
    """Side of the square with the area of a parallelogram on the ground, true metres.

    Args:
        lat: float64 [3], degrees: a corner and its two neighbours.
        lon: float64 [3], degrees.
    """
    x, y = LocalFrame(LatLon(float(lat[0]), float(lon[0]))).to_metres(lat, lon)
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    return float(np.sqrt(abs(area)))
