"""The report of a track: the path on the map with its spread, and error or spread over time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path

from mobilegeo.geo import LatLon, distance_m
from mobilegeo.output.atomic import make_folder, write_atomically
from mobilegeo.output.report.images import data_uri
from mobilegeo.output.report.markup import escape, metres, percent
from mobilegeo.output.report.parts import Contents, MapImage
from mobilegeo.output.report.plot import Plot, nice_length, plan
from mobilegeo.output.track_files import spans
from mobilegeo.track.records import Status, Track, TrackPoint

FILE_NAME = "track.html"
MAP_SIDE_PX = 1600
MAX_DRAWN = 4000
"""Points drawn at most; of longer tracks every n-th is, which shortens corners only."""

COLOURS: dict[Status, str] = {"fix": "#0b8a83", "predicted": "#e9b31a", "lost": "#c2410c"}
_BAND, _TRUTH = "#1e8cdc", "#ffffff"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 1000.0, 240.0, 58.0, 30.0
_CSS = """
.track { display: block; width: 100%; }
.track polyline, .track path { vector-effect: non-scaling-stroke; fill: none; }
.track text { fill: var(--faint); font-size: 13px; }
main { grid-template-columns: none !important; }
.where { position: static !important; }
"""


def write_track_report(
    directory: str | Path,
    track: Track,
    *,
    map_image: MapImage,
    truth: Mapping[str, LatLon] | None = None,
    title: str = "Track",
) -> Path:
    """Writes `track.html`, which needs no network and no other file, into a folder.

    Args:
        directory: made if need be.
        track: what to show.
        map_image: background of the map.
        truth: the drone's true positions, by frame; for the error.
        title: heading of the page.

    Raises:
        UsageError: the folder cannot be made or written.
    """
    directory = Path(directory)
    make_folder(directory)
    step = math.ceil(len(track.points) / MAX_DRAWN) or 1
    drawn, truth = track.points[::step], truth or {}
    style = resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    figures = "\n".join(
        f"<div><dd>{value}</dd><dt>{escape(name)}</dt></div>"
        for name, value in _summary(track, truth)
    )
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>
{style}{_CSS}</style>
</head>
<body>
<header class="head"><h1>{escape(title)}</h1>
<dl class="summary">
{figures}
</dl></header>
<main>
<section class="where" aria-label="Map">
{_map(drawn, truth, map_image)}
</section>
<section aria-label="Over time">
{_over_time(drawn, truth)}
</section>
</main>
<footer>{_notes(track)} Made by MobileGeo. Positions are the drone's own, WGS84.</footer>
</body>
</html>
"""  # noqa: E501
    path = directory / FILE_NAME
    write_atomically(path, page.encode("utf-8"))
    return path


def _summary(track: Track, truth: Mapping[str, LatLon]) -> list[tuple[str, str]]:
    """Name and value of each figure at the head of the page."""
    sigmas = [p.sigma_m for p in track.points if p.sigma_m is not None]
    errors = list(_errors(track.points, truth).values())
    count = max(1, len(track.points))
    figures = [
        ("frames", str(len(track.points))),
        ("located", str(track.located)),
        ("fixes among them", str(track.count("fix"))),
        ("lost", percent(track.count("lost") / count)),
        ("length", metres(_length_m(track.points))),
        ("median sigma", metres(statistics.median(sigmas) if sigmas else None)),
    ]
    if errors:
        rmse = math.sqrt(sum(error**2 for error in errors) / len(errors))
        figures += [("RMSE", metres(rmse)), ("largest error", metres(max(errors)))]
    figures += [(f"to add to the {name}", str(bias)) for name, bias in track.biases.items()]
    return figures


def _errors(points: Sequence[TrackPoint], truth: Mapping[str, LatLon]) -> dict[float, float]:
    """Distance from the truth, metres, by time, where both are known."""
    errors = {}
    for point in points:
        true = truth.get(point.frame) or truth.get(Path(point.frame).name)
        where = _place(point)
        if where is not None and true is not None:
            errors[point.time_s] = distance_m(where, true)
    return errors


def _place(point: TrackPoint) -> LatLon | None:
    return None if point.lat is None or point.lon is None else LatLon(point.lat, point.lon)


def _length_m(points: Sequence[TrackPoint]) -> float:
    """Of all unbroken parts, at the speed that was found."""
    return sum(
        (b.time_s - a.time_s) * ((a.speed_m_s or 0.0) + (b.speed_m_s or 0.0)) / 2
        for part in spans(points)
        for a, b in pairwise(part)
    )


