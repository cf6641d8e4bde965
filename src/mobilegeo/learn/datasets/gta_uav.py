"""GTA-UAV: 33,763 photos from a game's 81 km², matched in part with tiles of four sizes.

Ji et al., 2025, https://arxiv.org/abs/2409.16925 (Game4Loc). A photo has several tiles that show
some of its ground; overlap above 0.39 (intersection over union) is positive, above 0.14 at least
semi-positive. Queries without a positive tile are left out, and all tiles are the gallery, as in
the authors' evaluation.

Positions are metres in the game's own frame (`PlanePoint`). The annotations give the camera's yaw
without saying where it starts and which way it turns, so headings stay unknown.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilegeo.errors import DatasetError
from mobilegeo.learn.datasets.annotations import Entry, read_entries, tile_centre
from mobilegeo.learn.datasets.dataset import Dataset
from mobilegeo.learn.datasets.findings import Count, Finding, Inspection, some
from mobilegeo.learn.datasets.graded import graded_tasks, places_of_pairs
from mobilegeo.learn.datasets.records import Benchmark, Pair, View

NAME = "gta_uav"
PHOTOS, TILES = 33_763, 14_640
DRONE_FOLDER, TILE_FOLDER = "drone/images", "satellite"


@dataclass(frozen=True)
class _Found:
    """What lies on disk, for one split.

    Attributes:
        train, test: the annotations.
        tiles: names of the tile files.
    """

    train: Sequence[Entry]
    test: Sequence[Entry]
    tiles: frozenset[str]


def annotation_name(variant: str, part: str) -> str:
    """File name of a split's annotations: `cross-area-drone2sate-train.json`."""
    return f"{variant}-drone2sate-{part}.json"


def inspect(root: Path, variant: str) -> Inspection:
    """Looks at the folder, for the split `cross-area` or `same-area`."""
    findings: list[Finding] = []
    photos = _names(root / DRONE_FOLDER, findings)
    tiles = _names(root / TILE_FOLDER, findings)
    entries = {}
    for part in ("train", "test"):
        path = root / annotation_name(variant, part)
        entries[part] = _entries(path, findings)
        findings += _gone(path, entries[part], photos, tiles)
    findings += _shared(root / annotation_name(variant, "test"), entries)
    findings += _too_few(root, photos, tiles)
    found = _Found(entries["train"], entries["test"], tiles)
    return Inspection(
        _counts(variant, found, photos),
        tuple(findings),
        (
            *(root / DRONE_FOLDER / name for name in sorted(photos)),
            *(root / TILE_FOLDER / name for name in sorted(tiles)),
        ),
        lambda: _benchmark(root, variant, found),
    )


def _names(folder: Path, findings: list[Finding]) -> frozenset[str]:
    """Image files of a folder; a finding where there are none, or something else."""
    if not folder.is_dir():
        findings.append(Finding("error", str(folder), "is missing", "unpack this part too"))
        return frozenset()
    with os.scandir(folder) as found:
        names = [entry.name for entry in found if entry.is_file() and entry.name[0] != "."]
    images = frozenset(name for name in names if name.lower().endswith(".png"))
    if not images:
        findings.append(
            Finding("error", str(folder), "holds no PNG images", "unpack this part again")
        )
    elif others := sorted(set(names) - images):
        problem = f"holds files that are no PNG images ({some(others)})"
        findings.append(Finding("warning", str(folder), problem, "remove them"))
    return images


def _entries(path: Path, findings: list[Finding]) -> list[Entry]:
    if not path.is_file():
        cure = "get it from the official page, or choose the split whose files are there"
        findings.append(Finding("error", str(path), "is missing", cure))
        return []
    try:
        entries = read_entries(path)
    except DatasetError as error:
        findings.append(Finding("error", error.where, error.problem, error.cure))
        return []
    if not entries or not any(match.positive for entry in entries for match in entry.matches):
        findings.append(
            Finding("error", str(path), "has no photo with a positive tile", "get the file again")
        )
    return entries


