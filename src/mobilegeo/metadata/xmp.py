"""XMP properties in which drones write attitude, height, position and calibration.

| prefix | written by | angles |
|---|---|---|
| `drone-dji` | DJI | camera, north-east-down: pitch −90 straight down |
| `drone-parrot` | Parrot Anafi | the same |
| `drone-skydio` | Skydio | the same, as a structure of its own |
| `Camera` | Pix4D's; Parrot Sequoia, senseFly, Autel, Sentera | body: pitch 0 straight down |
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from mobilegeo.camera import Pose
from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon
from mobilegeo.metadata.attitude import body_pose, gimbal_pose
from mobilegeo.metadata.lens import Calibration

# Patterns rather than an XML parser: packets come split, cut off and badly escaped, and a
# parser would lose all for one fault, or be made to expand entities without end.
_NAME = r"(?<![\w-])((?:drone-dji|drone-parrot|drone-skydio|Camera):\w+)"
_ATTRIBUTE = re.compile(_NAME + r"""\s{0,99}=\s{0,99}(?:"([^"<]{0,99})"|'([^'<]{0,99})')""")
_ELEMENT = re.compile("<" + _NAME + r"(?:\s[^<>]{0,999})?>([^<]{0,999})<")
_SKYDIO_ATTITUDE = re.compile(
    r"<drone-skydio:CameraOrientationNED\b(.{0,2000}?)(?:/>|</drone-skydio:CameraOrientationNED)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class XmpFacts:
    """What a photo's XMP says; nothing of it is certain to be there.

    Attributes:
        camera: the camera's attitude in the stored image.
        aircraft_heading_deg: the airframe's heading.
        above_ground_m: height above ground.
        above_take_off_m: height above the place of take-off.
        position: the camera's position.
        calibration: the maker's.
    """

    camera: Pose = field(default_factory=Pose)
    aircraft_heading_deg: float | None = None
    above_ground_m: float | None = None
    above_take_off_m: float | None = None
    position: LatLon | None = None
    calibration: Calibration | None = None


def read_xmp(packet: bytes) -> XmpFacts:
    """Reads an XMP packet, whole or in pieces; what cannot be read is left out."""
    # Without its zeros, UTF-16 reads like the ASCII that all wanted names and values are.
    text = packet.replace(b"\0", b"").decode("utf-8", errors="replace")
    values = _properties(text)
    heading = values.get("drone-dji:FlightYawDegree")
    return XmpFacts(
        camera=_camera(text, values),
        aircraft_heading_deg=None if heading is None else heading % 360.0,
        above_ground_m=values.get("Camera:AboveGroundAltitude"),
        above_take_off_m=values.get("drone-dji:RelativeAltitude"),
        position=_position(values),
        calibration=_calibration(values),
    )


def _properties(text: str) -> dict[str, float]:
    """The numbers among the properties, in attribute or element form; the first of a name."""
    found: dict[str, float] = {}
    for pattern in (_ATTRIBUTE, _ELEMENT):
        for name, *texts in pattern.findall(text):
            value = _number("".join(texts))
            if value is not None:
                found.setdefault(name, value)
    return found


def _number(text: str) -> float | None:
    above, _, below = text.partition("/")
    try:
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None


def _camera(text: str, values: dict[str, float]) -> Pose:
    pose = gimbal_pose(*(values.get(f"drone-dji:Gimbal{axis}Degree") for axis in _AXES))
    if pose == Pose():
        pose = gimbal_pose(*(values.get(f"drone-parrot:Camera{axis}Degree") for axis in _AXES))
    if pose == Pose():
        pose = _skydio(text)
    if pose == Pose():
        pose = _pix4d(text, values)
    return pose


_AXES = ("Yaw", "Pitch", "Roll")


def _skydio(text: str) -> Pose:
    # Several frames of reference use the same names, each in a structure of its own.
    structure = _SKYDIO_ATTITUDE.search(text)
    if structure is None:
        return Pose()
    values = _properties(structure.group(1) + "<")
    return gimbal_pose(*(values.get(f"drone-skydio:{axis}") for axis in _AXES))


def _pix4d(text: str, values: dict[str, float]) -> Pose:
    yaw, pitch = values.get("Camera:Yaw"), values.get("Camera:Pitch")
    if yaw is None or pitch is None or max(abs(yaw), abs(pitch)) > 360.0:
        return Pose()
    roll = values.get("Camera:Roll", 0.0)
    # senseFly counts roll the other way round (OpenDroneMap, photo.py).
    sign = -1.0 if "ns.sensefly.com" in text else 1.0
    return body_pose(yaw, pitch, sign * roll if abs(roll) <= 360.0 else 0.0)


def _position(values: dict[str, float]) -> LatLon | None:
    latitude = _first(values, "drone-dji:GpsLatitude", "drone-dji:Latitude")
    # DJI misspelt its longitude for years.
    longitude = _first(
        values, "drone-dji:GpsLongitude", "drone-dji:GpsLongtitude", "drone-dji:Longitude"
    )
    if latitude is None or longitude is None:
        return None
    try:
        return LatLon(latitude, longitude)
    except UsageError:
        return None


def _calibration(values: dict[str, float]) -> Calibration | None:
    focal = values.get("drone-dji:CalibratedFocalLength")
    x = values.get("drone-dji:CalibratedOpticalCenterX")
    y = values.get("drone-dji:CalibratedOpticalCenterY")
    return None if focal is None or x is None or y is None else Calibration(focal, x, y)


def _first(values: dict[str, float], *names: str) -> float | None:
    return next((values[name] for name in names if name in values), None)
