"""University-1652: 1,652 buildings of 72 universities from drone, satellite and street.

Zheng, Wei, Yang, 2020, https://arxiv.org/abs/2002.12186. The drone views are rendered along a
spiral of three rounds that comes down from 256 m to 121.5 m, 54 views a building.
"""

from __future__ import annotations

import re
from pathlib import Path

from mobilegeo.learn.datasets.dataset import Dataset
from mobilegeo.learn.datasets.findings import Inspection
from mobilegeo.learn.datasets.records import View, ViewKind
from mobilegeo.learn.datasets.scan import FolderSpec
from mobilegeo.learn.datasets.tree import inspect_folders

NAME = "university1652"
VIEWS = 54
TOP_M, BOTTOM_M = 256.0, 121.5

_NO_STREET = "street views are not read"
_SPECS = (
    FolderSpec("train_drone", "train/drone", "drone", "train", 701, 37_854),
    FolderSpec("train_satellite", "train/satellite", "satellite", "train", 701, 701),
    FolderSpec("train_street", "train/street", "street", "train", None, None, False, _NO_STREET),
    FolderSpec(
        "train_google", "train/google", "google", "train", None, None, False,
        "the street views found by image search are not read", sparse=True,
    ),
    FolderSpec("query_drone", "test/query_drone", "drone", "query", 701, 37_855),
    FolderSpec("query_satellite", "test/query_satellite", "satellite", "query", 701, 701),
    FolderSpec(
        "query_street", "test/query_street", "street", "query", 701, 2_579, False, _NO_STREET
    ),
    FolderSpec("gallery_drone", "test/gallery_drone", "drone", "gallery", 951, 51_355),
    FolderSpec("gallery_satellite", "test/gallery_satellite", "satellite", "gallery", 951, 951),
    FolderSpec(
        "gallery_street", "test/gallery_street", "street", "gallery", 793, 2_921, False, _NO_STREET
    ),
)  # fmt: skip
_NUMBER = re.compile(r"image-(\d+)$")


def spiral_height_m(view_number: int) -> float | None:
    """Nominal height of a drone view above ground, metres.

    The spiral comes down evenly; the published flight path differs from this by the views' exact
    times, which are not published.

    Args:
        view_number: 1 … 54, from the file name; another number has no known height.
    """
    if not 1 <= view_number <= VIEWS:
        return None
    return TOP_M + (BOTTOM_M - TOP_M) * (view_number - 1) / (VIEWS - 1)


def inspect(root: Path, variant: str) -> Inspection:
    """Looks at the folder; there are no variants."""
    return inspect_folders(root, NAME, variant, _SPECS, _view)


def _view(path: Path, kind: ViewKind, place: str) -> View:
    number = _NUMBER.search(path.stem) if kind == "drone" else None
    height_m = spiral_height_m(int(number[1])) if number else None
    return View(path, kind, place, height_m)


DATASET = Dataset(
    name=NAME,
    title="University-1652",
    source="https://github.com/layumi/University1652-Baseline",
    download="University-Release.zip (sent on request)",
    licence="on request, for non-commercial research and education only; not to be passed on",
    layout="""\
University-Release/
├── train/
│   ├── drone/0839/image-01.jpeg … image-54.jpeg
│   ├── satellite/0839/0839.jpg
│   ├── street/0839/*.jpg
│   └── google/0839/*.jpg
└── test/
    ├── query_drone/0001/image-01.jpeg …
    ├── query_satellite/0001/0001.jpg
    ├── query_street/0001/*.jpg
    ├── gallery_drone/0001/image-01.jpeg …
    ├── gallery_satellite/0001/0001.jpg
    └── gallery_street/0001/*.jpg""",
    markers=(("train", "test"),),
    variants=(),
    inspect=inspect,
)
