"""Drone photos as files: JPEG with what a drone's camera writes beside the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mobilegeo.geo import LatLon, wrap_deg
from mobilegeo.world.scene import Image

MAKE, MODEL = "MobileGeo", "Simulated"

_SENSOR_WIDTH_MM = 6.4
_FULL_FRAME_DIAGONAL_MM = 43.2666
_QUALITY = 90

_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/"
   drone-dji:AbsoluteAltitude="{altitude_m:+.2f}"
   drone-dji:RelativeAltitude="{agl_m:+.2f}"
   drone-dji:GpsLatitude="{lat:.7f}"
   drone-dji:GpsLongitude="{lon:.7f}"
   drone-dji:GimbalRollDegree="{roll_deg:+.2f}"
   drone-dji:GimbalYawDegree="{heading_deg:+.2f}"
   drone-dji:GimbalPitchDegree="{pitch_deg:+.2f}"
   drone-dji:FlightRollDegree="+0.00"
   drone-dji:FlightYawDegree="{heading_deg:+.2f}"
   drone-dji:FlightPitchDegree="+0.00"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


@dataclass(frozen=True, slots=True)
class Record:
    """What the drone believes when it takes a photo.

    Attributes:
        position: its own, by GPS.
        altitude_m: above sea level.
        heading_deg, pitch_deg, roll_deg: of the camera, as in `Pose`.
        agl_m: height above the take-off point, taken to be level with the ground.
        hfov_deg: field of view across the width; exact, the lens does not drift.
        time: of exposure, local.
    """

    position: LatLon
    altitude_m: float
    heading_deg: float
    pitch_deg: float
    roll_deg: float
    agl_m: float
    hfov_deg: float
    time: datetime


def write_photo(path: Path, image: Image, record: Record) -> None:
    """Writes a JPEG with EXIF and DJI's XMP; the file appears whole or not at all.

    The lens stands in EXIF three times: FocalLength with FocalPlaneXResolution, exact; and
    FocalLengthIn35mmFilm, by the standard's equal diagonal and rounded to a millimetre.

    Args:
        path: of the file.
        image: uint8 [H, W, 3] RGB.
        record: what it says of itself.
    """
    from PIL import Image as Pillow

    partial = path.with_name(f".{path.name}.partial")
    exif = _exif(image.shape[1], image.shape[0], record)
    heading = wrap_deg(record.heading_deg)
    xmp = _XMP.format(
        altitude_m=record.altitude_m,
        agl_m=record.agl_m,
        lat=record.position.lat,
        lon=record.position.lon,
        roll_deg=record.roll_deg,
        heading_deg=heading,
        pitch_deg=record.pitch_deg,
    )
    Pillow.fromarray(image).save(
        partial, "JPEG", quality=_QUALITY, exif=exif, xmp=xmp.encode("utf-8")
    )
    partial.replace(path)


def _exif(width_px: int, height_px: int, record: Record) -> bytes:
    from PIL.ExifTags import GPS, IFD, Base
    from PIL.Image import Exif
    from PIL.TiffImagePlugin import IFDRational

    focal_mm = _SENSOR_WIDTH_MM / 2 / math.tan(math.radians(record.hfov_deg) / 2)
    diagonal_mm = _SENSOR_WIDTH_MM * math.hypot(1, height_px / width_px)
    exif = Exif()
    exif[Base.Make], exif[Base.Model] = MAKE, MODEL
    stamp = record.time.strftime("%Y:%m:%d %H:%M:%S")
    exif[Base.DateTime] = stamp
    camera = exif.get_ifd(IFD.Exif)
    camera[Base.DateTimeOriginal] = stamp
    camera[Base.FocalLength] = IFDRational(round(focal_mm * 10_000), 10_000)
    camera[Base.FocalLengthIn35mmFilm] = round(_FULL_FRAME_DIAGONAL_MM * focal_mm / diagonal_mm)
    per_cm = IFDRational(round(width_px * 1000), round(_SENSOR_WIDTH_MM * 100))
    camera[Base.FocalPlaneXResolution] = camera[Base.FocalPlaneYResolution] = per_cm
    camera[Base.FocalPlaneResolutionUnit] = 3
    camera[Base.ExifImageWidth], camera[Base.ExifImageHeight] = width_px, height_px
    position = exif.get_ifd(IFD.GPSInfo)
    position[GPS.GPSVersionID] = b"\x02\x03\x00\x00"
    position[GPS.GPSLatitudeRef] = "N" if record.position.lat >= 0 else "S"
    position[GPS.GPSLatitude] = _sexagesimal(record.position.lat)
    position[GPS.GPSLongitudeRef] = "E" if record.position.lon >= 0 else "W"
    position[GPS.GPSLongitude] = _sexagesimal(record.position.lon)
    position[GPS.GPSAltitudeRef] = b"\x00" if record.altitude_m >= 0 else b"\x01"
    position[GPS.GPSAltitude] = IFDRational(round(abs(record.altitude_m) * 1000), 1000)
    return exif.tobytes()


def _sexagesimal(angle_deg: float) -> tuple[object, object, object]:
    """Degrees, minutes and seconds to 0.0001″, 3 mm on the ground."""
    from PIL.TiffImagePlugin import IFDRational

    ticks = round(abs(angle_deg) * 3600 * 10_000)
    minutes, rest = divmod(ticks, 60 * 10_000)
    degrees, minutes = divmod(minutes, 60)
    return IFDRational(degrees, 1), IFDRational(minutes, 1), IFDRational(rest, 10_000)
