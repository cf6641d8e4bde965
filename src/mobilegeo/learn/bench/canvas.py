"""One drawing, two files: lines, circles and text as PNG and as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol
from xml.sax.saxutils import escape

from mobilegeo.learn.evaluation.drawing import PAPER, Colour, font, write_png
from mobilegeo.output.atomic import write_atomically

_SVG_ANCHORS = {"left": "start", "middle": "middle", "right": "end"}

Anchor = Literal["left", "middle", "right"]

_SCALE = 2
"""The PNG has so many pixels for one of the drawing."""
_SMOOTH = 2
"""It is drawn larger still and reduced, which smooths edges."""
_BASELINE = 0.36
"""From a text's middle down to its baseline, in heights of its letters."""


def text_width_px(text: str, size_px: float) -> float:
    """Width of a text in the typeface of the PNG."""
    return font(100).getlength(text) * size_px / 100


class Canvas(Protocol):
    """What a drawing is made on; lengths in pixels, y downwards."""

    def line(
        self, points: list[tuple[float, float]], colour: Colour, width_px: float = 1.0
    ) -> None:
        """A line through points."""
        ...

    def circle(
        self,
        centre: tuple[float, float],
        radius_px: float,
        fill: Colour | None,
        outline: Colour,
        width_px: float = 2.0,
    ) -> None:
        """A disc, or a ring where `fill` is `None`."""
        ...

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size_px: float,
        colour: Colour,
        anchor: Anchor = "left",
    ) -> None:
        """A line of text, its middle at the height of the point."""
        ...

    def write(self, path: Path) -> None:
        """Writes the file; whole or not at all."""
        ...


class PngCanvas:
    """A canvas of pixels.

    Args:
        width_px, height_px: of the drawing; the picture has twice as many.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        from PIL import Image, ImageDraw

        self._size = width_px * _SCALE, height_px * _SCALE
        self._zoom = _SCALE * _SMOOTH
        large = width_px * self._zoom, height_px * self._zoom
        self._image = Image.new("RGB", large, PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def line(
        self, points: list[tuple[float, float]], colour: Colour, width_px: float = 1.0
    ) -> None:
        """A line through points."""
        zoomed = [(x * self._zoom, y * self._zoom) for x, y in points]
        self._draw.line(zoomed, fill=colour, width=round(width_px * self._zoom))

    def circle(
        self,
        centre: tuple[float, float],
        radius_px: float,
        fill: Colour | None,
        outline: Colour,
        width_px: float = 2.0,
    ) -> None:
        """A disc, or a ring where `fill` is `None`."""
        x, y, r = centre[0] * self._zoom, centre[1] * self._zoom, radius_px * self._zoom
        box = (x - r, y - r, x + r, y + r)
        self._draw.ellipse(box, fill, outline, round(width_px * self._zoom))

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size_px: float,
        colour: Colour,
        anchor: Anchor = "left",
    ) -> None:
        """A line of text, its middle at the height of the point."""
        letters = font(round(size_px * self._zoom))
        place = at[0] * self._zoom, (at[1] + _BASELINE * size_px) * self._zoom
        self._draw.text(place, text, colour, letters, anchor=f"{anchor[0]}s")

    def write(self, path: Path) -> None:
        """Writes a PNG."""
        from PIL import Image

        write_png(self._image.resize(self._size, Image.Resampling.LANCZOS), path)


class SvgCanvas:
    """A canvas of shapes.

    Args:
        width_px, height_px: of the drawing.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_px}" height="{height_px}">',
            '<g font-family="Helvetica, Arial, sans-serif">',
            f'<rect width="{width_px}" height="{height_px}" fill="{_hex(PAPER)}"/>',
        ]

    def line(
        self, points: list[tuple[float, float]], colour: Colour, width_px: float = 1.0
    ) -> None:
        """A line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{_hex(colour)}" '
            f'stroke-width="{width_px:g}"/>'
        )

    def circle(
        self,
        centre: tuple[float, float],
        radius_px: float,
        fill: Colour | None,
        outline: Colour,
        width_px: float = 2.0,
    ) -> None:
        """A disc, or a ring where `fill` is `None`."""
        inside = "none" if fill is None else _hex(fill)
        self._parts.append(
            f'<circle cx="{centre[0]:.1f}" cy="{centre[1]:.1f}" r="{radius_px - width_px / 2:.1f}" '
            f'fill="{inside}" stroke="{_hex(outline)}" stroke-width="{width_px:g}"/>'
        )

    def text(
        self,
        at: tuple[float, float],
        text: str,
        size_px: float,
        colour: Colour,
        anchor: Anchor = "left",
    ) -> None:
        """A line of text, as wide as in the PNG, its middle at the height of the point."""
        self._parts.append(
            f'<text x="{at[0]:.1f}" y="{at[1] + _BASELINE * size_px:.1f}" font-size="{size_px:g}" '
            f'fill="{_hex(colour)}" text-anchor="{_SVG_ANCHORS[anchor]}" '
            f'textLength="{text_width_px(text, size_px):.1f}">{escape(text)}</text>'
        )

    def write(self, path: Path) -> None:
        """Writes an SVG."""
        write_atomically(path, "\n".join([*self._parts, "</g>", "</svg>", ""]).encode())


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
