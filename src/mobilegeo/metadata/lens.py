"""From what a photo says of its lens to a focal length in pixels.

A focal length in pixels survives what EXIF leaves open: it is the same along both axes and does
not change when the image is turned for display.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""A 35 mm equivalent focal length is one of equal *diagonal* field of view (CIPA DCG-001), so
the image's own shape gives the width. Makers of drones quote the diagonal too: DJI's 20 mm is 94°
and 24 mm is 84° corner to corner, on 4:3 sensors 82° and 72° across. Where a 16:9 photo is a crop
of a 4:3 sensor whose 35 mm value was left as it is, the field of view comes out up to 7 % too
wide."""

_SENSOR_WIDTHS_MM = (1.0, 80.0)
_TOLERANCE = 0.03


@dataclass(frozen=True, slots=True)
class Calibration:
    """A maker's calibration, in pixels of the original image.

    Attributes:
        focal_px: focal length.
        centre_x_px, centre_y_px: the optical centre, close to half the image's size.
    """

    focal_px: float
    centre_x_px: float
    centre_y_px: float


@dataclass(frozen=True, slots=True)
class LensTags:
    """The EXIF tags that describe the lens; `None` is unknown.

    Attributes:
        focal_mm: focal length.
        equivalent_mm: 35 mm equivalent focal length.
        pixel_pitch_mm: distance of pixels on the sensor, of the image `original_width_px` wide.
        original_width_px: width of the image as the camera wrote it.
        zoom: digital zoom, 1 without.
    """

    focal_mm: float | None = None
    equivalent_mm: float | None = None
    pixel_pitch_mm: float | None = None
    original_width_px: float | None = None
    zoom: float = 1.0


def focal_px(
    tags: LensTags, calibration: Calibration | None, size: tuple[int, int]
) -> float | None:
    """Focal length in pixels of an image of `size` (width, height) as stored; `None` if unknown.

    The maker's calibration comes first where it is one of this image, then the 35 mm equivalent,
    then the focal length with the sensor's resolution. EXIF does not say whether the equivalent
    counts a digital zoom; drones write that of the lens, so the zoom is applied to it.
    """
    nominal = _from_equivalent(tags, size) or _from_pixel_pitch(tags, size)
    calibrated = _from_calibration(calibration, size) if calibration else None
    if calibrated and (not nominal or 0.85 < calibrated / nominal < 1.18):
        return calibrated
    return nominal


def hfov_deg(focal_length_px: float, width_px: int) -> float | None:
    """Field of view across an image; `None` where it is beyond what a pinhole can show."""
    angle = math.degrees(2.0 * math.atan2(width_px / 2.0, focal_length_px))
    return angle if 1.0 <= angle <= 170.0 else None


def _from_equivalent(tags: LensTags, size: tuple[int, int]) -> float | None:
    if not tags.equivalent_mm:
        return None
    return tags.equivalent_mm * tags.zoom * math.hypot(*size) / FILM_DIAGONAL_MM


def _from_pixel_pitch(tags: LensTags, size: tuple[int, int]) -> float | None:
    if not tags.focal_mm or not tags.pixel_pitch_mm:
        return None
    original_width = tags.original_width_px or size[0]
    low, high = _SENSOR_WIDTHS_MM
    if not low <= tags.pixel_pitch_mm * original_width <= high:
        return None
    return tags.focal_mm / tags.pixel_pitch_mm * tags.zoom * size[0] / original_width


def _from_calibration(calibration: Calibration, size: tuple[int, int]) -> float | None:
    """Scaled to this image if it has the calibrated image's shape, so that it is no crop."""
    width, height = 2.0 * calibration.centre_x_px, 2.0 * calibration.centre_y_px
    if min(calibration.focal_px, width, height) <= 0.0:
        return None
    if abs(width / height / (size[0] / size[1]) - 1.0) > _TOLERANCE:
        return None
    return calibration.focal_px * size[0] / width
