"""The page as a whole."""

from __future__ import annotations

import base64
import hashlib
import statistics
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template

from mobilegeo.evaluation import Evaluation, Truth, evaluate, match_photos
from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon
from mobilegeo.output.atomic import make_folder, write_atomically
from mobilegeo.output.report.cards import render_card
from mobilegeo.output.report.map_view import render_map
from mobilegeo.output.report.markup import escape, metres, percent
from mobilegeo.output.report.parts import Contents, Entry, MapImage, PhotoPanel
from mobilegeo.output.text import finite, position

FILE_NAME = "report.html"


def write_report(
    directory: str | Path,
    fixes: Sequence[Fix],
    *,
    map_image: MapImage | None = None,
    truth: Mapping[str, LatLon] | None = None,
    panels: Mapping[str, PhotoPanel] | None = None,
    title: str = "Where the photos were taken",
) -> Path:
    """Writes `report.html` into a folder, which is made if need be.

    The page needs no network and no other file; a photo with all its pictures takes about 0.1 MB.

    Args:
        directory: where to write.
        fixes: in the order in which to show them.
        map_image: a small picture of the map; without it positions are drawn on a plain grid.
        truth: true positions, by photo.
        panels: pictures, by the photo's name as in its fix.
        title: heading of the page.

    Returns:
        The file written.

    Raises:
        UsageError: the folder cannot be made or written.
    """
    directory = Path(directory)
    make_folder(directory)
    page = _render(_gather(fixes, map_image, truth or {}, panels or {}), title)
    path = directory / FILE_NAME
    write_atomically(path, page.encode("utf-8"))
    return path


def _gather(
    fixes: Sequence[Fix],
    map_image: MapImage | None,
    truth: Mapping[str, LatLon],
    panels: Mapping[str, PhotoPanel],
) -> Contents:
    rows = [Truth(photo, where) for photo, where in truth.items()]
    pairs = match_photos(fixes, rows).pairs
    truth_of = {fix.photo: row.position for fix, row in pairs}
    entries = tuple(
        Entry(
            number=number,
            fix=fix,
            position=position(fix),
            truth=truth_of.get(fix.photo),
            panel=panels.get(fix.photo, PhotoPanel()),
        )
        for number, fix in enumerate(fixes, start=1)
    )
    return Contents(entries, map_image, evaluate(fixes, rows) if pairs else None)


def _render(contents: Contents, title: str) -> str:
    script = _file("report.js")
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return Template(_file("report.html")).substitute(
        title=escape(title),
        style=_file("report.css"),
        script=script,
        # The only script that the browser may run, whatever a file name contains.
        script_hash=base64.b64encode(digest).decode("ascii"),
        summary="\n".join(
            f"<div><dd>{value}</dd><dt>{name}</dt></div>" for name, value in _summary(contents)
        ),
        map=render_map(contents),
        cards="\n".join(map(render_card, contents.entries))
        or '<p class="empty">There are no photos.</p>',
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _summary(contents: Contents) -> list[tuple[str, str]]:
    """Name and value of each figure at the head of the page."""
    found = [entry.fix for entry in contents.entries if entry.position is not None]
    sigmas = [sigma for fix in found if (sigma := finite(fix.sigma_m)) is not None]
    figures = [
        ("photos", str(len(contents.entries))),
        ("fixes", str(len(found))),
        ("median sigma", metres(statistics.median(sigmas) if sigmas else None)),
    ]
    return figures + _accuracy(contents.evaluation)


def _accuracy(evaluation: Evaluation | None) -> list[tuple[str, str]]:
    if evaluation is None:
        return []
    return [
        ("median error", metres(evaluation.median_error_m)),
        ("90 % of errors below", metres(evaluation.p90_error_m)),
        *(
            (f"photos within {item.radius_m} m", percent(item.of_photos))
            for item in evaluation.within
            if item.radius_m <= 50
        ),
    ]
