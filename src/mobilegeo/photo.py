"""A photo: its pixels and what is known of how and where it was taken.

Metadata come first and pixels on demand, so that the scale at which to decode can be chosen by
what is known; the file is read once:

```python
opened = open_photo("DJI_0042.JPG")
opened.metadata.telemetry.agl_m
photo = opened.decode(min_side_px=512)
```

The displayed image is what everything refers to: EXIF orientation is applied to the pixels, to
the field of view and to the attitude. Values given on the command line (`overrides`) stand before
those of a telemetry file, and these before the photo's own. What is unknown stays `None`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import CameraModel, Pose
from mobilegeo.decode import decode_rgb, open_file, open_header
from mobilegeo.geo import LatLon
from mobilegeo.metadata.own import SIDEWAYS, OwnMetadata, read_own
from mobilegeo.metadata.telemetry import Telemetry

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_XMP_SEGMENT = b"http://ns.adobe.com/"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoMetadata:
    """What is known of a photo without its pixels.

    Attributes:
        source: the photo as it was named.
        full_size: (width, height) of the displayed image at full size, pixels.
        time: when it was taken; aware where the photo says the offset from UTC or has the time by
            GPS, otherwise naive, by the camera's clock.
        gps: the photo's own position; `None` where it has none.
        pose: attitude and height; `None` where nothing of them is known.
        camera: the lens; `None` where its field of view is not known.
        telemetry: everything known, from all sources.
        notes: what was found and could not be used, or had to be assumed.
    """

    source: str
    full_size: tuple[int, int]
    time: datetime | None = None
    gps: LatLon | None = None
    pose: Pose | None = None
    camera: CameraModel | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)
    notes: tuple[str, ...] = ()

    def position(self, *, ignore_gps: bool = False) -> LatLon | None:
        """The best known position of the camera.

        Args:
            ignore_gps: leave out the photo's own; one that was given counts, unless it only
                repeats the photo's.
        """
        known = self.telemetry.position
        return None if ignore_gps and known == self.gps else known


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photo(PhotoMetadata):
    """A photo, decoded.

    Attributes:
        image: uint8 [H, W, 3] RGB as displayed, possibly at a reduced scale of `full_size`.
    """

    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class OpenedPhoto:
    """A photo whose file is in memory and whose pixels are not decoded yet.

    Attributes:
        metadata: what is known of it.
        content: the bytes of its file.
        orientation: EXIF orientation of the stored pixels, 1 … 8.
    """

    metadata: PhotoMetadata
    content: bytes
    orientation: int

    def decode(self, min_side_px: int | None = None) -> Photo:
        """Decodes the pixels.

        Args:
            min_side_px: the shorter side may be reduced to no fewer pixels; by 1/2, 1/4 or 1/8.
                `None` decodes at full size.

        Raises:
            PhotoError: the pixels are damaged, cut off, or of a kind that is not supported.
        """
        image = decode_rgb(
            self.metadata.source, io.BytesIO(self.content), self.orientation, min_side_px
        )
        known = {f.name: getattr(self.metadata, f.name) for f in fields(self.metadata)}
        return Photo(image=image, **known)


def read_photo(
    path: str | PathLike[str],
    *,
    telemetry: Telemetry | None = None,
    overrides: Telemetry | None = None,
    min_side_px: int | None = None,
) -> Photo:
    """Reads a photo.

    Args:
        path: a JPEG, PNG, TIFF or WebP file.
        telemetry: what a telemetry file says of it; stands before the photo's own metadata.
        overrides: what the user says of it; stands before both.
        min_side_px: as in `OpenedPhoto.decode`.

    Raises:
        PhotoError: the file is missing, damaged, too large or not a supported image.
    """
    return open_photo(path, telemetry=telemetry, overrides=overrides).decode(min_side_px)


def open_photo(
    path: str | PathLike[str],
    *,
    telemetry: Telemetry | None = None,
    overrides: Telemetry | None = None,
) -> OpenedPhoto:
    """Reads a photo's file and metadata and leaves the pixels for later; as `read_photo`."""
    source = os.fspath(path)
    with open_file(path) as stream:
        content = stream.read()
    own, stored_size = _read_own(source, io.BytesIO(content))
    metadata = _merged(source, stored_size, own, telemetry, overrides)
    return OpenedPhoto(metadata, content, own.orientation)


def read_metadata(
    path: str | PathLike[str],
    *,
    telemetry: Telemetry | None = None,
    overrides: Telemetry | None = None,
) -> PhotoMetadata:
    """Reads a photo's metadata alone, from the head of its file; as `read_photo`."""
    source = os.fspath(path)
    with open_file(path) as stream:
        own, stored_size = _read_own(source, stream)
    return _merged(source, stored_size, own, telemetry, overrides)


def _read_own(source: str, stream: BinaryIO) -> tuple[OwnMetadata, tuple[int, int]]:
    """The photo's own metadata, and (width, height) as stored."""
    image = open_header(source, stream)
    return read_own(_exif_block(image, stream), _xmp_packet(image), image.size), image.size


def _exif_block(image: ImageFile, stream: BinaryIO) -> bytes:
    if image.format == "TIFF":  # the file itself is one
        stream.seek(0)
        return stream.read()
    block = image.info.get("exif", b"")
    return block if isinstance(block, bytes) else b""


def _xmp_packet(image: ImageFile) -> bytes:
    """All of a JPEG's XMP segments, of which Pillow itself keeps the last; others have one."""
    segments: Sequence[tuple[str, bytes]] = getattr(image, "applist", ())
    packet = b"".join(data for _, data in segments if data.startswith(_XMP_SEGMENT))
    packet = packet or image.info.get("xmp", b"")
    return packet if isinstance(packet, bytes) else b""


def _merged(
    source: str,
    stored_size: tuple[int, int],
    own: OwnMetadata,
    telemetry: Telemetry | None,
    overrides: Telemetry | None,
) -> PhotoMetadata:
    width, height = stored_size
    given = (overrides or Telemetry()).over(telemetry or Telemetry())
    recorded = own.telemetry
    if given.heading_deg is not None and abs(recorded.roll_deg or 0.0) > 45.0:
        # A camera rolled so far was turned on its side; that roll belongs to its own heading.
        recorded = replace(recorded, roll_deg=None)
    known = given.over(recorded)
    return PhotoMetadata(
        source=source,
        full_size=(height, width) if own.orientation in SIDEWAYS else (width, height),
        time=own.time,
        gps=own.telemetry.position,
        pose=None if known.pose == Pose() else known.pose,
        camera=known.camera,
        telemetry=known,
        notes=own.notes,
    )
