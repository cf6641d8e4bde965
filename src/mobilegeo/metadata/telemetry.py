"""The values known about one photo, from whichever source, and the CSV that may bring them."""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Literal

from mobilegeo.camera import CameraModel, Pose
from mobilegeo.csv_file import read_text, records, separator
from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon

RANGES: dict[str, tuple[float, float, str]] = {
    "heading_deg": (-360.0, 360.0, "give degrees clockwise from true north"),
    "pitch_deg": (-120.0, 90.0, "give degrees: -90 looks straight down, 0 at the horizon"),
    "roll_deg": (-180.0, 180.0, "give degrees, positive when the camera leans to the right"),
    "agl_m": (0.5, 20_000.0, "give the height above the ground in metres"),
    "hfov_deg": (1.0, 170.0, "give the angle across the image's width in degrees"),
    "lat": (-90.0, 90.0, "give degrees north"),
    "lon": (-180.0, 180.0, "give degrees east"),
    "sigma_m": (0.01, 1_000_000.0, "give one standard deviation of lat and lon in metres"),
}
"""Lowest and highest value of each field of `Telemetry`, and what it should hold. Pitch reaches
beyond −90 because gimbals do: −95 looks 5° backwards past straight down."""

COLUMNS = ("photo", *RANGES)
LONGEST_S = 1e7
"""Times of a flight lie within so many seconds, four months, of its start."""

_KEYS = {
    "photo": "name the photo's file in a column called photo",
    "time_s": "give the seconds since the start of the video in a column called time_s",
}
_USUAL_NAMES = {
    "photo": ("file", "filename", "file_name", "image", "image_name", "name", "path", "label"),
    "heading_deg": ("yaw", "yaw_deg", "azimuth", "bearing", "course", "gimbal_yaw"),
    "pitch_deg": ("tilt", "gimbal_pitch"),
    "roll_deg": ("bank", "gimbal_roll"),
    "agl_m": ("altitude", "alt", "altitude_m", "height", "height_m", "rel_altitude_m"),
    "hfov_deg": ("fov", "fov_deg", "field_of_view"),
    "lat": ("latitude", "gps_latitude", "lat_deg"),
    "lon": ("longitude", "lng", "long", "gps_longitude", "lon_deg"),
    "sigma_m": ("accuracy", "accuracy_m", "std_m", "error_m"),
}


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What is known about how and where one photo was taken; `None` is unknown.

    Attributes:
        heading_deg: clockwise from true north: of the image's top edge for a view straight down,
            of the line of sight otherwise.
        pitch_deg: −90 straight down … 0 horizon.
        roll_deg: positive when the camera leans to the right.
        agl_m: height above the ground, metres.
        hfov_deg: field of view across the displayed image's width, degrees.
        lat, lon: the camera's position, degrees; both or neither.
        sigma_m: one standard deviation of the position along each axis, metres.
    """

    heading_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None
    agl_m: float | None = None
    hfov_deg: float | None = None
    lat: float | None = None
    lon: float | None = None
    sigma_m: float | None = None

    def __post_init__(self) -> None:
        for name, (_, _, cure) in RANGES.items():
            value = getattr(self, name)
            problem = range_problem(name, value)
            if problem is not None:
                raise UsageError(f"{name} {value}", problem, cure)
        if (self.lat is None) != (self.lon is None):
            raise UsageError(
                f"position lat {self.lat}, lon {self.lon}", "is half known", "give both or neither"
            )

    def over(self, other: Telemetry) -> Telemetry:
        """Both together; where both know a value, this one's stands.

        A known position brings its own `sigma_m`, known or not: the spread of one position says
        nothing of another.
        """
        if self.lat is not None:
            other = replace(other, lat=None, lon=None, sigma_m=None)
        known = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(other, **{name: v for name, v in known.items() if v is not None})

    @property
    def pose(self) -> Pose:
        """Attitude and height."""
        return Pose(self.heading_deg, self.pitch_deg, self.roll_deg, self.agl_m)

    @property
    def camera(self) -> CameraModel | None:
        """The lens, where the field of view is known."""
        return None if self.hfov_deg is None else CameraModel(self.hfov_deg)

    @property
    def position(self) -> LatLon | None:
        """The camera's position, where it is known."""
        return None if self.lat is None or self.lon is None else LatLon(self.lat, self.lon)


def range_problem(name: str, value: float | None) -> str | None:
    """Why a value of the field `name` cannot be meant, or `None` where it can."""
    low, high, _ = RANGES[name]
    if value is None or low <= value <= high:
        return None
    return f"is not within {low:g} … {high:g}"


@dataclass(frozen=True, slots=True)
class TelemetryRow:
    """One row of a telemetry CSV.

    Attributes:
        photo: path or file name as the row gives it, with forward slashes; `.` for none.
        telemetry: the known values.
        line: line of the file where the row ends, from 1.
        time_s: seconds since the start of the video or flight; `None` where the row has none.
    """

    photo: PurePosixPath
    telemetry: Telemetry
    line: int
    time_s: float | None = None


