"""EXIF: position, time, orientation and lens, and the maker note as bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon
from mobilegeo.metadata.ifd import (
    Directory,
    Order,
    byte_order,
    number,
    pointer,
    read_directory,
    text,
)
from mobilegeo.metadata.lens import LensTags

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_ORIENTATION = 0x0112
_TIME, _OFFSET, _SUBSECONDS = 0x9003, 0x9011, 0x9291
_MAKER_NOTE = 0x927C
_FOCAL_MM, _EQUIVALENT_MM, _ZOOM = 0x920A, 0xA405, 0xA404
_ORIGINAL_WIDTH, _PLANE_RESOLUTION, _PLANE_UNIT = 0xA002, 0xA20E, 0xA210
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_LAT_REF, _LAT, _LON_REF, _LON, _GPS_TIME, _GPS_DATE = 1, 2, 3, 4, 7, 29


@dataclass(frozen=True, slots=True)
class Exif:
    """What a photo's EXIF says.

    Attributes:
        orientation: 1 … 8; 1 where it is not said.
        position: by GPS.
        time: when the photo was taken; aware (with an offset from UTC) where the photo says one
            or has the time by GPS, otherwise naive, by the camera's clock.
        lens: focal lengths and sensor.
        maker_note: its bytes, empty where there is none.
        notes: what was found and could not be used.
    """

    orientation: int = 1
    position: LatLon | None = None
    time: datetime | None = None
    lens: LensTags = field(default_factory=LensTags)
    maker_note: bytes = b""
    notes: tuple[str, ...] = ()


def read_exif(block: bytes) -> Exif:
    """Reads an EXIF block (a TIFF file, bare or as a JPEG holds it); never raises."""
    tiff = block.removeprefix(b"Exif\0\0")
    order = byte_order(tiff)
    if order is None:
        return Exif(notes=("EXIF is damaged, ignored",) if block else ())
    header = read_directory(tiff, _offset(tiff, order), order)
    camera = _child(tiff, order, header, _EXIF_IFD)
    gps = _child(tiff, order, header, _GPS_IFD)
    position, note = _position(gps)
    maker_note = camera.get(_MAKER_NOTE)
    orientation = number(header, _ORIENTATION) or 1
    return Exif(
        orientation=int(orientation) if 1 <= orientation <= 8 else 1,
        position=position,
        time=_time(camera, gps),
        lens=_lens(camera),
        maker_note=maker_note if isinstance(maker_note, bytes) else b"",
        notes=(note,) if note else (),
    )


def _offset(tiff: bytes, order: Order) -> int:
    return int.from_bytes(tiff[4:8], "little" if order == "<" else "big")


def _child(tiff: bytes, order: Order, parent: Directory, tag: int) -> Directory:
    offset = pointer(parent, tag)
    return {} if offset is None else read_directory(tiff, offset, order)


def _position(gps: Directory) -> tuple[LatLon | None, str]:
    """The position by GPS, and why it is not used where it is there."""
    if _LAT not in gps and _LON not in gps:
        return None, ""
    latitude = _angle(gps, _LAT, _LAT_REF, "NS")
    longitude = _angle(gps, _LON, _LON_REF, "EW")
    if latitude is None or longitude is None:
        return None, "EXIF GPS is incomplete or no number, ignored"
    if latitude == 0.0 and longitude == 0.0:
        return None, "EXIF GPS is 0, 0, which cameras write without reception, ignored"
    try:
        return LatLon(latitude, longitude), ""
    except UsageError:
        return None, "EXIF GPS out of range, ignored"


def _angle(gps: Directory, tag: int, ref_tag: int, refs: str) -> float | None:
    """Degrees, minutes and seconds with their hemisphere as one angle, degrees."""
    parts, ref = gps.get(tag), text(gps, ref_tag).upper()
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3 or len(ref) != 1:
        return None
    if ref not in refs or not all(math.isfinite(part) and part >= 0.0 for part in parts):
        return None
    if any(part > 60.0 for part in parts[1:]):
        return None
    angle = sum(part / 60.0**power for power, part in enumerate(parts))
    return angle if ref == refs[0] else -angle


def _time(camera: Directory, gps: Directory) -> datetime | None:
    local = _local_time(camera)
    offset = _utc_offset(text(camera, _OFFSET))
    if local is not None and offset is not None:
        return local.replace(tzinfo=offset)
    return _gps_time(gps) or local


def _local_time(camera: Directory) -> datetime | None:
    try:
        time = datetime.strptime(text(camera, _TIME)[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    fraction = text(camera, _SUBSECONDS)
    if fraction.isascii() and fraction.isdigit():
        time = time.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    return time


def _utc_offset(written: str) -> timezone | None:
    try:
        sign = {"+": 1, "-": -1}[written[:1]]
        hours, minutes = (int(part) for part in written[1:].split(":"))
        return timezone(sign * timedelta(hours=hours, minutes=minutes))
    except (KeyError, ValueError, OverflowError):
        return None


def _gps_time(gps: Directory) -> datetime | None:
    clock = gps.get(_GPS_TIME)
    if not isinstance(clock, tuple) or len(clock) != 3 or not all(map(math.isfinite, clock)):
        return None
    try:
        day = datetime.strptime(text(gps, _GPS_DATE), "%Y:%m:%d").replace(tzinfo=UTC)
        return day + timedelta(hours=clock[0], minutes=clock[1], seconds=clock[2])
    except (ValueError, OverflowError):
        return None


def _lens(camera: Directory) -> LensTags:
    resolution = _positive(camera, _PLANE_RESOLUTION)
    unit_mm = _MM_PER_UNIT.get(int(number(camera, _PLANE_UNIT) or 2))
    return LensTags(
        focal_mm=_positive(camera, _FOCAL_MM),
        equivalent_mm=_positive(camera, _EQUIVALENT_MM),
        pixel_pitch_mm=unit_mm / resolution if resolution and unit_mm else None,
        original_width_px=_positive(camera, _ORIGINAL_WIDTH),
        zoom=_positive(camera, _ZOOM) or 1.0,
    )


def _positive(camera: Directory, tag: int) -> float | None:
    value = number(camera, tag)
    return value if value is not None and value > 0.0 else None
