"""Telemetry in subtitle files (SRT), as DJI and Autel drones write them beside a video.

Known dialects, told apart by what they hold rather than by model:

```
HOME(149.0251,-20.2532) 2017.08.05 14:11:51        Phantom 3, Inspire, Mavic Pro
GPS(149.0251,-20.2533,16) BAROMETER:1.9            longitude first; height above take-off

F/2.8, SS 206, ISO 100, EV 0, GPS (12.54, 55.68, 15), D 24.4m, H 6.0m, H.S 0.30m/s, V.S 0.0m/s,
F.PRY (1.0°, -2.0°, 90.0°), G.PRY (-90.0°, 0.0°, 91.2°)      Phantom 4, RTK; Autel with E/W, N/S

<font size="36">FrameCnt : 1, DiffTime : 33ms      Mavic 2, Mini, Air, Mavic 3, Matrice
2019-09-06 19:12:11,697,125
[focal_len : 240] [latitude: 0.608553] [longtitude: -1.963763] [rel_alt: 1.3 abs_alt: 177.3]
[gb_yaw : -35.7 gb_pitch : -10 gb_roll : 0.0]</font>
```

`longtitude` is DJI's own spelling. Positions of 0, 0 mean no reception. Of the heights only the one
above the take-off is of use; it is taken for the height above ground. The focal length is a
35 mm equivalent, in tenths of a millimetre from 100 on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path

from mobilegeo.errors import UsageError
from mobilegeo.geo import wrap_deg
from mobilegeo.metadata import lens
from mobilegeo.metadata.telemetry import Telemetry, range_problem

MAX_BYTES = 1 << 28
"""Largest file, bytes: more than ten hours at 30 blocks a second."""

_NUMBER = r"([-+]?\d+(?:\.\d+)?)"
_TIMES = re.compile(r"(\d{1,4}):(\d{1,2}):(\d{1,2})[,.](\d{1,3})\s*-->")
_TAGS = re.compile(r"<[^<>]*>")
_PAIR = re.compile(r"(?<![A-Za-z_])([A-Za-z_]+)\s*:\s*" + _NUMBER)
_POINT = re.compile(
    r"(?:GPS|RTK)\s*\(\s*([EWNS]?)\s*:?\s*" + _NUMBER + r"\s*,\s*([EWNS]?)\s*:?\s*" + _NUMBER
)
_GIMBAL = re.compile(r"G\.PRY\s*\(" + r"\s*,\s*".join(3 * [_NUMBER + r"\s*°?"]))
_BAROMETER = re.compile(r"BAROMETER\s*:\s*" + _NUMBER)
_HEIGHT = re.compile(r"\bH\s+" + _NUMBER + r"\s*m\b")
_CLOCK = re.compile(
    r"(\d{4})[.\-/](\d{1,2})[.\-/](\d{1,2})[ T](\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d{3}))?"
)
_CURE = "give the SRT that the drone wrote beside the video, or a CSV"


@dataclass(frozen=True, slots=True)
class SrtBlock:
    """One subtitle.

    Attributes:
        time_s: when it appears, seconds since the start of the video.
        telemetry: what it says; the field of view is left to `focal_mm`.
        focal_mm: 35 mm equivalent focal length.
        clock: the camera's clock.
    """

    time_s: float
    telemetry: Telemetry
    focal_mm: float | None = None
    clock: datetime | None = None

    def seen_by(self, size_px: tuple[int, int]) -> Telemetry:
        """The telemetry with the field of view of a video of `size_px` (width, height)."""
        if self.focal_mm is None:
            return self.telemetry
        tags = lens.LensTags(equivalent_mm=self.focal_mm)
        focal_px = lens.focal_px(tags, None, size_px)
        hfov = None if focal_px is None else lens.hfov_deg(focal_px, size_px[0])
        return Telemetry(hfov_deg=hfov).over(self.telemetry)


@dataclass(frozen=True, slots=True)
class SrtFile:
    """A subtitle file.

    Attributes:
        blocks: in order of time.
        skipped: how many blocks held no telemetry or could not be read.
    """

    blocks: tuple[SrtBlock, ...]
    skipped: int


def read_srt(path: str | PathLike[str]) -> SrtFile:
    """Reads a drone's subtitle file; blocks that make no sense are skipped and counted.

    Raises:
        UsageError: the file cannot be read, is too large, or no block of it holds telemetry.
    """
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise UsageError(path, f"is larger than {MAX_BYTES:,} bytes", _CURE)
        text = Path(path).read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(path, f"cannot be read ({error.strerror})", "check the path") from error
    parsed = parse_srt(text)
    if not parsed.blocks:
        told = "holds no subtitles" if not parsed.skipped else (
            f"holds {parsed.skipped} subtitles, none with telemetry of a known kind"
        )  # fmt: skip
        raise UsageError(path, told, _CURE)
    return parsed


def parse_srt(text: str) -> SrtFile:
    """The blocks of a subtitle file's text."""
    blocks, skipped = [], 0
    for time_s, body in _bodies(text):
        block = _block(time_s, body)
        if block is None:
            skipped += 1
        else:
            blocks.append(block)
    return SrtFile(tuple(sorted(blocks, key=lambda block: block.time_s)), skipped)


