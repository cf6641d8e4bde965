"""Judges the subsets of a dataset of folders: what is missing, misplaced or inconsistent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mobilegeo.learn.datasets.findings import Finding, Level, some
from mobilegeo.learn.datasets.records import ViewKind
from mobilegeo.learn.datasets.scan import Scan


def judge(scans: Sequence[Scan], tasks: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Says what is wrong.

    Args:
        scans: every subset of the dataset.
        tasks: names of the query and the gallery of each direction of search.
    """
    for found in scans:
        yield from _of_one(found)
    train = [found for found in scans if found.spec.role == "train" and found.filled]
    yield from _single_kind(train)
    named = {found.spec.name: found for found in scans if found.filled}
    for query, gallery in tasks:
        if query in named and gallery in named:
            yield from _unanswered(named[query], named[gallery])
    yield from _leaked(scans, frozenset[str]().union(*(found.filled for found in train)))


def _of_one(found: Scan) -> Iterator[Finding]:
    """What is wrong with one subset, seen alone."""
    where = str(found.folder)
    if not found.exists:
        yield from _missing(found)
        return
    if found.loose:
        yield Finding(
            "error",
            where,
            f"holds images outside of place folders ({some(p.name for p in found.loose)})",
            "put each image into the folder of its place",
        )
    if not found.filled:
        level: Level = "error" if found.spec.required else "warning"
        yield Finding(level, where, "holds no images", "unpack this part of the dataset again")
        return
    yield from _holes(found)
    if found.foreign:
        names = some(path.relative_to(found.folder) for path in found.foreign)
        yield Finding("warning", where, f"holds files that are no images ({names})", "remove them")


def _missing(found: Scan) -> Iterator[Finding]:
    """A subset that is not there: said once of the topmost folder that is missing with it."""
    if found.spec.required:
        top = next(path for path in _path_to(found) if not path.is_dir())
        yield Finding("error", str(top), "is missing", "unpack this part of the dataset too")
    elif found.folder.parent.is_dir():
        problem = f"is missing, so {found.spec.lost}"
        yield Finding("warning", str(found.folder), problem, "unpack it if needed")


def _path_to(found: Scan) -> list[Path]:
    """The folders on the way from the dataset's root, left out, down to the subset."""
    levels = len(Path(found.spec.folder).parts)
    return [*reversed(found.folder.parents[: levels - 1]), found.folder]


def _holes(found: Scan) -> Iterator[Finding]:
    """Empty and missing places, and images that are fewer or more than official."""
    spec, where = found.spec, str(found.folder)
    if found.nested:
        place = found.nested[0]
        yield Finding(
            "error",
            f"{where}/{place}",
            f"holds folders instead of images ({len(found.nested)} such places)",
            "move the images up into the folder of their place",
        )
    empty = sorted(found.places.keys() - found.filled - set(found.nested))
    if empty and not spec.sparse:
        yield Finding(
            "error",
            where,
            f"has empty place folders ({some(empty)})",
            "unpack them again or remove them from every subset",
        )
    if spec.ids is not None and (missing := sorted(spec.ids - found.places.keys())):
        yield Finding("error", where, f"lacks places ({some(missing)})", "unpack them again")
    number, images = len(found.filled), sum(1 for _ in found.images)
    if spec.ids is None and spec.places not in (None, number):
        yield Finding(
            "warning",
            where,
            f"has {number} places, the official one {spec.places}",
            "unpack it again: results cannot be compared with published ones",
        )
    elif spec.images not in (None, images):
        yield Finding(
            "warning",
            where,
            f"has {images} images, the official one {spec.images}",
            "unpack it again: results cannot be compared with published ones",
        )


def _leaked(scans: Sequence[Scan], trained: frozenset[str]) -> Iterator[Finding]:
    for found in scans:
        if found.spec.role == "query" and (shared := sorted(found.filled & trained)):
            yield Finding(
                "error",
                str(found.folder),
                f"asks for training places ({some(shared)})",
                "keep training and test places apart",
            )


def _single_kind(train: Sequence[Scan]) -> Iterator[Finding]:
    """Training places that lack the drone or the satellite side."""
    sides = {found.spec.kind: found for found in train if found.spec.required}
    if not {"drone", "satellite"} <= sides.keys():
        return
    sides_of: tuple[tuple[ViewKind, ViewKind], ...] = (
        ("drone", "satellite"),
        ("satellite", "drone"),
    )
    for kind, other in sides_of:
        alone = sorted(sides[kind].filled - sides[other].places.keys())
        if alone:
            yield Finding(
                "error",
                str(sides[other].folder),
                f"lacks places that have {kind} views only ({some(alone)})",
                f"add their {other} views or remove their {kind} views",
            )


def _unanswered(query: Scan, gallery: Scan) -> Iterator[Finding]:
    missing = sorted(query.filled - gallery.filled)
    if missing:
        yield Finding(
            "error",
            str(gallery.folder),
            f"lacks places that {query.spec.name} asks for ({some(missing)})",
            "unpack it again: every query needs its right answer in the gallery",
        )
