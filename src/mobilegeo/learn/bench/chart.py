"""The speed/accuracy chart: milliseconds measured here, accuracy as published, bubbles by cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilegeo.learn.bench.canvas import Canvas, PngCanvas, SvgCanvas, text_width_px
from mobilegeo.learn.bench.comparison import Comparison, Row
from mobilegeo.learn.bench.peers import BENCHMARK, PEERS
from mobilegeo.learn.bench.placement import Box, Circle, Label, nearest, place_labels
from mobilegeo.learn.evaluation.drawing import FAINT, INK, Colour
from mobilegeo.output.atomic import make_folder

WIDTH_PX, HEIGHT_PX = 1120, 760
PLOT = Box(84, 118, 1090, 540)
STRIP = Box(84, 560, 1090, 668)
"""Below the plot: networks whose accuracy on the benchmark is not known."""

OURS: Colour = (0, 110, 180)
PEER: Colour = (190, 95, 30)
_PALE: dict[Colour, Colour] = {OURS: (224, 238, 248), PEER: (250, 236, 225)}
_GRID: Colour = (226, 228, 232)
_TEXT_PX, _TITLE_PX, _SMALL_PX = 13.0, 20.0, 12.0
_RADIUS_PX = 4.6
"""Of a bubble of 10⁹ multiply-adds; areas are proportional."""
_LEAST_RADIUS_PX = 4.0


@dataclass(frozen=True, slots=True)
class Bubble:
    """One network on the chart.

    Attributes:
        label: its name.
        ms: an image, measured here.
        accuracy: published, per cent; `None` puts it into the strip below.
        multiply_adds: an image; `None` where it is not known.
        ours: whether it is of our family.
    """

    label: str
    ms: float
    accuracy: float | None
    multiply_adds: int | None
    ours: bool

    @property
    def radius_px(self) -> float:
        """Of a disc whose area is proportional to the multiply-adds."""
        giga = (self.multiply_adds or 0) / 1e9
        return max(_RADIUS_PX * math.sqrt(giga), _LEAST_RADIUS_PX)


def bubbles_of(comparison: Comparison) -> list[Bubble]:
    """Every peer, and of ours PyTorch eager and the fastest float32 and int8 runtimes.

    A published accuracy is that of the float32 network, so that an int8 one goes without.
    """
    chosen: list[Row] = []
    for name in dict.fromkeys(row.contender.name for row in comparison.rows):
        rows = [row for row in comparison.rows if row.contender.name == name]
        kinds: dict[str, list[Row]] = {}
        for row in rows:
            kinds.setdefault(_kind(row.contender.runtime), []).append(row)
        chosen += [min(some, key=lambda row: row.timing.time.p50_ms) for some in kinds.values()]
    return [_bubble(row) for row in chosen]


def write_chart(comparison: Comparison, where: str, folder: Path) -> tuple[Path, Path]:
    """Draws `speed.png` and `speed.svg`.

    Args:
        comparison: what was measured.
        where: the machine, in words.
        folder: made if missing.

    Raises:
        UsageError: the folder cannot be written.
    """
    make_folder(folder)
    bubbles = bubbles_of(comparison)
    files = folder / "speed.png", folder / "speed.svg"
    canvases: tuple[Canvas, ...] = PngCanvas(WIDTH_PX, HEIGHT_PX), SvgCanvas(WIDTH_PX, HEIGHT_PX)
    for canvas, file in zip(canvases, files, strict=True):
        draw_chart(canvas, bubbles, where)
        canvas.write(file)
    return files


def draw_chart(canvas: Canvas, bubbles: Sequence[Bubble], where: str) -> None:
    """Draws the chart on a canvas.

    Args:
        canvas: of `WIDTH_PX` × `HEIGHT_PX`.
        bubbles: one or more.
        where: the machine, in words.
    """
    scales = _Scales.of(bubbles)
    _draw_title(canvas, where)
    _draw_frame(canvas, scales)
    for known, panel in ((True, PLOT), (False, STRIP)):
        own = [each for each in bubbles if (each.accuracy is not None) == known]
        # Large bubbles first, so that small ones stay visible; slow ones choose their label first.
        circles = {each: scales.circle(each) for each in own}
        for each in sorted(own, key=lambda b: -b.radius_px):
            circle = circles[each]
            colour = OURS if each.ours else PEER
            fill = None if known else _PALE[colour]
            canvas.circle((circle.x, circle.y), circle.radius, fill, colour)
        _draw_labels(canvas, own, [circles[each] for each in own], panel)


@dataclass(frozen=True, slots=True)
class _Scales:
    """From milliseconds and per cent to pixels."""

    ms: tuple[float, float]
    accuracy: tuple[float, float]

    @classmethod
    def of(cls, bubbles: Sequence[Bubble]) -> _Scales:
        times = [each.ms for each in bubbles]
        known = [each.accuracy for each in bubbles if each.accuracy is not None] or [90.0]
        low = 5 * math.floor((min(known) - 2) / 5)
        high = min(5 * math.ceil((max(known) + 2) / 5), 100)
        return cls((min(times) / 1.5, max(times) * 1.9), (low, high))

    def x(self, ms: float) -> float:
        low, high = (math.log(value) for value in self.ms)
        return PLOT.left + (PLOT.right - PLOT.left) * (math.log(ms) - low) / (high - low)

    def y(self, accuracy: float) -> float:
        low, high = self.accuracy
        return PLOT.bottom - (PLOT.bottom - PLOT.top) * (accuracy - low) / (high - low)

    def circle(self, bubble: Bubble) -> Circle:
        middle = (STRIP.top + STRIP.bottom) / 2
        y = middle if bubble.accuracy is None else self.y(bubble.accuracy)
        return Circle(self.x(bubble.ms), y, bubble.radius_px)


def _draw_title(canvas: Canvas, where: str) -> None:
    left = PLOT.left
    canvas.text((left, 28), "Speed and accuracy of drone geo-localization networks", _TITLE_PX, INK)
    canvas.text((left, 54), f"Milliseconds measured on {where}, one image", _SMALL_PX, FAINT)
    x, y = left, 84.0
    for colour, text in ((OURS, "ours"), (PEER, "other papers' networks, in PyTorch eager")):
        canvas.circle((x + 7, y), 7, None, colour)
        canvas.text((x + 20, y), text, _SMALL_PX, INK)
        x += 40 + text_width_px(text, _SMALL_PX)
    canvas.text((x, y), "hollow: accuracy as published, not measured here", _SMALL_PX, INK)
    x, y = PLOT.right, 62.0
    for giga in (50, 5):
        radius = Bubble("", 1, None, giga * 10**9, ours=False).radius_px
        text = f"{giga} G multiply-adds"
        canvas.text((x, y), text, _SMALL_PX, INK, "right")
        x -= text_width_px(text, _SMALL_PX) + radius + 8
        canvas.circle((x, y), radius, None, FAINT, 1.5)
        x -= radius + 16


def _draw_frame(canvas: Canvas, scales: _Scales) -> None:
    for ms in ticks(*scales.ms):
        x = scales.x(ms)
        canvas.line([(x, PLOT.top), (x, PLOT.bottom)], _GRID)
        canvas.line([(x, STRIP.top), (x, STRIP.bottom)], _GRID)
        canvas.text((x, STRIP.bottom + 14), f"{ms:g}", _SMALL_PX, INK, "middle")
    low, high = scales.accuracy
    for percent in range(round(low), round(high) + 1, 5):
        y = scales.y(percent)
        canvas.line([(PLOT.left, y), (PLOT.right, y)], _GRID)
        canvas.text((PLOT.left - 8, y), f"{percent}", _SMALL_PX, INK, "right")
    for box in (PLOT, STRIP):
        corners = [
            (box.left, box.top),
            (box.right, box.top),
            (box.right, box.bottom),
            (box.left, box.bottom),
            (box.left, box.top),
        ]
        canvas.line(corners, FAINT)
    middle = (PLOT.left + PLOT.right) / 2
    canvas.text(
        (middle, STRIP.bottom + 38), "milliseconds an image (log scale)", _TEXT_PX, INK, "middle"
    )
    canvas.text(
        (middle, STRIP.bottom + 64),
        "Peers, nano and tiny have random weights for the timing: speed does not depend on them.",
        _SMALL_PX,
        FAINT,
        "middle",
    )
    canvas.text((PLOT.left, PLOT.top - 10), BENCHMARK, _SMALL_PX, FAINT)
    canvas.text(
        (STRIP.left + 8, STRIP.bottom - 11),
        "pale: speed only; no accuracy on this benchmark measured here or found for this network",
        _SMALL_PX,
        FAINT,
    )


def _draw_labels(
    canvas: Canvas, bubbles: Sequence[Bubble], circles: Sequence[Circle], panel: Box
) -> None:
    labels = [
        Label(circle, text_width_px(each.label, _SMALL_PX), _SMALL_PX + 3)
        for each, circle in zip(bubbles, circles, strict=True)
    ]
    note = Box(panel.left, panel.bottom - 20, panel.left + 530, panel.bottom)
    places = place_labels(labels, [note] if panel is STRIP else [], panel)
    for each, circle, box in zip(bubbles, circles, places, strict=True):
        if box is None:
            continue
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        _draw_leader(canvas, circle, box)
        canvas.text((x, y), each.label, _SMALL_PX, INK, "middle")


def _draw_leader(canvas: Canvas, circle: Circle, box: Box) -> None:
    """A line from a bubble to its label, where they are not next to each other."""
    x, y = nearest(circle, box)
    distance = math.hypot(x - circle.x, y - circle.y)
    if distance > circle.radius + 8:
        share = circle.radius / distance
        start = circle.x + share * (x - circle.x), circle.y + share * (y - circle.y)
        canvas.line([start, (x, y)], FAINT)


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two positive numbers."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = [digit * 10.0**power for power in range(first, last + 1) for digit in (1, 2, 5)]
    return [mark for mark in marks if low <= mark <= high]


def _kind(runtime: str) -> str:
    """Runtimes of one kind are shown by the fastest of them."""
    if runtime.endswith("int8"):
        return "int8"
    return runtime if runtime.startswith("torch") or runtime.endswith("bf16") else "float32"


def _bubble(row: Row) -> Bubble:
    it = row.contender
    ours = it.name not in PEERS
    reduced = it.runtime.endswith(("int8", "bf16"))
    published = None if reduced or it.published is None else it.published.recall_at_1

    label = f"{it.name} · {it.runtime}" if ours else it.title.replace(": ", " · ").replace("×", "x")
    cost = it.complexity
    return Bubble(
        label, row.timing.time.p50_ms, published, None if cost is None else cost.multiply_adds, ours
    )
