"""From the bytes of an image file to RGB pixels, refusing what cannot be meant.

Limits, checked in the header before anything is decoded: `MAX_PIXELS` and `MAX_BYTES`. A JPEG is
decoded at a reduced scale where that is enough: 100 megapixels at 1/8 took 77 MB of memory with
the file's own 62 MB, 360 MB where it was progressive. Decoded at full size, or in another format,
an image takes about 10 bytes a pixel at the peak.

What becomes 8-bit RGB: 16-bit channels keep their high byte, grey is repeated, palettes are
looked up, CMYK is converted without a colour profile, transparency is ignored, and of several
pages or frames the first counts. 32-bit and floating-point pixels are refused, as only the user
knows their range.

Pillow reads headers and all that is unusual. JPEGs in grey or colour are decoded by OpenCV, to the
same pixels (both use libjpeg-turbo) in less time: see `docs/results/pipeline.md`.
"""

from __future__ import annotations

import os
import threading
import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import PhotoError, UsageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_PIXELS = 200_000_000
"""Largest image, pixels; the largest drone cameras have 150 million."""
MAX_BYTES = 1 << 30
"""Largest file, bytes."""

_JPEG, _PNG, _WEBP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"WEBP"
_TIFF = (b"II*\0", b"MM\0*")
_HEIF_BRANDS = (b"heic", b"heix", b"heif", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_CONVERT = "convert it to JPEG"
_NEW_SUBFILE_TYPE, _DNG_VERSION = 0x00FE, 0xC612

# `warnings.catch_warnings` swaps a table of the whole process.
_WARNINGS_LOCK = threading.Lock()


def open_file(path: str | PathLike[str]) -> BinaryIO:
    """Opens a photo for reading.

    Raises:
        PhotoError: there is no such file, or it cannot be one photo.
    """
    where = os.fspath(path)
    try:
        if not Path(where).exists():
            raise PhotoError(where, "does not exist", "check the path")
        if not Path(where).is_file():
            raise PhotoError(where, "is not a file", "give photos, for example DIR/*.JPG")
        size = Path(where).stat().st_size
        stream = Path(where).open("rb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise PhotoError(
            where, f"cannot be opened ({error.strerror})", "check its permissions"
        ) from error
    if not 0 < size <= MAX_BYTES:
        stream.close()
        if size == 0:
            raise PhotoError(where, "is empty (0 bytes)", "copy it from the camera again")
        raise PhotoError(where, f"has {size:,} bytes, over {MAX_BYTES:,}", "give a smaller image")
    return stream


def open_header(where: str, stream: BinaryIO) -> ImageFile:
    """Reads an image's header; no pixel is decoded.

    Raises:
        PhotoError: the format is not supported, the header is damaged or the image too large.
    """
    stream.seek(0)
    start = stream.read(16)
    stream.seek(0)
    try:
        # Pillow warns of flaws in metadata, which this package reads itself.
        with _WARNINGS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _plugin(where, start)(stream)
            raw = _is_raw(image)
    except PhotoError:
        raise
    except Exception as error:  # whatever a decoder raises on damaged bytes
        raise _damaged(where, error) from error
    if raw:
        raise PhotoError(where, "is a raw image, of which only a preview could be read", _CONVERT)
    width, height = image.size
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise PhotoError(
            where,
            f"has {width} × {height} pixels, over {MAX_PIXELS:,}",
            "reduce or cut it",
        )
    return image


def decode_rgb(
    where: str, stream: BinaryIO, orientation: int, min_side_px: int | None
) -> NDArray[np.uint8]:
    """Decodes an image and turns it as its EXIF `orientation` says.

    Args:
        where: the file, for messages.
        stream: its bytes.
        orientation: EXIF orientation, 1 … 8.
        min_side_px: decode at the smallest of 1, 1/2, 1/4 and 1/8 of the size at which the
            shorter side still has so many pixels; `None` decodes at full size.

    Returns:
        uint8 [H, W, 3], RGB, contiguous and writeable.

    Raises:
        PhotoError: the pixels are damaged, cut off, or of a kind that is refused.
        UsageError: `min_side_px` is not positive.
    """
    if min_side_px is not None and min_side_px < 1:
        raise UsageError(f"min_side_px {min_side_px}", "is not positive", "give pixels, or None")
    image = open_header(where, stream)
    factor = _reduction(min(image.size), min_side_px or min(image.size))
    try:
        pixels = _by_opencv(image, stream, factor)
        if pixels is None:
            pixels = _by_pillow(where, image, factor)
    except PhotoError:
        raise
    except Exception as error:  # whatever a decoder raises on damaged bytes
        raise _damaged(where, error) from error
    return np.require(_turned(pixels, orientation), requirements=["C", "W"])


def _plugin(where: str, start: bytes) -> type[ImageFile]:
    """The Pillow class for a file's first bytes.

    Chosen here rather than by `Image.open`, which tries some forty formats and warns of any image
    above 89 megapixels.
    """
    if start.startswith(_JPEG):
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile
    if start.startswith(_PNG):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile
    if start.startswith(_TIFF):
        from PIL.TiffImagePlugin import TiffImageFile

        return TiffImageFile
    if start[8:12] == _WEBP:
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        raise PhotoError(where, "is a HEIC or AVIF image, which is not supported", _CONVERT)
    raise PhotoError(where, "is no image of a supported kind (JPEG, PNG, TIFF, WebP)", _CONVERT)


def _is_raw(image: ImageFile) -> bool:
    """Whether this is a TIFF of a camera's raw data, whose first page is a small preview."""
    from PIL.TiffImagePlugin import TiffImageFile

    if not isinstance(image, TiffImageFile):
        return False
    is_preview = bool(image.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & 1)
    return is_preview or _DNG_VERSION in image.tag_v2


def _by_opencv(image: ImageFile, stream: BinaryIO, factor: int) -> NDArray[np.uint8] | None:
    """Pixels at 1 / `factor` of an ordinary JPEG; `None` for others and for a damaged one.

    Pillow then says what is wrong with it.
    """
    if image.format != "JPEG" or image.mode not in ("L", "RGB"):
        return None
    import cv2

    scales = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }
    stream.seek(0)
    content = np.frombuffer(stream.read(), np.uint8)
    flags = scales[factor] | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    pixels: NDArray[np.uint8] | None = cv2.imdecode(content, flags)
    return pixels


