"""The plot's plane: metres east and south of its centre, and the part of it that is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mobilegeo.geo import Bounds, LatLon, LocalFrame
from mobilegeo.output.report.parts import Contents
from mobilegeo.output.text import finite

MIN_SIDE_M = 60.0
_WIDEST, _TALLEST = 2.0, 0.8


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the plot in metres; y grows southwards, as in SVG."""

    x: float
    y: float
    width: float
    height: float

    def padded(self, share: float) -> Box:
        """Grown on all sides by a share of the longer side, to `MIN_SIDE_M` and a calm shape."""
        margin = share * max(self.width, self.height)
        width = max(self.width + 2 * margin, MIN_SIDE_M)
        height = max(self.height + 2 * margin, MIN_SIDE_M)
        width = max(width, _TALLEST * height)
        height = max(height, width / _WIDEST)
        return Box(
            self.x - (width - self.width) / 2, self.y - (height - self.height) / 2, width, height
        )


@dataclass(frozen=True, slots=True)
class Plot:
    """Where things are drawn.

    Attributes:
        frame: its origin is the plot's origin.
        view: what is shown at first.
        map_box: where the map's picture lies, if there is one. The picture is stretched over its
            bounds; the frame's grid turns from true north by up to tan(lat) · width / 2R, 0.05° at
            the edge of a 10 km map in mid-latitudes, which is less than a pixel of the picture.
    """

    frame: LocalFrame
    view: Box
    map_box: Box | None

    def xy(self, point: LatLon) -> tuple[float, float]:
        """Metres east and south of the origin."""
        x, y = self.frame.xy(point)
        return x, -y


def plan(contents: Contents) -> Plot | None:
    """Chooses what the plot shows: the whole map, else all positions; None without either."""
    if contents.map_image is not None:
        frame = LocalFrame(contents.map_image.bounds.centre)
        box = _map_box(frame, contents.map_image.bounds)
        return Plot(frame, box.padded(0.02), box)
    discs = [
        (point, 2 * (finite(entry.fix.sigma_m) or 0.0) if point is entry.position else 0.0)
        for entry in contents.entries
        for point in (entry.position, entry.truth)
        if point is not None
    ]
    if not discs:
        return None
    frame = LocalFrame(discs[0][0])
    return Plot(frame, _around(frame, discs).padded(0.08), None)


def nice_length(limit_m: float) -> float:
    """The longest of 1, 2 and 5 times a power of ten that is not above the limit."""
    power = 10.0 ** math.floor(math.log10(limit_m))
    # 0.5: just below a power of ten the logarithm can be rounded up to it.
    return max(factor * power for factor in (0.5, 1, 2, 5) if factor * power <= limit_m)


def _map_box(frame: LocalFrame, bounds: Bounds) -> Box:
    middle = bounds.centre
    west, _ = frame.xy(LatLon(middle.lat, bounds.west))
    east, _ = frame.xy(LatLon(middle.lat, bounds.east))
    _, south = frame.xy(LatLon(bounds.south, middle.lon))
    _, north = frame.xy(LatLon(bounds.north, middle.lon))
    return Box(west, -north, east - west, north - south)


def _around(frame: LocalFrame, discs: Sequence[tuple[LatLon, float]]) -> Box:
    centres = [(*frame.xy(point), radius) for point, radius in discs]
    west = min(x - radius for x, _, radius in centres)
    east = max(x + radius for x, _, radius in centres)
    south = min(y - radius for _, y, radius in centres)
    north = max(y + radius for _, y, radius in centres)
    return Box(west, -north, east - west, north - south)
