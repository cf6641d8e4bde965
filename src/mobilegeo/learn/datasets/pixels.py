"""The pixels of a view, whole file or cut out of a map sheet."""

from __future__ import annotations

import threading
import warnings

import numpy as np
from numpy.typing import NDArray

from mobilegeo.decode import decode_rgb, open_file
from mobilegeo.errors import PhotoError
from mobilegeo.learn.datasets.records import PixelBox, View

_UPRIGHT = 1
"""EXIF orientation. The public evaluations ignore what the files say, and so do we."""
_OVERSIZE = 2
"""An image that is fitted to an input is decoded at no less than so many times its size."""
_OPENING = threading.Lock()
"""Map sheets are opened one at a time: GDAL's warnings are silenced for the whole process."""


def load_square(view: View, size_px: int) -> NDArray[np.uint8]:
    """A view as networks are evaluated on it, in training's validation and by `learn evaluate`.

    Squeezed to a square with Pillow's bicubic filter, which averages where it shrinks, as
    University-1652's `test.py` does.

    Returns:
        uint8 [S, S, 3], RGB.

    Raises:
        PhotoError: the file is missing, damaged or no image.
    """
    from PIL import Image

    pixels = load_pixels(view, _OVERSIZE * size_px)
    fitted = Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.asarray(fitted)


def load_pixels(view: View, min_side_px: int | None = None) -> NDArray[np.uint8]:
    """Reads a view.

    Args:
        view: the record.
        min_side_px: the shorter side may be reduced to so many pixels; None reads at full size.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        PhotoError: the file is missing, damaged or no image.
    """
    if view.crop is not None:
        return _cut_out(view, view.crop, min_side_px)
    with open_file(view.path) as stream:
        return decode_rgb(str(view.path), stream, _UPRIGHT, min_side_px)


def _cut_out(view: View, box: PixelBox, min_side_px: int | None) -> NDArray[np.uint8]:
    """Reads a part of a map sheet; GDAL reads only the blocks or rows that it needs."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.windows import Window

    short = min(box.width, box.height)
    shrink = 1.0 if min_side_px is None else max(1.0, short / min_side_px)
    shape = (3, round(box.height / shrink), round(box.width / shrink))
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            opened = rasterio.open(view.path)
        with opened as sheet:
            pixels = sheet.read(
                [1, 2, 3],
                window=Window(box.left, box.top, box.width, box.height),
                out_shape=shape,
                resampling=Resampling.average,
            )
    except (RasterioError, IndexError) as error:
        raise PhotoError(
            view.path, f"is damaged or no RGB map ({error})", "unpack it again"
        ) from error
    if pixels.dtype != np.uint8:
        raise PhotoError(view.path, f"has {pixels.dtype} pixels", "convert the map to 8 bits")
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))
