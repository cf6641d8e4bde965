"""UAV-VisLoc: 6,742 photos of fixed-wing and multirotor drones over 11 large map sheets in China.

Xu et al., 2024, https://arxiv.org/abs/2405.11936. The data set has photos with positions and maps
with corners, but neither tiles nor a split. Ours: the maps are cut into squares of `TILE_M`, half
a side apart, and a photo matches the tiles that overlap a square of that size around its centre,
positive above 0.39 and semi-positive above 0.14 (the thresholds of GTA-UAV). The photo nearest to
a tile's centre by a quarter of a side in both axes still has 0.391 with it, so every photo that is
half a tile within its map has a positive tile. Regions are split as in the cross-area lists of
Game4Loc's preparation script, which leave out 06, 07, 09 and 10. Results depend on these choices:
compare metres, not recall.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobilegeo.errors import DatasetError
from mobilegeo.geo import Bounds
from mobilegeo.learn.datasets.dataset import Dataset
from mobilegeo.learn.datasets.findings import Count, Finding, Inspection, some
from mobilegeo.learn.datasets.graded import graded_tasks, places_of_pairs
from mobilegeo.learn.datasets.records import Benchmark, Pair, View
from mobilegeo.learn.datasets.sheets import Sheet, cut, overlaps
from mobilegeo.learn.datasets.visloc_tables import (
    RANGE_FILES,
    Photo,
    find_sheet,
    range_file,
    read_bounds,
    read_photos,
    region_photos,
)

NAME = "uav_visloc"
TRAIN_REGIONS = ("01", "03", "05", "08")
TEST_REGIONS = ("02", "04", "11")
TILE_M = 300.0
"""Side of a tile; photos show 200 to 500 m of ground."""
POSITIVE, SEMI_POSITIVE = 0.39, 0.14


@dataclass(frozen=True)
class Region:
    """One flight and its map.

    Attributes:
        name: two digits.
        folder: where its photos lie.
        photos: rows of its table whose file is there.
        sheet: its map.
    """

    name: str
    folder: Path
    photos: tuple[Photo, ...]
    sheet: Sheet


def inspect(root: Path, variant: str) -> Inspection:
    """Looks at the folder; there are no variants."""
    findings: list[Finding] = []
    regions = {}
    bounds = _bounds(root, findings)
    for name in (*TRAIN_REGIONS, *TEST_REGIONS):
        if not (root / name).is_dir():
            problem = "is missing, so this region is left out"
            findings.append(Finding("warning", str(root / name), problem, "unpack it if needed"))
        elif bounds is not None and (region := _region(root, name, bounds, findings)):
            regions[name] = region
    for part, names in (("training", TRAIN_REGIONS), ("test", TEST_REGIONS)):
        if bounds is not None and not regions.keys() & set(names):
            problem = f"has no usable {part} region ({', '.join(names)})"
            cure = "get the overall data set (16.4 GB); the example of 2.04 GB holds region 03 only"
            findings.append(Finding("error", str(root), problem, cure))
    return Inspection(
        tuple(
            Count(f"region {region.name}", len(region.photos), len(region.photos))
            for region in regions.values()
        ),
        tuple(findings),
        tuple(region.folder / photo.name for region in regions.values() for photo in region.photos),
        lambda: _benchmark(root, variant, regions),
    )


def _bounds(root: Path, findings: list[Finding]) -> dict[str, Bounds] | None:
    try:
        return read_bounds(range_file(root))
    except DatasetError as error:
        findings.append(Finding("error", error.where, error.problem, error.cure))
        return None


def _region(
    root: Path, name: str, bounds: dict[str, Bounds], findings: list[Finding]
) -> Region | None:
    folder = root / name
    if name not in bounds:
        problem = f"has no row for the map of region {name}"
        cure = f"get {RANGE_FILES[0]} again"
        findings.append(Finding("error", str(range_file(root)), problem, cure))
        return None
    try:
        photos = read_photos(folder / f"{name}.csv")
        there = region_photos(folder / "drone")
        sheet = find_sheet(folder, name, bounds[name])
    except DatasetError as error:
        findings.append(Finding("error", error.where, error.problem, error.cure))
        return None
    findings += _differences(folder, {photo.name for photo in photos}, there)
    present = tuple(photo for photo in photos if photo.name in there)
    return Region(name, folder / "drone", present, sheet) if present else None


def _differences(folder: Path, listed: set[str], there: frozenset[str]) -> list[Finding]:
    table, photos = str(folder / f"{folder.name}.csv"), str(folder / "drone")
    found = []
    if gone := sorted(listed - there):
        cure = "unpack this region's photos again"
        found.append(Finding("error", photos, f"lacks photos of its table ({some(gone)})", cure))
    if unknown := sorted(there - listed):
        problem = f"has no row for photos ({some(unknown)}), so they are left out"
        found.append(Finding("warning", table, problem, "get the table again"))
    return found


def pairs_of(region: Region) -> tuple[tuple[View, ...], tuple[View, ...], tuple[Pair, ...]]:
    """Photos and tiles of a region, and which of them match.

    Returns:
        Drone views, satellite views and their pairs, photo after photo.
    """
    tiles = cut(region.sheet, TILE_M)
    views = [_view(region, photo) for photo in region.photos]
    if not tiles:
        return tuple(views), (), ()
    shares = overlaps(
        [photo.position for photo in region.photos], [tile.lat_lon for tile in tiles], TILE_M
    )
    pairs = [
        Pair(view, tiles[row], float(share[row]), bool(share[row] > POSITIVE))
        for view, share in zip(views, shares, strict=True)
        for row in (share > SEMI_POSITIVE).nonzero()[0]
    ]
    return tuple(views), tuple(tiles), tuple(pairs)


def _view(region: Region, photo: Photo) -> View:
    return View(
        region.folder / photo.name,
        "drone",
        photo.name,
        photo.height_m,
        photo.heading_deg,
        photo.position,
    )


def _benchmark(root: Path, variant: str, regions: dict[str, Region]) -> Benchmark:
    train: list[Pair] = []
    for name in TRAIN_REGIONS:
        if name in regions:
            train += pairs_of(regions[name])[2]
    photos: list[View] = []
    tiles: list[View] = []
    test: list[Pair] = []
    for name in TEST_REGIONS:
        if name in regions:
            views, of_map, pairs = pairs_of(regions[name])
            photos += views
            tiles += of_map
            test += pairs
    positive = ((pair.drone.place, pair.satellite.place) for pair in test if pair.positive)
    subsets, retrievals = graded_tasks(photos, tiles, positive)
    places = places_of_pairs(train)
    return Benchmark(NAME, variant, root, places, subsets, retrievals, tuple(train))


DATASET = Dataset(
    name=NAME,
    title="UAV-VisLoc",
    source="https://github.com/IntelliSensing/UAV-VisLoc",
    download="the overall data set (16.4 GB)",
    licence="none is stated on the official page; ask the authors",
    layout="""\
UAV-VisLoc/
├── satellite_coordinates_range.csv   mapname, LT_lat_map, LT_lon_map, RB_lat_map, RB_lon_map
├── 01/
│   ├── drone/01_0001.JPG …
│   ├── satellite01.tif
│   └── 01.csv                        num, filename, date, lat, lon, height, Omega, Kappa, Phi1 …
├── … 09/satellite09_01-01.tif, …_01-02.tif, …_02-01.tif, …_02-02.tif
└── 11/""",
    markers=((RANGE_FILES[0],), (RANGE_FILES[1],), ("03/drone",)),
    variants=(),
    inspect=inspect,
)
