"""Your own data: folders of drone and satellite views, a folder a place.

The layout is University-1652's, with one simplification: a test folder serves as query and as
gallery at once. A test place without drone views is a distractor of the satellite gallery.
`positions.csv`, if it is there, gives position, height and heading of views.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mobilegeo.errors import DatasetError
from mobilegeo.learn.datasets.dataset import Dataset
from mobilegeo.learn.datasets.findings import Finding, Inspection
from mobilegeo.learn.datasets.known import Known, read_if_there, view_maker
from mobilegeo.learn.datasets.records import ViewKind
from mobilegeo.learn.datasets.scan import FolderSpec
from mobilegeo.learn.datasets.textfile import number, point, read_rows
from mobilegeo.learn.datasets.tree import inspect_folders

NAME = "folder"
POSITIONS_FILE = "positions.csv"
_KINDS: tuple[ViewKind, ...] = ("drone", "satellite")


def read_positions(path: Path) -> dict[str, Known]:
    """Reads `positions.csv`: path, lat, lon and, where present, height_m and heading_deg.

    Returns:
        Path relative to the dataset's folder, with forward slashes → what is known of the view.

    Raises:
        DatasetError: the file cannot be read, or a row of it; names file and line.
    """
    known = {}
    for row in read_rows(path, ("path", "lat", "lon")):
        name = row[1]["path"].replace("\\", "/")
        if name in known:
            raise DatasetError(row[0], f"repeats {name}", "keep one row a view")
        heading = number(row, "heading_deg")
        known[name] = Known(
            point(row, "lat", "lon"),
            number(row, "height_m"),
            None if heading is None else heading % 360.0,
        )
    return known


def inspect(root: Path, variant: str) -> Inspection:
    """Looks at the folder; there are no variants."""
    known, findings = read_if_there(root / POSITIONS_FILE, read_positions)
    queries = _queries(root)
    if queries is not None and not queries:
        problem = "has no place with both drone and satellite views, so nothing can be asked for"
        cure = "name the folders of one place alike in test/drone and test/satellite"
        findings.append(Finding("error", str(root / "test"), problem, cure))
    inspection = inspect_folders(root, NAME, variant, _specs(queries), view_maker(root, known))
    there = {image.relative_to(root).as_posix() for image in inspection.images}
    if gone := sorted(known.keys() - there):
        where, problem = str(root / POSITIONS_FILE), f"names {gone[0]}, which is not there"
        cure = "give paths relative to the dataset's folder: train/drone/PLACE/NAME.jpg"
        findings.append(Finding("error", where, problem, cure))
    return replace(inspection, findings=(*inspection.findings, *findings))


def _queries(root: Path) -> frozenset[str] | None:
    """Test places that have both kinds; None where a test folder is missing."""
    tested = [root / "test" / kind for kind in _KINDS]
    if not all(folder.is_dir() for folder in tested):
        return None
    return frozenset.intersection(*(_subfolders(folder) for folder in tested))


def _specs(queries: frozenset[str] | None) -> list[FolderSpec]:
    specs = [FolderSpec(f"train_{kind}", f"train/{kind}", kind, "train") for kind in _KINDS]
    for kind in _KINDS:
        folder = f"test/{kind}"
        if queries:
            specs.append(FolderSpec(f"query_{kind}", folder, kind, "query", ids=queries))
        specs.append(FolderSpec(f"gallery_{kind}", folder, kind, "gallery"))
    return specs


def _subfolders(folder: Path) -> frozenset[str]:
    return frozenset(child.name for child in folder.iterdir() if child.is_dir())


DATASET = Dataset(
    name=NAME,
    title="a folder of your own data",
    source="your own photos and map tiles",
    download="drone views and satellite tiles of the same places",
    licence="yours",
    layout="""\
FOLDER/
├── train/
│   ├── drone/PLACE/*.jpg
│   └── satellite/PLACE/*.jpg
├── test/
│   ├── drone/PLACE/*.jpg
│   └── satellite/PLACE/*.jpg         places without drone views are distractors
└── positions.csv                     optional: path, lat, lon, height_m, heading_deg""",
    markers=(("train", "test"),),
    variants=(),
    inspect=inspect,
)
