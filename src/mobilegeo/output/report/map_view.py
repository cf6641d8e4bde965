"""The map of the report, as SVG in metres with marks of constant size on the screen."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mobilegeo.output.report.images import data_uri
from mobilegeo.output.report.markup import confidence_colour, escape
from mobilegeo.output.report.parts import Contents, Entry, MapImage
from mobilegeo.output.report.plot import Box, Plot, nice_length, plan
from mobilegeo.output.text import finite, summary_line

MAP_SIDE_PX = 1280
NUMBERED_PINS = 60
"""With more fixes than this the pins are small and without numbers."""

_ASSUMED_WIDTH_PX = 640
"""Width at which marks have their right size before the script has measured the page."""


def render_map(contents: Contents) -> str:
    """The figure with map or plain plot, scale bar, north arrow, controls and legend."""
    plot = plan(contents)
    if plot is None:
        return '<p class="empty">There is no position to draw.</p>'
    view = plot.view
    has_truth = any(entry.truth for entry in contents.entries)
    kind = "plot"
    kind += " dense" if len(contents.entries) > NUMBERED_PINS else ""
    kind += " plain" if contents.map_image is None else ""
    bar_m = nice_length(0.3 * view.width)
    return f"""<figure id="map">
<div class="frame" style="--aspect:{view.width / view.height:.4f}">
<svg class="{kind}" viewBox="{_numbers(view)}" role="group" aria-label="Map of the fixes"
 style="--u:{view.width / _ASSUMED_WIDTH_PX:.5f}">
{_background(contents.map_image, plot)}
{_join(_circles(entry, plot) for entry in contents.entries)}
{_join(_truth(entry, plot) for entry in contents.entries)}
{_join(_pin(entry, plot) for entry in contents.entries)}
</svg>
<div class="north" role="img" aria-label="North is up"><svg viewBox="-10 -14 20 28">
<path d="M0-13 7 9 0 4-7 9Z"/></svg>N</div>
<div class="scale" style="width:{100 * bar_m / view.width:.3f}%"><span>{_length(bar_m)}</span></div>
<div class="zoom"><button type="button" data-zoom="0.5" aria-label="Zoom in">+</button>
<button type="button" data-zoom="2" aria-label="Zoom out">−</button>
<button type="button" data-zoom="0" aria-label="Show the whole map">⤢</button></div>
</div>
{_legend(has_truth)}
{_origin_note(contents.map_image, plot)}
</figure>"""


def _background(map_image: MapImage | None, plot: Plot) -> str:
    if map_image is None or plot.map_box is None:
        return _grid(plot.view)
    box = plot.map_box
    return (
        f'<image href="{data_uri(map_image.image, MAP_SIDE_PX, quality=78)}" '
        f'x="{box.x:.2f}" y="{box.y:.2f}" width="{box.width:.2f}" height="{box.height:.2f}" '
        'preserveAspectRatio="none"><title>The map</title></image>'
    )


def _grid(view: Box) -> str:
    """Lines every few metres, labelled with their distance from the origin.

    The corners stay free of labels: the controls and the north arrow are there.
    """
    step = nice_length(0.3 * view.width)
    right = view.x + view.width
    lines = []
    for x in _multiples(step, view.x, view.width):
        lines.append(f'<path class="grid" d="M{x:.2f} {view.y:.2f}v{view.height:.2f}"/>')
        if view.x + 0.2 * view.width < x < right - 0.1 * view.width:
            lines.append(_label(x, view.y, 14, f"{_length(abs(x))} {_side(x, 'EW')}"))
    for y in _multiples(step, view.y, view.height):
        lines.append(f'<path class="grid" d="M{view.x:.2f} {y:.2f}h{view.width:.2f}"/>')
        if y > view.y + 0.15 * view.height:
            lines.append(_label(right, y, -4, f"{_length(abs(y))} {_side(-y, 'NS')}"))
    return _join(lines)


def _multiples(step: float, start: float, length: float) -> list[float]:
    """Multiples of `step` between `start` and `start + length`."""
    return [
        index * step for index in range(math.ceil(start / step), int((start + length) // step) + 1)
    ]


def _side(value: float, names: str) -> str:
    """The first name for positive values, the second for negative ones, none at zero."""
    return "" if value == 0 else names[value < 0]


def _label(x: float, y: float, dy_px: float, text: str) -> str:
    return f'<g {_at(x, y)}><text class="tick" x="-4" y="{dy_px}">{text}</text></g>'


def _circles(entry: Entry, plot: Plot) -> str:
    sigma_m = finite(entry.fix.sigma_m)
    if entry.position is None or sigma_m is None:
        return ""
    x, y = plot.xy(entry.position)
    colour = confidence_colour(entry.fix.confidence)
    return _join(
        f'<circle class="sigma" cx="{x:.2f}" cy="{y:.2f}" r="{factor * sigma_m:.2f}" '
        f'style="--c:{colour}"/>'
        for factor in (2, 1)
    )


def _truth(entry: Entry, plot: Plot) -> str:
    if entry.truth is None:
        return ""
    x, y = plot.xy(entry.truth)
    arms = "M-5-5 5 5M5-5-5 5"
    cross = (
        f"<g {_at(x, y)}><title>True position of {escape(entry.fix.photo)}</title>"
        f'<path class="casing" d="{arms}"/><path class="truth" d="{arms}"/></g>'
    )
    if entry.position is None:
        return cross
    fix_x, fix_y = plot.xy(entry.position)
    line = f"M{x:.2f} {y:.2f}L{fix_x:.2f} {fix_y:.2f}"
    return f'<path class="casing" d="{line}"/><path class="error" d="{line}"/>{cross}'


def _pin(entry: Entry, plot: Plot) -> str:
    if entry.position is None:
        return ""
    x, y = plot.xy(entry.position)
    number = entry.number
    name = escape(f"{number}. {entry.fix.photo}: {summary_line(entry.fix)}")
    return (
        f'<a href="#photo-{number}" class="pin" data-number="{number}" data-x="{x:.2f}" '
        f'data-y="{y:.2f}" aria-label="{name}"><g {_at(x, y)}><title>{name}</title>'
        f'<circle class="hit" r="13"/><circle class="dot" r="8" '
        f'fill="{confidence_colour(entry.fix.confidence)}"/><text class="number">{number}</text>'
        "</g></a>"
    )


def _legend(has_truth: bool) -> str:
    ramp = ", ".join(confidence_colour(step / 4) for step in range(5))
    truth = (
        '<li><svg viewBox="-8 -8 16 16"><path class="casing" d="M-5-5 5 5M5-5-5 5"/>'
        '<path class="truth" d="M-5-5 5 5M5-5-5 5"/></svg>true position, joined to its fix</li>'
    )
    return f"""<ul class="legend">
<li><i class="ramp" style="background:linear-gradient(to right, {ramp})"></i>confidence 0 to 1</li>
<li><svg viewBox="-8 -8 16 16"><circle class="ring" r="7"/><circle class="ring" r="3.5"/></svg>
one and two sigma: 39 % and 86 % of errors, if sigma is right</li>
{truth if has_truth else ""}</ul>"""


def _origin_note(map_image: MapImage | None, plot: Plot) -> str:
    if map_image is not None:
        return ""
    origin = plot.frame.origin
    return f'<p class="note">Metres from {origin.lat:.6f}, {origin.lon:.6f}.</p>'


def _at(x: float, y: float) -> str:
    """Attributes of a group drawn in screen pixels around a point of the plot."""
    return f'class="mark" style="--x:{x:.2f}px;--y:{y:.2f}px"'


def _length(value_m: float) -> str:
    return f"{value_m:g} m" if value_m < 1000 else f"{value_m / 1000:g} km"


def _numbers(box: Box) -> str:
    return f"{box.x:.2f} {box.y:.2f} {box.width:.2f} {box.height:.2f}"


def _join(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)
