"""All that a photo says of itself, brought together in the displayed image's terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mobilegeo.camera import Pose
from mobilegeo.geo import LatLon
from mobilegeo.metadata import lens
from mobilegeo.metadata.attitude import displayed_pose
from mobilegeo.metadata.exif import read_exif
from mobilegeo.metadata.makernote import read_maker_note
from mobilegeo.metadata.telemetry import Telemetry, range_problem
from mobilegeo.metadata.xmp import XmpFacts, read_xmp

SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True, slots=True)
class OwnMetadata:
    """What a photo says of itself.

    Attributes:
        telemetry: its values. `sigma_m` stays unknown: receivers state the spread of their own
            filter, not the lag behind a moving drone, which is several times that.
        time: as in `Exif`.
        orientation: EXIF orientation, 1 … 8.
        notes: what was found and could not be used as it stands.
    """

    telemetry: Telemetry
    time: datetime | None
    orientation: int
    notes: tuple[str, ...]


def read_own(exif_block: bytes, xmp_packet: bytes, stored_size: tuple[int, int]) -> OwnMetadata:
    """Reads a photo's metadata; never raises.

    Args:
        exif_block: its EXIF, empty where there is none.
        xmp_packet: its XMP, empty where there is none.
        stored_size: (width, height) of the whole image in pixels, before any turning.
    """
    exif = read_exif(exif_block)
    xmp = read_xmp(xmp_packet)
    maker = read_maker_note(exif.maker_note)
    notes = list(exif.notes)

    camera = xmp.camera if xmp.camera != Pose() else maker.camera
    if camera.heading_deg is None:
        heading = xmp.aircraft_heading_deg
        heading = maker.aircraft_heading_deg if heading is None else heading
        if heading is not None:
            notes.append("camera heading not recorded, the aircraft's is used")
            camera = Pose(heading, camera.pitch_deg, camera.roll_deg)
    pose = displayed_pose(camera, exif.orientation)
    if pose is None:
        pose = Pose()
        notes.append("attitude ignored, the image is stored mirrored")

    position = exif.position or _received(xmp.position)
    telemetry = Telemetry(
        heading_deg=pose.heading_deg,
        pitch_deg=pose.pitch_deg,
        roll_deg=pose.roll_deg,
        agl_m=_height(xmp, notes),
        hfov_deg=_field_of_view(exif.lens, xmp.calibration, stored_size, exif.orientation),
        lat=position.lat if position else None,
        lon=position.lon if position else None,
    )
    return OwnMetadata(telemetry, exif.time, exif.orientation, tuple(notes))


def _received(position: LatLon | None) -> LatLon | None:
    return None if position == LatLon(0.0, 0.0) else position


def _height(xmp: XmpFacts, notes: list[str]) -> float | None:
    """Height above ground; adds to `notes` what it had to assume."""
    if xmp.above_ground_m is not None:
        height, note = xmp.above_ground_m, ""
    elif xmp.above_take_off_m is not None:
        height, note = xmp.above_take_off_m, "height is above the take-off, not the ground"
    else:
        return None
    problem = range_problem("agl_m", height)
    if problem is not None:
        notes.append(f"height {height:g} m {problem}, ignored")
        return None
    if note:
        notes.append(note)
    return height


def _field_of_view(
    tags: lens.LensTags,
    calibration: lens.Calibration | None,
    stored_size: tuple[int, int],
    orientation: int,
) -> float | None:
    focal_px = lens.focal_px(tags, calibration, stored_size)
    if focal_px is None:
        return None
    return lens.hfov_deg(focal_px, stored_size[1 if orientation in SIDEWAYS else 0])
