"""Datasets that are folders of folders: one folder a subset, one a place, images inside.

University-1652, SUES-200 and DenseUAV share this layout, and so does a user's own data. A reader
states its subsets as `FolderSpec` records; finding them, judging them and making places of them
is done here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from mobilegeo.learn.datasets.findings import Count, Finding, Inspection, some
from mobilegeo.learn.datasets.records import (
    D2S,
    S2D,
    Benchmark,
    Place,
    Retrieval,
    Subset,
    View,
    ViewKind,
)
from mobilegeo.learn.datasets.sources import IMAGE_SUFFIXES

Role = Literal["train", "query", "gallery"]
ViewMaker = Callable[[Path, ViewKind, str], View]
"""Makes the record of an image from its path, its kind and the id of its place."""

_HARMLESS = frozenset({"thumbs.db", "desktop.ini", "readme.txt"})
_SUFFIXES = frozenset((*IMAGE_SUFFIXES, ".webp"))
_TASKS = {D2S: ("query_drone", "gallery_satellite"), S2D: ("query_satellite", "gallery_drone")}


@dataclass(frozen=True, slots=True)
class FolderSpec:
    """One subset on disk.

    Attributes:
        name: the official name.
        folder: where its place folders lie, relative to the root.
        kind: of its views.
        role: what it is for.
        places, images: official counts; None where nothing is published.
        required: whether the dataset is unusable without it.
        lost: what cannot be done without it, for the message; "" for required ones.
        inner: subfolder of each place folder that holds the images; "" for the place folder.
        ids: the places to take; None takes all.
        sparse: whether place folders may be empty.
    """

    name: str
    folder: str
    kind: ViewKind
    role: Role
    places: int | None = None
    images: int | None = None
    required: bool = True
    lost: str = ""
    inner: str = ""
    ids: frozenset[str] | None = None
    sparse: bool = False


@dataclass(frozen=True)
class Scan:
    """What one subset's folder holds.

    Attributes:
        spec: what was looked for.
        folder: where.
        exists: whether the folder is there.
        places: place id → image files in order; a place without images has an empty tuple.
        loose: images beside the place folders.
        foreign: files that are no images.
        nested: ids of empty places that hold further folders.
    """

    spec: FolderSpec
    folder: Path
    exists: bool
    places: dict[str, tuple[Path, ...]]
    loose: tuple[Path, ...]
    foreign: tuple[Path, ...]
    nested: tuple[str, ...]

    @property
    def images(self) -> Iterator[Path]:
        """All images of the places."""
        return chain.from_iterable(self.places.values())

    @property
    def filled(self) -> frozenset[str]:
        """Ids of the places with an image."""
        return frozenset(place for place, images in self.places.items() if images)


def plain_view(path: Path, kind: ViewKind, place: str) -> View:
    """The record of an image of which nothing else is known."""
    return View(path, kind, place)


def scan(root: Path, spec: FolderSpec) -> Scan:
    """Lists one subset's folder; opens no image."""
    folder = root / spec.folder
    if not folder.is_dir():
        return Scan(spec, folder, False, {}, (), (), ())
    places, foreign, nested = {}, [], []
    entries, loose, strangers = _listed(folder)
    foreign += strangers
    for entry in entries:
        if spec.ids is not None and entry.name not in spec.ids:
            continue
        inner = entry / spec.inner
        folders, images, strangers = _listed(inner) if inner.is_dir() else ([], [], [])
        places[entry.name] = tuple(images)
        foreign += strangers
        if folders and not images:
            nested.append(entry.name)
    return Scan(spec, folder, True, places, tuple(loose), tuple(foreign), tuple(nested))


def inspect_folders(
    root: Path,
    name: str,
    variant: str,
    specs: Sequence[FolderSpec],
    make_view: ViewMaker = plain_view,
) -> Inspection:
    """Looks at a dataset of folders.

    Args:
        root: the dataset's folder.
        name: key of the catalogue, for the records.
        variant: the setting, for the records and the counts.
        specs: its subsets.
        make_view: makes the record of an image.
    """
    scans = [scan(root, spec) for spec in specs]
    counts = tuple(
        Count(
            "/".join(filter(None, (variant, found.spec.name))),
            len(found.filled),
            sum(1 for _ in found.images),
            found.spec.places,
            found.spec.images,
        )
        for found in scans
        if found.exists or found.spec.required
    )
    findings = (*chain.from_iterable(map(_of_one, scans)), *_across(scans))
    return Inspection(
        counts,
        findings,
        tuple(chain.from_iterable(found.images for found in scans)),
        lambda: _benchmark(root, name, variant, scans, make_view),
    )


def _listed(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Folders, images and other files of a folder, each sorted; hidden files are left out."""
    folders, images, others = [], [], []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name.lower() in _HARMLESS:
                continue
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif os.path.splitext(entry.name)[1].lower() in _SUFFIXES:  # noqa: PTH122 - 100,000 files
                images.append(Path(entry.path))
            else:
                others.append(Path(entry.path))
    return folders, images, others


def _of_one(found: Scan) -> Iterator[Finding]:
    """What is wrong with one subset, seen alone."""
    spec, where = found.spec, str(found.folder)
    if not found.exists:
        if spec.required:
            yield Finding("error", where, "is missing", "unpack this part of the dataset too")
        else:
            yield Finding("warning", where, f"is missing, so {spec.lost}", "unpack it if needed")
        return
    if found.loose:
        yield Finding(
            "error",
            where,
            f"holds images outside of place folders ({some(p.name for p in found.loose)})",
            "put each image into the folder of its place",
        )
    if not found.filled:
        yield Finding("error", where, "holds no images", "unpack this part of the dataset again")
        return
    yield from _holes(found)
    if found.foreign:
        names = some(path.relative_to(found.folder) for path in found.foreign)
        yield Finding("warning", where, f"holds files that are no images ({names})", "remove them")


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


def _across(scans: Sequence[Scan]) -> Iterator[Finding]:
    """What is wrong between subsets."""
    named = {found.spec.name: found for found in scans if found.filled}
    train = [found for found in scans if found.spec.role == "train" and found.filled]
    yield from _single_kind(train)
    for query, gallery in _TASKS.values():
        if query in named and gallery in named:
            yield from _unanswered(named[query], named[gallery])
    trained = frozenset[str]().union(*(found.filled for found in train))
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
    for kind, other in (("drone", "satellite"), ("satellite", "drone")):
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


def _benchmark(
    root: Path, name: str, variant: str, scans: Sequence[Scan], make_view: ViewMaker
) -> Benchmark:
    train: dict[str, tuple[View, ...]] = {}
    subsets = {}
    for found in scans:
        views = {
            place: tuple(make_view(path, found.spec.kind, place) for path in images)
            for place, images in found.places.items()
            if images
        }
        if found.spec.role == "train":
            for place, added in views.items():
                train[place] = (*train.get(place, ()), *added)
        elif found.exists:
            places = tuple(Place(place, views[place]) for place in sorted(views))
            subsets[found.spec.name] = Subset(found.spec.name, found.spec.kind, places)
    retrievals = {
        task: Retrieval(task, subsets[query], subsets[gallery])
        for task, (query, gallery) in _TASKS.items()
        if query in subsets and gallery in subsets
    }
    whole = [found.filled for found in scans if found.spec.role == "train" and found.spec.required]
    ids = sorted(frozenset.intersection(*whole)) if whole else []
    places = tuple(Place(place, train[place]) for place in ids)
    return Benchmark(name, variant, root, places, subsets, retrievals)