class TelemetryTable:
    """All rows of a telemetry CSV, to be looked up by photo."""

    def __init__(self, source: str, rows: tuple[TelemetryRow, ...]) -> None:
        self.source = source
        self.rows = rows
        self._by_name: dict[str, list[TelemetryRow]] = {}
        seen: dict[str, TelemetryRow] = {}
        for row in rows:
            if not row.photo.name:
                continue
            twin = seen.setdefault(str(row.photo).casefold(), row)
            if twin is not row:
                raise UsageError(
                    f"{source}, line {row.line}",
                    f"photo {row.photo} stands in line {twin.line} already",
                    "keep one row for each photo",
                )
            self._by_name.setdefault(row.photo.name.casefold(), []).append(row)

    def __len__(self) -> int:
        return len(self.rows)

    def lookup(self, photo: str | PathLike[str]) -> Telemetry:
        """What the table knows of a photo; an empty `Telemetry` where it has no row.

        A row fits whose path ends the photo's path; of several, the longest. Where none does,
        the file name alone decides. Case is ignored.

        Raises:
            UsageError: only the file name fits, and it fits several rows.
        """
        path = _normalised(str(Path(photo).absolute()))
        rows = self._by_name.get(path.name.casefold(), [])
        ends = [row for row in rows if _ends_with(path, row.photo)]
        if ends:
            return max(ends, key=lambda row: len(row.photo.parts)).telemetry
        if len(rows) > 1:
            raise UsageError(
                self.source,
                f"lines {', '.join(str(row.line) for row in rows)} could all mean {photo}",
                "write the photos' folders into the column photo",
            )
        return rows[0].telemetry if rows else Telemetry()


def read_telemetry_csv(
    path: str | PathLike[str], key: Literal["photo", "time_s"] = "photo"
) -> TelemetryTable:
    """Reads a telemetry CSV.

    Columns: `photo`, `time_s` and any of the fields of `Telemetry`, in any order; an empty cell is
    unknown. Separators may be commas, semicolons (then decimal commas are understood) or tabs.

    Args:
        path: of the file.
        key: the column that every row must fill: `photo`, or for a video `time_s`.

    Raises:
        UsageError: the file cannot be read or says something that cannot be meant; the message
            names the line.
    """
    source = os.fspath(path)
    text = read_text(source)
    delimiter = separator(text)
    rows_of_cells = records(source, text, delimiter)
    line, names = next(rows_of_cells, (0, []))
    if not names:
        raise UsageError(source, "is empty", f"begin with a line of columns: {','.join(COLUMNS)}")
    header = _header(f"{source}, line {line}", names, key)
    rows = (
        _row(f"{source}, line {line}", line, header, cells, key, decimal_comma=delimiter != ",")
        for line, cells in rows_of_cells
    )
    return TelemetryTable(source, tuple(rows))


def _header(where: str, names: list[str], key: str) -> list[str]:
    header = [name.casefold() for name in names]
    for name in header:
        if name and name not in (*COLUMNS, *_KEYS):
            raise UsageError(where, f"column {name!r} is unknown", _advice(name))
        if name and header.count(name) > 1:
            raise UsageError(where, f"column {name!r} stands twice", "keep one of them")
    if key not in header:
        raise UsageError(where, f"has no column {key!r}", _KEYS[key])
    return header


def _advice(name: str) -> str:
    for column, usual in _USUAL_NAMES.items():
        if name in usual:
            return f"call it {column!r} if that is what it holds, or remove it"
    stems = {column.partition("_")[0]: column for column in COLUMNS}
    near = difflib.get_close_matches(name.partition("_")[0], stems, n=1)
    if near:
        return f"if it is meant as {stems[near[0]]!r}, convert and rename it, or remove it"
    return f"remove it; known are {', '.join(COLUMNS)}"


def _row(
    where: str, line: int, header: list[str], cells: list[str], key: str, *, decimal_comma: bool
) -> TelemetryRow:
    if any(cells[len(header) :]):
        raise UsageError(where, "has more cells than there are columns", "remove the excess")
    given = {name: cell for name, cell in zip(header, cells, strict=False) if cell}
    if "" in given:
        raise UsageError(where, f"{given['']!r} stands under no column", "name that column")
    photo = _normalised(given.pop("photo", ""))
    if key == "photo" and not photo.name:
        raise UsageError(where, "names no photo", "fill in the column photo or remove the row")
    if decimal_comma:
        given = {name: cell.replace(",", ".") for name, cell in given.items()}
    time_s = _seconds(where, given.pop("time_s", ""))
    if key == "time_s" and time_s is None:
        raise UsageError(where, "has no time_s", "fill in the column time_s or remove the row")
    values = {name: _value(where, name, cell) for name, cell in given.items()}
    if ("lat" in values) != ("lon" in values):
        raise UsageError(where, "has only one of lat and lon", "give both or neither")
    return TelemetryRow(photo, Telemetry(**values), line, time_s)


def _seconds(where: str, cell: str) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= LONGEST_S:
        raise UsageError(where, f"time_s {cell!r} is no time", "give seconds since the start")
    return value


def _value(where: str, name: str, cell: str) -> float:
    cure = RANGES[name][2]
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(where, f"{name} {cell!r} is not a number", f"{cure}, or leave it empty")
    problem = range_problem(name, value)
    if problem is not None:
        raise UsageError(where, f"{name} {cell} {problem}", cure)
    return value


def _normalised(path: str) -> PurePosixPath:
    # A file written on Windows has backslashes; no photo's name contains one.
    return PurePosixPath(os.path.normpath(path.replace("\\", "/")) if path else "")


def _ends_with(path: PurePosixPath, end: PurePosixPath) -> bool:
    parts = [part.casefold() for part in path.parts]
    tail = [part.casefold() for part in end.parts]
    return parts[-len(tail) :] == tail
