"""Views simulated from reference imagery by `mobilegeo learn simulate`, with their positions.

The layout is University-1652's, without street views. `truth.csv` gives, for imagery with a
georeference, the ground at the centre of each view, the heading and the camera's height.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mobilegeo.learn.datasets.dataset import Dataset
from mobilegeo.learn.datasets.findings import Inspection
from mobilegeo.learn.datasets.known import Known, read_if_there, view_maker
from mobilegeo.learn.datasets.scan import FolderSpec
from mobilegeo.learn.datasets.textfile import number, point, read_rows
from mobilegeo.learn.datasets.tree import inspect_folders

NAME = "simulated"
FORMAT = 1
RECORD_FILE = "simulated.json"
TRUTH_FILE = "truth.csv"
TRUTH_COLUMNS = (
    "photo", "lat", "lon", "heading_deg", "agl_m",
    "camera_lat", "camera_lon", "pitch_deg", "hfov_deg", "footprint_m",
)  # fmt: skip

_SPECS = (
    FolderSpec("train_drone", "train/drone", "drone", "train"),
    FolderSpec("train_satellite", "train/satellite", "satellite", "train"),
    FolderSpec("query_drone", "test/query_drone", "drone", "query"),
    FolderSpec("query_satellite", "test/query_satellite", "satellite", "query"),
    FolderSpec("gallery_drone", "test/gallery_drone", "drone", "gallery"),
    FolderSpec("gallery_satellite", "test/gallery_satellite", "satellite", "gallery"),
)


def read_truth(path: Path) -> dict[str, Known]:
    """Reads `truth.csv`.

    Returns:
        Path relative to the dataset's folder → what is known of the view.

    Raises:
        DatasetError: the file cannot be read, or a row of it; names file and line.
    """
    known = {}
    for row in read_rows(path, ("photo", "lat", "lon")):
        known[row[1]["photo"]] = Known(
            point(row, "lat", "lon"), number(row, "agl_m"), number(row, "heading_deg")
        )
    return known


def inspect(root: Path, variant: str) -> Inspection:
    """Looks at the folder; there are no variants."""
    known, findings = read_if_there(root / TRUTH_FILE, read_truth)
    inspection = inspect_folders(root, NAME, variant, _SPECS, view_maker(root, known))
    return replace(inspection, findings=(*inspection.findings, *findings))


DATASET = Dataset(
    name=NAME,
    title="a folder of simulated views",
    source="your own imagery",
    download="what `mobilegeo learn simulate IMAGERY -o FOLDER` writes",
    licence="that of the imagery",
    layout="""\
FOLDER/
├── simulated.json                    what was simulated
├── truth.csv                         only of imagery with a georeference
├── train/
│   ├── drone/0001/image-01.jpeg … image-54.jpeg
│   └── satellite/0001/0001.jpg
└── test/
    ├── query_drone/0071/image-01.jpeg …
    ├── query_satellite/0071/0071.jpg
    ├── gallery_drone/0071/image-01.jpeg …
    └── gallery_satellite/0071/0071.jpg""",
    markers=((RECORD_FILE, "train", "test"),),
    variants=(),
    inspect=inspect,
)
