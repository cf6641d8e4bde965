"""Embedding plots: where a network puts the views of some places, in two dimensions."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from mobilegeo.learn.evaluation.drawing import FAINT, INK, PAPER, Colour, font, shortened
from mobilegeo.learn.evaluation.search import Search

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PLACES, VIEWS = 12, 10
"""At most so many places, and views of one kind of each, are drawn."""
WIDTH_PX, HEIGHT_PX = 960, 800
_SCALE = 2
"""Drawn larger and reduced, which smooths edges."""
_LEFT_PX, _TOP_PX, _RIGHT_PX, _BOTTOM_PX = 60, 90, 40, 60
_GRID: Colour = (225, 227, 230)

Array = NDArray[np.float64]
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Sample:
    """Views that are drawn, place after place.

    Attributes:
        places: ids, one a view.
        satellite: bool [N], whether a view is from above; the others are drone views.
        vectors: float64 [N, D].
    """

    places: tuple[str, ...]
    satellite: NDArray[np.bool_]
    vectors: Array


def sample_places(search: Search) -> Sample:
    """Places spread evenly over the queries, with views and right answers that can be read."""
    query, gallery = search.retrieval.query, search.retrieval.gallery
    rows_of: dict[str, list[int]] = {}
    for row, view in enumerate(query.views):
        rows_of.setdefault(view.place, []).append(row)
    ids = [place.id for place in query.places]
    places: list[str] = []
    satellite: list[bool] = []
    vectors: list[NDArray[np.float32]] = []
    for place in _spread(ids, PLACES):
        asked = rows_of[place]
        answers = search.matches.of(asked[0]).tolist()
        for subset, side, rows in (
            (query, search.query, asked),
            (gallery, search.gallery, answers),
        ):
            good = [row for row in rows if row not in side.unreadable]
            drawn = _spread(good, VIEWS)
            places += [place] * len(drawn)
            satellite += [subset.kind == "satellite"] * len(drawn)
            vectors += [side.vectors[row] for row in drawn]
    return Sample(tuple(places), np.array(satellite), np.array(vectors, dtype=np.float64))


def principal_components(vectors: Array) -> tuple[Array, Array]:
    """The two directions in which vectors differ most.

    Args:
        vectors: float64 [N, D], N and D at least 2.

    Returns:
        Coordinates, float64 [N, 2], and the shares of variance that they hold, float64 [2].
    """
    centred = vectors - vectors.mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    variance = lengths**2
    return left[:, :2] * lengths[:2], variance[:2] / max(float(variance.sum()), 1e-12)


def embedding_plot(sample: Sample, title: str) -> Image:
    """Draws the embeddings of some places.

    One colour a place; discs are drone views, squares satellite views, and lines join the pairs
    of a place. Short lines and far-apart places are what a network is trained for; two components
    show only a part of it, which the axes state.

    Args:
        sample: two views or more.
        title: first line.
    """
    from PIL import Image, ImageDraw

    points, shares = principal_components(sample.vectors)
    pixels = _to_pixels(points)
    image = Image.new("RGB", (WIDTH_PX * _SCALE, HEIGHT_PX * _SCALE), PAPER)
    draw = ImageDraw.Draw(image)
    _draw_frame(draw, title, shares)
    ids = list(dict.fromkeys(sample.places))
    for number, place in enumerate(ids):
        colour = _colour(number, len(ids))
        own = np.array([name == place for name in sample.places])
        drones, satellites = (pixels[own & side] for side in (~sample.satellite, sample.satellite))
        for satellite in satellites:
            for drone in drones:
                line = (*satellite, *drone)
                draw.line(line, fill=_pale(colour), width=_SCALE)
    for number, place in enumerate(ids):
        _draw_marks(draw, sample, pixels, place, _colour(number, len(ids)))
    return image.resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.LANCZOS)


def _draw_marks(draw: ImageDraw, sample: Sample, pixels: Array, place: str, colour: Colour) -> None:
    for name, satellite, (x, y) in zip(sample.places, sample.satellite, pixels, strict=True):
        if name == place:
            _mark(draw, float(x), float(y), colour, satellite=bool(satellite))
    first = next(
        (n for n, name in enumerate(sample.places) if name == place and sample.satellite[n]), None
    )
    if first is not None:
        x, y = pixels[first]
        text = shortened(place, 120 * _SCALE, font(12 * _SCALE))
        draw.text((x + 9 * _SCALE, y - 16 * _SCALE), text, INK, font(12 * _SCALE))


def _mark(draw: ImageDraw, x: float, y: float, colour: Colour, *, satellite: bool) -> None:
    if satellite:
        r = 7 * _SCALE
        draw.rectangle((x - r, y - r, x + r, y + r), colour, INK, 2 * _SCALE)
    else:
        r = 5 * _SCALE
        draw.ellipse((x - r, y - r, x + r, y + r), colour, PAPER, _SCALE)


def _draw_frame(draw: ImageDraw, title: str, shares: Array) -> None:
    left, top, right, bottom = _box()
    letters, small = font(20 * _SCALE), font(14 * _SCALE)
    draw.text((left, 16 * _SCALE), shortened(title, right - left, letters), INK, letters)
    draw.rectangle((left, top, right, bottom), outline=_GRID, width=2 * _SCALE)
    x_text, y_text = (
        f"{name} component ({share:.0%} of the variance)"
        for name, share in zip(("first", "second"), shares, strict=True)
    )
    draw.text((left, bottom + 12 * _SCALE), f"across: {x_text}, up: {y_text}", FAINT, small)
    x, y = float(left + 8 * _SCALE), float(62 * _SCALE)
    for satellite, text in ((False, "drone view"), (True, "satellite view")):
        _mark(draw, x, y, FAINT, satellite=satellite)
        draw.text((x + 14 * _SCALE, y - 9 * _SCALE), text, INK, small)
        x += 34 * _SCALE + small.getlength(text)
    text = "one colour a place; lines join its pairs"
    draw.text((x, y - 9 * _SCALE), text, INK, small)


def _box() -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the plot, enlarged pixels."""
    return (
        _LEFT_PX * _SCALE,
        _TOP_PX * _SCALE,
        (WIDTH_PX - _RIGHT_PX) * _SCALE,
        (HEIGHT_PX - _BOTTOM_PX) * _SCALE,
    )


def _to_pixels(points: Array) -> Array:
    """Both axes at one scale, in the middle of the plot, float64 [N, 2]."""
    left, top, right, bottom = _box()
    low, high = points.min(axis=0), points.max(axis=0)
    inside = 0.9 * np.array([right - left, bottom - top])
    scale = float((inside / np.maximum(high - low, 1e-9)).min())
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    pixels: Array = centre + (points - (low + high) / 2) * np.array([scale, -scale])
    return pixels


def _colour(number: int, count: int) -> Colour:
    """Hues around the circle, every other one darker."""
    red, green, blue = colorsys.hsv_to_rgb(number / count, 0.75, 0.85 if number % 2 else 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)


def _pale(colour: Colour) -> Colour:
    red, green, blue = (round(0.4 * part + 0.6 * 255) for part in colour)
    return red, green, blue


def _spread(items: Sequence[_Item], number: int) -> list[_Item]:
    """At most so many of the items, evenly spaced from the first to the last."""
    rows = np.linspace(0, len(items) - 1, min(number, len(items))).round().astype(int)
    return [items[row] for row in rows]
