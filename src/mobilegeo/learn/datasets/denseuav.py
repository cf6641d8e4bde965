"""DenseUAV: 3,033 sampling points over 14 campuses in Hangzhou, from 80, 90 and 100 m.

Dai et al., 2024, https://arxiv.org/abs/2201.09201. Neighbouring points are about 20 m apart, so
distances count, not only right and wrong. Each point has a drone view a height and a satellite
tile a height from two years. The gallery holds the training points too, as distractors.

Positions come from `Dense_GPS_ALL.txt`, whose lines are `PATH E<longitude> N<latitude> HEIGHT`.
As in the authors' evaluation a line stands for every view of its point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from mobilegeo.errors import DatasetError
from mobilegeo.geo import LatLon
from mobilegeo.learn.datasets.dataset import Dataset
from mobilegeo.learn.datasets.findings import Finding, Inspection, some
from mobilegeo.learn.datasets.records import View, ViewKind
from mobilegeo.learn.datasets.scan import FolderSpec
from mobilegeo.learn.datasets.textfile import checked_point, read_text
from mobilegeo.learn.datasets.tree import inspect_folders

NAME = "denseuav"
GPS_FILE = "Dense_GPS_ALL.txt"
HEIGHTS = 3
TILES = 6

_NO_S2D = "satellite to drone cannot be evaluated"
_SPECS = (
    FolderSpec("train_drone", "train/drone", "drone", "train", 2_256, 2_256 * HEIGHTS),
    FolderSpec("train_satellite", "train/satellite", "satellite", "train", 2_256, 2_256 * TILES),
    FolderSpec("query_drone", "test/query_drone", "drone", "query", 777, 777 * HEIGHTS),
    FolderSpec(
        "gallery_satellite", "test/gallery_satellite", "satellite", "gallery", 3_033, 3_033 * TILES
    ),
    FolderSpec(
        "query_satellite", "test/query_satellite", "satellite", "query",
        777, 777 * TILES, False, _NO_S2D,
    ),
    FolderSpec(
        "gallery_drone", "test/gallery_drone", "drone", "gallery",
        3_033, 3_033 * HEIGHTS, False, _NO_S2D,
    ),
)  # fmt: skip
_HEIGHT = re.compile(r"H(\d+)(?:_old)?$")
_FORM = "write lines as train/satellite/000000/H80.tif E120.387 N30.324 94.6"


@dataclass(frozen=True, slots=True)
class GpsLine:
    """One line of a GPS file.

    Attributes:
        place: id of the sampling point.
        position: of the point.
        height_m: as recorded by the drone, metres; the reference level is not published.
    """

    place: str
    position: LatLon
    height_m: float


def parse_gps_line(line: str, where: str) -> GpsLine:
    """Reads one line.

    Args:
        line: `PATH E<longitude> N<latitude> HEIGHT`; the point is the path's last folder.
        where: file and line number, for messages.

    Raises:
        DatasetError: the line is not of that form, or the position is none on earth.
    """
    cells = line.split()
    if len(cells) != 4:
        raise DatasetError(where, f"has {len(cells)} cells instead of 4", _FORM)
    path, east, north, height = cells
    folders = PurePosixPath(path.replace("\\", "/")).parts
    if len(folders) < 2:
        raise DatasetError(where, f"names no folder of a point in {path!r}", _FORM)
    if not (east.startswith("E") and north.startswith("N")):
        raise DatasetError(where, f"has no E and N in {east!r} {north!r}", _FORM)
    try:
        lon, lat, height_m = float(east[1:]), float(north[1:]), float(height)
    except ValueError:
        raise DatasetError(where, f"holds no numbers in {line.strip()!r}", _FORM) from None
    position = checked_point(lat, lon, where)
    if not math.isfinite(height_m):
        raise DatasetError(where, f"height {height} is no length", _FORM)
    return GpsLine(folders[-2], position, height_m)


def read_gps(path: Path) -> dict[str, GpsLine]:
    """Reads a GPS file: place id → its line, the first where a point has several.

    Raises:
        DatasetError: the file cannot be read, or a line of it; names file and line.
    """
    places: dict[str, GpsLine] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            found = parse_gps_line(line, f"{path}, line {number}")
            places.setdefault(found.place, found)
    return places


def inspect(root: Path, variant: str) -> Inspection:
    """Looks at the folder; there are no variants."""
    gps, finding = _positions(root / GPS_FILE)
    inspection = inspect_folders(root, NAME, variant, _SPECS, partial(_view, gps))
    findings = list(inspection.findings)
    if finding is not None:
        findings.append(finding)
    elif unplaced := sorted({image.parent.name for image in inspection.images} - gps.keys()):
        findings.append(
            Finding(
                "warning",
                str(root / GPS_FILE),
                f"has no position of points {some(unplaced)}",
                "get the file again: SDM and MA need every position",
            )
        )
    return replace(inspection, findings=tuple(findings))


def _positions(path: Path) -> tuple[dict[str, GpsLine], Finding | None]:
    if not path.is_file():
        cure = "get it from the official page: SDM and MA need it, recall does not"
        return {}, Finding("warning", str(path), "is missing", cure)
    try:
        return read_gps(path), None
    except DatasetError as error:
        return {}, Finding("error", error.where, error.problem, error.cure)


def _view(gps: Mapping[str, GpsLine], path: Path, kind: ViewKind, place: str) -> View:
    line = gps.get(place)
    named = _HEIGHT.match(path.stem)
    height_m = float(named[1]) if named and kind == "drone" else None
    return View(path, kind, place, height_m, position=line.position if line else None)


DATASET = Dataset(
    name=NAME,
    title="DenseUAV",
    source="https://github.com/Dmmm1997/DenseUAV",
    download="the data set (on Hugging Face, linked there)",
    licence="the repository is under Apache-2.0; no separate terms for the images are stated",
    layout="""\
DenseUAV/
├── Dense_GPS_ALL.txt, Dense_GPS_train.txt, Dense_GPS_test.txt
├── train/
│   ├── drone/000000/H80.JPG, H90.JPG, H100.JPG
│   └── satellite/000000/H80.tif, H80_old.tif, … H100_old.tif
└── test/
    ├── query_drone/002256/H80.JPG …
    ├── query_satellite/002256/H80.tif …
    ├── gallery_drone/000000/H80.JPG …
    └── gallery_satellite/000000/H80.tif …""",
    markers=(("train", "test"),),
    variants=(),
    inspect=inspect,
)
