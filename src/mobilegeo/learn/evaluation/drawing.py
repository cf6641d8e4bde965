"""What pictures of results share: letters, colours and files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from mobilegeo.output.atomic import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (32, 33, 36)
FAINT: Colour = (120, 124, 130)
RIGHT: Colour = (0, 133, 72)
WRONG: Colour = (200, 50, 35)
QUERY: Colour = (30, 90, 190)


def font(size_px: int) -> FreeTypeFont:
    """The typeface inside Pillow, so that pictures are the same on every machine."""
    from PIL import ImageFont

    found = ImageFont.load_default(size_px)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow is built without FreeType")
    return found


def shortened(text: str, width_px: float, letters: FreeTypeFont) -> str:
    """The text, cut at its front where it is wider: names differ most at their ends."""
    if letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength("..." + text) > width_px:
        text = text[1:]
    return "..." + text


def write_png(image: Image, path: Path) -> None:
    """Writes a picture; whole or not at all.

    Raises:
        UsageError: the folder cannot be written.
    """
    stream = BytesIO()
    image.save(stream, "PNG")
    write_atomically(path, stream.getvalue())