def _by_pillow(where: str, image: ImageFile, factor: int) -> NDArray[np.uint8]:
    """Pixels at 1 / `factor`, uint8 [H, W, 3]."""
    from PIL import Image

    width, height = image.size
    drafted = image.draft(None, (width // factor, height // factor))  # None where not a JPEG
    image.load()
    pixels = _rgb(where, image)
    if drafted is None and factor > 1:
        return np.asarray(Image.fromarray(pixels).reduce(factor))
    return pixels


def _rgb(where: str, image: ImageFile) -> NDArray[np.uint8]:
    """Pixels of a loaded image, uint8 [H, W, 3]."""
    if image.mode in ("I", "F"):
        raise PhotoError(
            where, "has 32-bit pixels, whose range is not known", "scale it to 8 or 16 bits"
        )
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    image.info.pop("transparency", None)  # it is ignored; Pillow would warn of it
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def reduced(image: NDArray[np.uint8], min_side_px: int) -> NDArray[np.uint8]:
    """An image in memory, averaged down as far as `decode_rgb` would have decoded it.

    Args:
        image: uint8 [H, W, 3] RGB.
        min_side_px: the shorter side may be reduced to no fewer pixels; by 1/2, 1/4 or 1/8.
    """
    import cv2

    factor = _reduction(min(image.shape[:2]), min_side_px)
    if factor == 1:
        return image
    size = (-(-image.shape[1] // factor), -(-image.shape[0] // factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _reduction(side_px: int, min_side_px: int) -> int:
    """The largest of 8, 4, 2 and 1 by which a side can be divided and still has so many pixels."""
    return next((factor for factor in (8, 4, 2) if side_px // factor >= min_side_px), 1)


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The image as EXIF `orientation` (1 … 8) means it to be shown; a view, [H, W, 3]."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _damaged(where: str, error: Exception) -> PhotoError:
    return PhotoError(
        where, f"is damaged or cut off ({error})", "copy it from the camera again or leave it out"
    )
