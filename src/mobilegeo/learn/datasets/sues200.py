"""SUES-200: 200 places from four heights, 50 drone views each, one satellite tile a place.

Zhu et al., 2023, https://arxiv.org/abs/2204.10704. The download holds the raw views; the authors'
script copies them into `Training` and `Testing`, a folder a height. Both layouts are read. The
satellite gallery holds the 120 training places too, as distractors.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mobilegeo.learn.datasets.dataset import Dataset
from mobilegeo.learn.datasets.findings import Inspection
from mobilegeo.learn.datasets.records import View, ViewKind
from mobilegeo.learn.datasets.scan import FolderSpec, Role
from mobilegeo.learn.datasets.tree import inspect_folders

NAME = "sues200"
HEIGHTS_M = (150, 200, 250, 300)
VIEWS = 50
PLACES = frozenset(f"{number:04d}" for number in range(1, 201))
TEST_PLACES = frozenset(
    f"{number:04d}"
    for number in (
        8, 12, 14, 17, 18, 19, 22, 23, 35, 38, 40, 41, 42, 46, 47, 48, 49, 50, 52, 53,
        54, 59, 61, 62, 63, 65, 68, 71, 72, 75, 78, 79, 83, 92, 93, 95, 98, 99, 107, 108,
        109, 110, 111, 112, 114, 115, 117, 121, 122, 124, 128, 130, 131, 133, 135, 136, 138,
        140, 143, 144, 150, 153, 154, 161, 162, 164, 165, 170, 172, 173, 175, 176, 177, 178,
        181, 188, 189, 190, 194, 195,
    )
)  # fmt: skip
"""The 80 test places: those that the authors' list of training places leaves out."""

_PARTS = ("Training", "Testing")
_RAW = ("drone_view_512", "satellite-view")


def inspect(root: Path, variant: str) -> Inspection:
    """Looks at the folder, for one height in metres."""
    split = any((root / folder).is_dir() for folder in _PARTS)
    specs = _split(variant) if split else _raw(variant)
    return inspect_folders(root, NAME, variant, specs, partial(_view, float(variant)))


def _view(height_m: float, path: Path, kind: ViewKind, place: str) -> View:
    return View(path, kind, place, height_m if kind == "drone" else None)


def _split(height: str) -> list[FolderSpec]:
    """The layout that the authors' script writes."""
    train, test = (f"{part}/{height}" for part in _PARTS)
    return [
        FolderSpec("train_drone", f"{train}/drone", "drone", "train", 120, 120 * VIEWS),
        FolderSpec("train_satellite", f"{train}/satellite", "satellite", "train", 120, 120),
        FolderSpec("query_drone", f"{test}/query_drone", "drone", "query", 80, 80 * VIEWS),
        FolderSpec("query_satellite", f"{test}/query_satellite", "satellite", "query", 80, 80),
        FolderSpec("gallery_drone", f"{test}/gallery_drone", "drone", "gallery", 200, 200 * VIEWS),
        FolderSpec(
            "gallery_satellite", f"{test}/gallery_satellite", "satellite", "gallery", 200, 200
        ),
    ]


def _raw(height: str) -> list[FolderSpec]:
    """The layout of the download, split by the authors' list."""
    kinds: tuple[ViewKind, ...] = ("drone", "satellite")
    parts: dict[Role, frozenset[str]] = {
        "train": PLACES - TEST_PLACES,
        "query": TEST_PLACES,
        "gallery": PLACES,
    }
    return [
        FolderSpec(
            f"{role}_{kind}",
            _RAW[kind == "satellite"],
            kind,
            role,
            len(ids),
            len(ids) * (VIEWS if kind == "drone" else 1),
            inner=height if kind == "drone" else "",
            ids=ids,
        )
        for role, ids in parts.items()
        for kind in kinds
    ]


DATASET = Dataset(
    name=NAME,
    title="SUES-200",
    source="https://github.com/Reza-Zhu/SUES-200-Benchmark",
    download="SUES-200-512x512",
    licence="for academic research only",
    layout="""\
SUES-200-512x512/                      as downloaded
├── drone_view_512/0001/150/0.jpg … 49.jpg, and so 200/, 250/, 300/
└── satellite-view/0001/0.png
or, after the authors' script/split_datasets.py,
├── Training/150/{drone,satellite}/0001/…
└── Testing/150/{query_drone,query_satellite,gallery_drone,gallery_satellite}/0001/…""",
    markers=(_PARTS, _RAW),
    variants=tuple(map(str, HEIGHTS_M)),
    inspect=inspect,
)