def _gone(
    path: Path, entries: Sequence[Entry], photos: frozenset[str], tiles: frozenset[str]
) -> list[Finding]:
    """Images that an annotation names and that are not there."""
    named = {
        DRONE_FOLDER: ({entry.photo for entry in entries}, photos),
        TILE_FOLDER: ({match.tile for entry in entries for match in entry.matches}, tiles),
    }
    return [
        Finding(
            "error",
            str(path),
            f"names images that are not in {folder} ({some(sorted(wanted - there))})",
            "unpack every part of the archive",
        )
        for folder, (wanted, there) in named.items()
        if there and wanted - there
    ]


def _shared(path: Path, entries: dict[str, list[Entry]]) -> list[Finding]:
    train, test = ({entry.photo for entry in entries[part]} for part in ("train", "test"))
    if not train & test:
        return []
    problem = f"asks for training photos ({some(sorted(train & test))})"
    return [Finding("error", str(path), problem, "get both annotation files again")]


def _too_few(root: Path, photos: frozenset[str], tiles: frozenset[str]) -> list[Finding]:
    return [
        Finding(
            "warning",
            str(root / folder),
            f"has {len(names)} images, the official one {official}",
            "unpack it again: results cannot be compared with published ones",
        )
        for folder, names, official in (
            (DRONE_FOLDER, photos, PHOTOS),
            (TILE_FOLDER, tiles, TILES),
        )
        if names and len(names) != official
    ]


def _counts(variant: str, found: _Found, photos: frozenset[str]) -> tuple[Count, ...]:
    train, test = len(found.train), len(found.test)
    queries = sum(any(match.positive for match in entry.matches) for entry in found.test)
    return (
        Count(f"{variant}/train photos", train, train),
        Count(f"{variant}/test photos", test, test),
        Count(f"{variant}/query_drone", queries, queries),
        Count(DRONE_FOLDER, len(photos), len(photos), PHOTOS, PHOTOS),
        Count(TILE_FOLDER, len(found.tiles), len(found.tiles), TILES, TILES),
    )


def _benchmark(root: Path, variant: str, found: _Found) -> Benchmark:
    tiles = {name: _tile(root, name) for name in sorted(found.tiles)}
    pairs = tuple(
        Pair(_photo(root, entry), tiles[match.tile], match.overlap, match.positive)
        for entry in found.train
        for match in entry.matches
    )
    photos = [_photo(root, entry) for entry in sorted(found.test, key=lambda entry: entry.photo)]
    positive = (
        (entry.photo, match.tile)
        for entry in found.test
        for match in entry.matches
        if match.positive
    )
    subsets, retrievals = graded_tasks(photos, tuple(tiles.values()), positive)
    return Benchmark(NAME, variant, root, places_of_pairs(pairs), subsets, retrievals, pairs)


def _photo(root: Path, entry: Entry) -> View:
    path = root / DRONE_FOLDER / entry.photo
    return View(path, "drone", entry.photo, entry.height_m, position=entry.position)


def _tile(root: Path, name: str) -> View:
    return View(root / TILE_FOLDER / name, "satellite", name, position=tile_centre(name))


DATASET = Dataset(
    name=NAME,
    title="GTA-UAV",
    source="https://github.com/Yux1angJi/GTA-UAV",
    download="GTA-UAV-LR (on Hugging Face, linked there; GTA-UAV-HR has the same layout)",
    licence="the repository is under Apache-2.0; images are rendered by a commercial game",
    layout="""\
GTA-UAV/
├── drone/images/200_0001_0000000001.png …
├── satellite/6_0_0_0.png …           zoom_offset_x_y
├── cross-area-drone2sate-train.json, cross-area-drone2sate-test.json
└── same-area-drone2sate-train.json, same-area-drone2sate-test.json""",
    markers=((DRONE_FOLDER, TILE_FOLDER),),
    variants=("cross-area", "same-area"),
    inspect=inspect,
)
