"""Lists a subset's folder: one folder a place, images inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from mobilegeo.learn.datasets.records import ViewKind
from mobilegeo.learn.datasets.sources import IMAGE_SUFFIXES

Role = Literal["train", "query", "gallery"]

_HARMLESS = frozenset({"thumbs.db", "desktop.ini", "readme.txt"})
_SUFFIXES = frozenset((*IMAGE_SUFFIXES, ".webp"))


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
