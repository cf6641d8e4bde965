"""Datasets that are folders of folders: one folder a subset, one a place, images inside.

University-1652, SUES-200 and DenseUAV share this layout, and so does a user's own data. A reader
states its subsets as `FolderSpec` records; here they are scanned, judged and made into places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from mobilegeo.learn.datasets.findings import Count, Inspection
from mobilegeo.learn.datasets.judge import judge
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
from mobilegeo.learn.datasets.scan import FolderSpec, Scan, scan

ViewMaker = Callable[[Path, ViewKind, str], View]
"""Makes the record of an image from its path, its kind and the id of its place."""

TASKS = {D2S: ("query_drone", "gallery_satellite"), S2D: ("query_satellite", "gallery_drone")}
"""Query and gallery of each direction of search."""


def inspect_folders(
    root: Path,
    name: str,
    variant: str,
    specs: Sequence[FolderSpec],
    make_view: ViewMaker,
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
    return Inspection(
        counts,
        tuple(dict.fromkeys(judge(scans, tuple(TASKS.values())))),
        tuple(chain.from_iterable(found.images for found in scans)),
        lambda: _benchmark(root, name, variant, scans, make_view),
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
        elif views:
            places = tuple(Place(place, views[place]) for place in sorted(views))
            subsets[found.spec.name] = Subset(found.spec.name, found.spec.kind, places)
    retrievals = {
        task: Retrieval(task, subsets[query], subsets[gallery])
        for task, (query, gallery) in TASKS.items()
        if query in subsets and gallery in subsets
    }
    whole = [found.filled for found in scans if found.spec.role == "train" and found.spec.required]
    ids = sorted(frozenset.intersection(*whole)) if whole else []
    places = tuple(Place(place, train[place]) for place in ids)
    return Benchmark(name, variant, root, places, subsets, retrievals)