def _bodies(text: str) -> Iterator[tuple[float, str]]:
    """Start and text of every subtitle."""
    marks = list(_TIMES.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    for mark, end in zip(marks, ends, strict=False):
        hours, minutes, seconds, fraction = mark.groups()
        start = 3600 * int(hours) + 60 * int(minutes) + int(seconds)
        body = text[mark.end() : end].partition("\n")[2]
        # Runs of blanks would cost the patterns above the cube of their length.
        yield start + float(f"0.{fraction}"), " ".join(_TAGS.sub(" ", body).split())


def _block(time_s: float, body: str) -> SrtBlock | None:
    pairs = {name.lower(): float(value) for name, value in _PAIR.findall(body)}
    values = {
        "heading_deg": _wrapped(pairs.get("gb_yaw")),
        "pitch_deg": pairs.get("gb_pitch"),
        "roll_deg": pairs.get("gb_roll"),
        "agl_m": pairs.get("rel_alt", _first(_BAROMETER, body) or _first(_HEIGHT, body)),
    }
    gimbal = _GIMBAL.search(body)
    if gimbal is not None:
        pitch, roll, yaw = (float(value) for value in gimbal.groups())
        values |= {"pitch_deg": pitch, "roll_deg": roll, "heading_deg": _wrapped(yaw)}
    values |= _position(pairs, body)
    known = {
        name: value
        for name, value in values.items()
        if value is not None and range_problem(name, value) is None
    }
    focal = pairs.get("focal_len")
    if not known and focal is None:
        return None
    if focal is not None and focal >= 100.0:
        focal /= 10.0
    usable = focal is not None and 5.0 <= focal <= 500.0
    return SrtBlock(time_s, Telemetry(**known), focal if usable else None, _clock(body))


def _position(pairs: dict[str, float], body: str) -> dict[str, float]:
    """Latitude and longitude, both or neither."""
    lat, lon = pairs.get("latitude"), pairs.get("longitude", pairs.get("longtitude"))
    point = _POINT.search(body)
    if point is not None and (lat is None or lon is None):
        first, a, second, b = point.groups()
        lon, lat = float(a), float(b)
        if first in ("N", "S") or second in ("E", "W") or abs(lat) > 90.0:
            (first, lon), (second, lat) = (second, lat), (first, lon)
        lon = -abs(lon) if first == "W" else lon
        lat = -abs(lat) if second == "S" else lat
    if lat is None or lon is None or (lat == 0.0 and lon == 0.0):
        return {}
    if range_problem("lat", lat) or range_problem("lon", lon):
        return {}
    return {"lat": lat, "lon": lon}


def _first(pattern: re.Pattern[str], body: str) -> float | None:
    match = pattern.search(body)
    return None if match is None else float(match[1])


def _wrapped(angle_deg: float | None) -> float | None:
    return None if angle_deg is None or not math.isfinite(angle_deg) else wrap_deg(angle_deg)


def _clock(body: str) -> datetime | None:
    match = _CLOCK.search(body)
    if match is None:
        return None
    year, month, day, hour, minute, second, thousandths = (
        int(part or 0) for part in match.groups()
    )
    try:
        return datetime(year, month, day, hour, minute, second, 1000 * thousandths)
    except ValueError:
        return None
