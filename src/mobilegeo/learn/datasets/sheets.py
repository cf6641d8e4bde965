"""Large map sheets whose corners are known, cut into overlapping square tiles.

Within a sheet, latitude and longitude are taken as linear in rows and columns. For a web-mercator
sheet of 0.1° at 32° north that is off by 1.5 m at most, less than a tile's hundredth.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.geo import Bounds, LatLon, LocalFrame, distance_m
from mobilegeo.learn.datasets.records import PixelBox, View

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A map in one file.

    Attributes:
        path: the image file.
        bounds: the outer edges of its outermost pixels.
        width, height: size in pixels.
    """

    path: Path
    bounds: Bounds
    width: int
    height: int

    @property
    def gsd_m(self) -> tuple[float, float]:
        """Metres a pixel covers at the sheet's middle, across and down."""
        box, middle = self.bounds, self.bounds.centre
        across = distance_m(LatLon(middle.lat, box.west), LatLon(middle.lat, box.east))
        down = distance_m(LatLon(box.south, middle.lon), LatLon(box.north, middle.lon))
        return across / self.width, down / self.height

    def position(self, column: float, row: float) -> LatLon:
        """Where a point of the image lies; (0, 0) is the outer corner of the top-left pixel."""
        box = self.bounds
        return LatLon(
            box.north + (box.south - box.north) * row / self.height,
            box.west + (box.east - box.west) * column / self.width,
        )


def cut(sheet: Sheet, side_m: float) -> list[View]:
    """Tiles of a sheet, each half a side apart; the last of a row or column ends at the edge.

    Args:
        sheet: the map.
        side_m: side of a tile on the ground, metres.

    Returns:
        Satellite views in reading order, `place` being the file's stem, row and column; empty
        where the sheet is smaller than a tile.
    """
    across_m, down_m = sheet.gsd_m
    width, height = round(side_m / across_m), round(side_m / down_m)
    views = []
    for row, top in enumerate(_starts(sheet.height, height)):
        for column, left in enumerate(_starts(sheet.width, width)):
            centre = sheet.position(left + width / 2, top + height / 2)
            name = f"{sheet.path.stem}_{row:03d}_{column:03d}"
            box = PixelBox(left, top, width, height)
            views.append(View(sheet.path, "satellite", name, position=centre, crop=box))
    return views


def overlaps(points: list[LatLon], centres: list[LatLon], side_m: float) -> Array:
    """How much of the same ground north-up squares of one size show.

    Args:
        points: centres of the first squares, P of them.
        centres: centres of the second squares, C of them, at least one.
        side_m: their side, metres.

    Returns:
        float64 [P, C], intersection over union, 0 … 1.
    """
    frame = LocalFrame(centres[0])
    x, y = _metres(frame, points)
    to_x, to_y = _metres(frame, centres)
    shared_x = np.maximum(0.0, side_m - abs(x[:, None] - to_x))
    shared_y = np.maximum(0.0, side_m - abs(y[:, None] - to_y))
    shared = shared_x * shared_y
    return np.asarray(shared / (2.0 * side_m**2 - shared), dtype=np.float64)


def _starts(length: int, side: int) -> list[int]:
    """First pixels of tiles along one axis."""
    if not 0 < side <= length:
        return []
    starts = list(range(0, length - side + 1, max(1, side // 2)))
    if starts[-1] + side < length:
        starts.append(length - side)
    return starts


def _metres(frame: LocalFrame, points: list[LatLon]) -> tuple[Array, Array]:
    lat = np.array([point.lat for point in points], dtype=np.float64)
    lon = np.array([point.lon for point in points], dtype=np.float64)
    return frame.to_metres(lat, lon)
