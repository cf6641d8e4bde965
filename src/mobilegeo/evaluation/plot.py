"""A picture of how far confidence can be believed: reliability, and risk over coverage."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mobilegeo.errors import UsageError
from mobilegeo.evaluation.metrics import Evaluation
from mobilegeo.output.atomic import write_atomically

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Point = tuple[float, float]

PANEL_PX = 420
MARGIN_PX = 64
INK, GRID, NOMINAL, CURVE = "#222222", "#dddddd", "#888888", "#0060b0"
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
FONT_PX = 14


def write_plot(evaluation: Evaluation, path: Path) -> None:
    """Draws the reliability curve beside wrong-fix rate over coverage, as a PNG.

    Raises:
        UsageError: the file's name does not end in .png, or it cannot be written.
    """
    from PIL import Image, ImageDraw

    if path.suffix.lower() != ".png":
        raise UsageError(path, "is not a .png file", "name the plot with the ending .png")
    width, height = 2 * (PANEL_PX + MARGIN_PX) + MARGIN_PX, PANEL_PX + 2 * MARGIN_PX
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    left = _Panel(draw, MARGIN_PX, 1.0, ("confidence", "share of right fixes"))
    left.line([(0.0, 0.0), (1.0, 1.0)], NOMINAL)
    most = max((item.fixes for item in evaluation.reliability), default=1)
    curve = [(item.mean_confidence, item.right) for item in evaluation.reliability]
    left.line(curve, CURVE)
    for point, item in zip(curve, evaluation.reliability, strict=True):
        # A dot's area grows with the fixes behind it.
        left.dot(point, 3 + 9 * (item.fixes / most) ** 0.5)
    risks = [
        (risk.coverage, risk.wrong_fix_rate)
        for risk in evaluation.risk
        if risk.wrong_fix_rate is not None
    ]
    top = _round_up(max((rate for _, rate in risks), default=0.0))
    right = _Panel(
        draw, 2 * MARGIN_PX + PANEL_PX, top, ("photos answered, surest first", "wrong fixes")
    )
    right.line(risks, CURVE)
    for point in risks:
        right.dot(point, 5)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())


class _Panel:
    """Axes from 0 to 1 across and from 0 to `top` upwards, and what is drawn in them."""

    def __init__(self, draw: ImageDraw, left: int, top: float, names: tuple[str, str]) -> None:
        from PIL import ImageFont

        self._draw, self._left, self._top = draw, left, top
        font = ImageFont.load_default(FONT_PX)
        for tick in TICKS:
            (x, y), (x0, y0) = self._place((tick, tick * top)), self._place((0.0, 0.0))
            x1, y1 = self._place((1.0, top))
            draw.line([(x, y0), (x, y1)], GRID)
            draw.line([(x0, y), (x1, y)], GRID)
            draw.text((x, y0 + 6), f"{100 * tick:g}", INK, font, anchor="ma")
            draw.text((x0 - 6, y), f"{100 * tick * top:g}", INK, font, anchor="rm")
        x, y = self._place((0.5, 0.0))
        draw.text((x, y + 28), f"{names[0]}, %", INK, font, anchor="ma")
        x, y = self._place((0.0, top))
        draw.text((x, y - 12), f"{names[1]}, %", INK, font, anchor="ls")

    def line(self, points: Sequence[Point], colour: str) -> None:
        """A line through points in the panel's own units."""
        if len(points) > 1:
            self._draw.line([self._place(point) for point in points], colour, width=2)

    def dot(self, point: Point, radius_px: float) -> None:
        """A filled circle."""
        x, y = self._place(point)
        box = (x - radius_px, y - radius_px, x + radius_px, y + radius_px)
        self._draw.ellipse(box, fill=CURVE)

    def _place(self, point: Point) -> Point:
        x, y = point
        return self._left + x * PANEL_PX, MARGIN_PX + (1.0 - y / self._top) * PANEL_PX


def _round_up(rate: float) -> float:
    """The end of an axis that shows a rate: 2, 10, 20, 50 or 100 %."""
    return next(end for end in (0.02, 0.1, 0.2, 0.5, 1.0) if rate <= end)