def _map(points: Sequence[TrackPoint], truth: Mapping[str, LatLon], map_image: MapImage) -> str:
    plot = plan(Contents((), map_image, None))
    assert plot is not None, "a map image gives a plot"
    assert plot.map_box is not None, "a map image gives a plot"
    view, box = plot.view, plot.map_box
    bar_m = nice_length(0.3 * view.width)
    image = data_uri(map_image.image, MAP_SIDE_PX, quality=78)
    true_path = [
        plot.xy(place)
        for point in points
        if (place := truth.get(point.frame) or truth.get(Path(point.frame).name)) is not None
    ]
    return f"""<figure><div class="frame" style="--aspect:{view.width / view.height:.4f}">
<svg class="track" viewBox="{view.x:.1f} {view.y:.1f} {view.width:.1f} {view.height:.1f}">
<image href="{image}" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" preserveAspectRatio="none"/>
{_line(true_path, _TRUTH, 5.0)}
{_join(_band(part, plot) for part in spans(points))}
{_join(_coloured(part, plot) for part in spans(points))}
</svg>
<div class="scale" style="width:{100 * bar_m / view.width:.3f}%"><span>{metres(bar_m)}</span></div>
</div>{_legend(bool(true_path))}</figure>"""  # noqa: E501


def _band(part: Sequence[TrackPoint], plot: Plot) -> str:
    """Two sigma on either side of the path, as one outline."""
    centres = [plot.xy(place) for p in part if (place := _place(p)) is not None]
    left, right = [], []
    for index, (x, y) in enumerate(centres):
        before, after = centres[max(0, index - 1)], centres[min(len(centres) - 1, index + 1)]
        run = math.hypot(after[0] - before[0], after[1] - before[1]) or 1.0
        reach = 2 * (part[index].sigma_m or 0.0) / run
        dx, dy = -(after[1] - before[1]) * reach, (after[0] - before[0]) * reach
        left.append((x + dx, y + dy))
        right.append((x - dx, y - dy))
    outline = "L".join(f"{x:.1f} {y:.1f}" for x, y in [*left, *right[::-1]])
    return f'<path d="M{outline}Z" style="fill:{_BAND};fill-opacity:.3"/>'


def _coloured(part: Sequence[TrackPoint], plot: Plot) -> str:
    """The path, in the colour of each point's status."""
    lines, start = [], 0
    for index in range(1, len(part) + 1):
        if index == len(part) or part[index].status != part[start].status:
            run = part[start : index + 1]
            path = [plot.xy(place) for p in run if (place := _place(p)) is not None]
            lines.append(_line(path, COLOURS[part[start].status], 2.5))
            start = index
    return _join(lines)


def _line(path: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    if not path:
        return ""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
    return f'<polyline points="{points}" stroke="{colour}" stroke-width="{width}"/>'


def _over_time(points: Sequence[TrackPoint], truth: Mapping[str, LatLon]) -> str:
    """Spread, and error where the truth is known, over time; a strip tells the status."""
    last_s = max((p.time_s for p in points), default=0.0) or 1.0
    errors = _errors(points, truth)
    sigmas = {p.time_s: 2 * p.sigma_m for p in points if p.sigma_m is not None}
    top = 1.1 * max([*errors.values(), *sigmas.values(), 1.0])

    def xy(time_s: float, value: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT) * time_s / last_s
        return x, (_HEIGHT - _BOTTOM) * (1 - value / top)

    step = nice_length(top / 2)
    ticks = [step * n for n in range(int(top / step) + 1)]
    lines = _join(
        f'<path d="M{_LEFT} {xy(0, tick)[1]:.1f}H{_WIDTH}" stroke="var(--line)"/>'
        f'<text x="{_LEFT - 8}" y="{xy(0, tick)[1] + 4:.1f}" text-anchor="end">{tick:g} m</text>'
        for tick in ticks
    )
    strip = _join(
        f'<path d="M{xy(a.time_s, 0)[0]:.1f} {_HEIGHT - _BOTTOM + 5}H{xy(b.time_s, 0)[0]:.1f}" '
        f'stroke="{COLOURS[a.status]}" stroke-width="6"/>'
        for a, b in pairwise(points)
    )
    told = [point for part in spans(points) for point in part]
    curves = _line([xy(p.time_s, 2 * (p.sigma_m or 0.0)) for p in told], _BAND, 1.5)
    curves += _line([xy(*item) for item in errors.items()], "var(--bad)", 1.5)
    what = "two sigma (blue)" + (" and error (red)" if errors else "")
    return f"""<figure><svg class="track" viewBox="0 -8 {_WIDTH} {_HEIGHT + 8}">
{lines}{strip}{curves}
<text x="{_LEFT}" y="{_HEIGHT - 2}">0 s</text>
<text x="{_WIDTH}" y="{_HEIGHT - 2}" text-anchor="end">{last_s:.0f} s</text>
</svg><figcaption>{what} over time; the strip shows the status</figcaption></figure>"""


def _legend(has_truth: bool) -> str:
    names = {"fix": "found on the map", "predicted": "between fixes, by motion", "lost": "lost"}
    entries = [(COLOURS["fix"], names["fix"]), (COLOURS["predicted"], names["predicted"])]
    entries += [(COLOURS["lost"], f"{names['lost']} (strip below)"), (_BAND, "two sigma")]
    if has_truth:
        entries.append((_TRUTH, "truth"))
    return "<ul class='legend'>" + _join(
        f'<li><i class="ramp" style="background:{colour};border:1px solid var(--line)"></i>'
        f"{name}</li>"
        for colour, name in entries
    ) + "</ul>"  # fmt: skip


def _notes(track: Track) -> str:
    return escape("; ".join(track.notes) + "." if track.notes else "")


def _join(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)
