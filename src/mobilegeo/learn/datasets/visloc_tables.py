"""UAV-VisLoc's tables: where each photo was taken, and what ground each map sheet shows."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from mobilegeo.errors import DatasetError
from mobilegeo.geo import Bounds, LatLon
from mobilegeo.learn.datasets.sheets import Sheet
from mobilegeo.learn.datasets.textfile import number, point, read_rows

RANGE_FILES = ("satellite_coordinates_range.csv", "satellite_ coordinates_range.csv")
"""The published name and, with a blank, the one in the archive."""
_MAP_NAME = re.compile(r"(?:satellite)?(\d\d)\.tif", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Photo:
    """One row of a region's table.

    Attributes:
        name: file name.
        position: of the image centre on the ground.
        height_m: flight height as published, metres; None where the cell is empty.
        heading_deg: `Phi1`, clockwise from north, 0 … 360; None where the region has none.
    """

    name: str
    position: LatLon
    height_m: float | None
    heading_deg: float | None


def read_photos(path: Path) -> list[Photo]:
    """Reads a region's table `NN.csv`.

    Its columns are num, filename, date, lat, lon, height, Omega, Kappa, Phi1 and Phi2; region 07
    has no angles.

    Raises:
        DatasetError: the file cannot be read, or a row of it; names file and line.
    """
    photos: dict[str, Photo] = {}
    for row in read_rows(path, ("filename", "lat", "lon")):
        where, cells = row
        name = cells["filename"]
        if "/" in name or "\\" in name:
            raise DatasetError(where, f"{name!r} is no file name", "get the table again")
        if name in photos:
            raise DatasetError(where, f"repeats photo {name}", "keep one row a photo")
        phi = number(row, "Phi1")
        heading_deg = None if phi is None else phi % 360.0
        photos[name] = Photo(name, point(row, "lat", "lon"), number(row, "height"), heading_deg)
    return list(photos.values())


def read_bounds(path: Path) -> dict[str, Bounds]:
    """Reads the map sheets' corners: region, such as "03" → bounds.

    Raises:
        DatasetError: the file cannot be read, or a row of it; names file and line.
    """
    corners = ("LT_lat_map", "LT_lon_map", "RB_lat_map", "RB_lon_map")
    regions = {}
    for row in read_rows(path, ("mapname", *corners)):
        where, cells = row
        match = _MAP_NAME.fullmatch(cells["mapname"])
        if match is None:
            problem = f"mapname {cells['mapname']!r} is not satelliteNN.tif"
            raise DatasetError(where, problem, "get the table again")
        first, last = point(row, *corners[:2]), point(row, *corners[2:])
        if not (first.lat > last.lat and first.lon < last.lon):
            problem = "its left top corner is not north-west of its right bottom one"
            raise DatasetError(where, problem, "get the table again")
        regions[match[1]] = Bounds(last.lat, first.lon, first.lat, last.lon)
    return regions


def find_sheet(folder: Path, region: str, bounds: Bounds) -> Sheet:
    """The map of a region; reads its header only.

    Raises:
        DatasetError: there is no map, or the file is no image.
    """
    path = folder / f"satellite{region}.tif"
    if not path.is_file():
        raise DatasetError(path, "is missing", "unpack the map of this region too")
    return Sheet(path, bounds, *_size(path))


def _size(path: Path) -> tuple[int, int]:
    """Width and height of an image in pixels, from its header."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as image:
                return image.width, image.height
    except RasterioIOError as error:
        raise DatasetError(path, f"is no readable TIFF ({error})", "unpack it again") from error


def range_file(root: Path) -> Path:
    """The table of the map sheets' corners.

    Raises:
        DatasetError: there is none.
    """
    for name in RANGE_FILES:
        if (root / name).is_file():
            return root / name
    raise DatasetError(root / RANGE_FILES[0], "is missing", "unpack it too: it places the maps")


def region_photos(folder: Path) -> frozenset[str]:
    """File names of a region's photos.

    Raises:
        DatasetError: the region has no folder of photos.
    """
    try:
        names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DatasetError(folder, "is missing", "unpack this region's photos too") from error
    return frozenset(name for name in names if name.lower().endswith((".jpg", ".jpeg")))
