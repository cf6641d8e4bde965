"""Building footprints of OpenStreetMap, extruded to a surface model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import ResourceError

STOREY_M = 3.0
MOST_STOREYS = 6
_FRACTION_BITS = 4


@dataclass(frozen=True, slots=True)
class Mosaic:
    """XYZ tiles side by side.

    Attributes:
        zoom: of the tiles.
        left, top: column and row of the upper-left one.
        tile_px: side of a tile.
        shape: rows and columns in pixels.
    """

    zoom: int
    left: int
    top: int
    tile_px: int
    shape: tuple[int, int]

    def pixels(self, degrees: NDArray[np.float64]) -> NDArray[np.float64]:
        """Column and row, float64 [n, 2], of (longitude, latitude); pixel centres are whole."""
        lat = np.radians(degrees[:, 1])
        x = (degrees[:, 0] + 180.0) / 360.0
        y = 0.5 - np.arcsinh(np.tan(lat)) / (2.0 * math.pi)
        tiles = np.stack([x, y], axis=1) * 2.0**self.zoom
        return (tiles - (self.left, self.top)) * self.tile_px - 0.5


def extruded(path: Path, mosaic: Mosaic) -> NDArray[np.float32]:
    """Heights of buildings over level ground, for a mosaic of XYZ tiles.

    Footprints seldom say how high a building is. Those that name `building:levels` get three
    metres a storey; the others one to six storeys, drawn from their id, so that a building is as
    high in every run.

    Args:
        path: GeoJSON, polygons in degrees (WGS 84).
        mosaic: where the imagery lies.

    Returns:
        float32 [H, W], metres.

    Raises:
        ResourceError: the file is missing, is no GeoJSON or has no polygon.
    """
    height = np.zeros(mosaic.shape, np.float32)
    count = 0
    for outline, storeys in _buildings(path):
        fixed = np.rint(mosaic.pixels(outline) * 2**_FRACTION_BITS).astype(np.int32)
        cv2.fillPoly(height, [fixed], storeys * STOREY_M, shift=_FRACTION_BITS)
        count += 1
    if not count:
        raise ResourceError(path, "holds no building outline", "give polygons in WGS 84 degrees")
    return height


def _buildings(path: Path) -> Iterator[tuple[NDArray[np.float64], int]]:
    """Outer rings, float64 [n, 2] (longitude, latitude), and storeys."""
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResourceError(
            path, f"is no GeoJSON ({error})", "give a FeatureCollection of footprints"
        ) from error
    for number, feature in enumerate(features):
        geometry = feature.get("geometry") or {}
        coordinates = geometry.get("coordinates", ())
        polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates}
        for polygon in polygons.get(geometry.get("type", ""), ()):
            ring = np.asarray(polygon[0], np.float64)[:, :2]
            yield ring, _storeys(feature.get("properties") or {}, number)


def _storeys(properties: dict[str, Any], number: int) -> int:
    stated = str(properties.get("building:levels") or "")
    if stated.isdecimal() and int(stated) > 0:
        return int(stated)
    identity = int(properties.get("osm_id") or number)
    return int(np.random.default_rng(abs(identity)).integers(1, MOST_STOREYS + 1))
