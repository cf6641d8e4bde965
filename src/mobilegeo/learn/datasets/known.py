"""Positions, heights and headings of views, from a table beside the images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mobilegeo.errors import DatasetError
from mobilegeo.geo import LatLon
from mobilegeo.learn.datasets.findings import Finding
from mobilegeo.learn.datasets.records import View, ViewKind


@dataclass(frozen=True, slots=True)
class Known:
    """What a table tells of one view.

    Attributes:
        position: of the image centre on the ground.
        height_m: above ground, metres; None where not stated.
        heading_deg: clockwise from true north, 0 … 360; None where not stated.
    """

    position: LatLon
    height_m: float | None
    heading_deg: float | None


KnownViews = Mapping[str, Known]
"""By path relative to the dataset's folder, with forward slashes."""


def read_if_there(
    path: Path, read: Callable[[Path], dict[str, Known]]
) -> tuple[dict[str, Known], list[Finding]]:
    """Reads a table that may be absent; what is wrong with it is a finding."""
    if not path.is_file():
        return {}, []
    try:
        return read(path), []
    except DatasetError as error:
        return {}, [Finding("error", error.where, error.problem, error.cure)]


def view_maker(root: Path, known: KnownViews) -> Callable[[Path, ViewKind, str], View]:
    """Makes views of image files, with what is known of them."""
    return partial(_view, root, known)


def _view(root: Path, known: KnownViews, path: Path, kind: ViewKind, place: str) -> View:
    row = known.get(path.relative_to(root).as_posix())
    if row is None:
        return View(path, kind, place)
    return View(path, kind, place, row.height_m, row.heading_deg, row.position)
