"""The DJI maker note: attitude of the aircraft and of the camera in photos of 2014 to 2020.

Layout and tag numbers as ExifTool lists them (`DJI.pm`): a directory without header whose values
lie inside its entries. Its byte order need not be that of the EXIF around it: the Phantom 3
writes a little-endian note into big-endian EXIF.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mobilegeo.camera import Pose
from mobilegeo.metadata.attitude import gimbal_pose
from mobilegeo.metadata.ifd import ORDERS, Directory, number, read_directory, text

_MAKE = 0x01
_AIRCRAFT = {"pitch": 0x06, "yaw": 0x07, "roll": 0x08}
_CAMERA = {"pitch": 0x09, "yaw": 0x0A, "roll": 0x0B}


@dataclass(frozen=True, slots=True)
class MakerNote:
    """What a DJI maker note says.

    Attributes:
        camera: the camera's attitude, in the stored image; all `None` where it is not recorded.
        aircraft_heading_deg: the airframe's heading; `None` where it is not recorded.
    """

    camera: Pose = field(default_factory=Pose)
    aircraft_heading_deg: float | None = None


def read_maker_note(note: bytes) -> MakerNote:
    """Reads a DJI maker note; bytes of any other kind give an empty one."""
    tags = _directory(note)
    camera = gimbal_pose(**{f"{name}_deg": number(tags, tag) for name, tag in _CAMERA.items()})
    heading = number(tags, _AIRCRAFT["yaw"])
    return MakerNote(camera, heading % 360.0 if heading is not None else None)


def _directory(note: bytes) -> Directory:
    for order in ORDERS:
        tags = read_directory(note, 0, order)
        if text(tags, _MAKE) == "DJI":
            return tags
    return {}
