"""Reference imagery to simulate views from: tiles, XYZ mosaics, scenes, generated worlds.

Every reader yields `Source` records; `READERS` maps the `kind` of a configuration to its reader.
Ground coordinates of a source are metres from its top-left corner, x to the right and y down.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import ResourceError, UsageError
from mobilegeo.learn.datasets.footprints import Mosaic, extruded
from mobilegeo.learn.datasets.generated import seen_twice

EQUATOR_M = 2.0 * math.pi * 6_378_137.0
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_XYZ_NAME = re.compile(r"(\d+)-(\d+)-(\d+)\.\w+$")


@dataclass(frozen=True)
class Source:
    """One contiguous piece of imagery.

    Attributes:
        name: where it comes from, unique in a run.
        group: sources of one group look alike and are hard negatives of each other.
        image: uint8 [H, W, 3] RGB.
        gsd_m: metres a pixel.
        height_m: float32 [H, W], surface above an arbitrary level in metres; `None` if unknown.
        later: uint8 [H, W, 3] RGB, the same ground on another day; `None` if there is no such.
    """

    name: str
    group: str
    image: NDArray[np.uint8]
    gsd_m: float
    height_m: NDArray[np.float32] | None = None
    later: NDArray[np.uint8] | None = None

    @property
    def width_m(self) -> float:
        """Extent from left to right, metres."""
        return float(self.image.shape[1] * self.gsd_m)

    @property
    def depth_m(self) -> float:
        """Extent from top to bottom, metres."""
        return float(self.image.shape[0] * self.gsd_m)

    @cached_property
    def on_another_day(self) -> Source:
        """The same ground as it was `later`; itself where nothing else is known."""
        return self if self.later is None else replace(self, image=self.later, later=None)

    @cached_property
    def pyramid(self) -> list[NDArray[np.uint8]]:
        """The image at 1, 1/2, 1/4 … of its resolution, averaged over 2 × 2 pixels each time."""
        levels = [self.image]
        while min(levels[-1].shape[:2]) >= 64 and len(levels) < 6:
            height, width = levels[-1].shape[:2]
            even = levels[-1][: height // 2 * 2, : width // 2 * 2]
            half = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            levels.append(half.astype(np.uint8, copy=False))
        return levels


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One `[[sources]]` entry of a training configuration.

    Attributes:
        kind: key of `READERS`.
        path: folder or scene, relative to the data root; none for generated worlds.
        weight: share of the training places drawn here, relative to the other entries.
        gsd_m: metres a pixel, for imagery that does not say; 0 where it does.
        zoom: zoom level to read, for XYZ tiles.
        top, bottom: rows to use, as fractions of the image's height (0 … 1).
        footprint_m: smallest and largest side of the squares cut here, metres.
        buildings: GeoJSON of footprints to be extruded, for XYZ tiles; relative to the data root.
        seeds: of generated worlds, the first and the one after the last.
    """

    kind: str
    path: str = ""
    weight: float = 1.0
    gsd_m: float = 0.0
    zoom: int = 0
    top: float = 0.0
    bottom: float = 1.0
    footprint_m: tuple[float, float] = (50.0, 300.0)
    buildings: str = ""
    seeds: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.kind not in READERS:
            raise UsageError(
                f"sources.kind {self.kind!r}", "no such reader", f"use one of {sorted(READERS)}"
            )
        if not 0.0 <= self.top < self.bottom <= 1.0:
            raise UsageError(
                f"sources rows {self.top} … {self.bottom}",
                "not a range within 0 … 1",
                "give top < bottom as fractions of the height",
            )


def read_sources(spec: SourceSpec, data_root: Path) -> list[Source]:
    """Reads all imagery of one entry.

    Raises:
        ResourceError: the folder is missing or holds no imagery of this kind.
    """
    path = data_root / spec.path
    if not path.exists():
        raise ResourceError(path, "no such imagery", "check `data_root` and `path`")
    read = READERS[spec.kind](path, spec, data_root)
    sources = [_rows(source, spec) for source in read]
    if not sources:
        raise ResourceError(
            path, f"holds no imagery of kind {spec.kind!r}", "check the path and the kind"
        )
    return sources


def _rows(source: Source, spec: SourceSpec) -> Source:
    height = source.image.shape[0]
    rows = slice(round(spec.top * height), round(spec.bottom * height))
    return Source(
        f"{source.name}[{spec.top:g}:{spec.bottom:g}]",
        source.group,
        source.image[rows],
        source.gsd_m,
        None if source.height_m is None else source.height_m[rows],
        None if source.later is None else source.later[rows],
    )


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Reads an image file, uint8 [H, W, 3] RGB.

    Raises:
        ResourceError: it is not an image.
    """
    # Decoded from memory: some collections name JPEG bytes `.tif`, and OpenCV trusts the name.
    encoded = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if image is None:
        raise ResourceError(path, "is not an image OpenCV reads", "remove it from the folder")
    return np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8, copy=False)


def _images(folder: Path, spec: SourceSpec, _: Path) -> Iterator[Source]:
    """Loose images without georeference; a subfolder is a group."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            name = path.relative_to(folder)
            yield Source(
                f"{spec.path}/{name}", f"{spec.path}/{name.parent}", read_rgb(path), spec.gsd_m
            )


def tile_gsd_m(zoom: int, row: float, tile_px: int) -> float:
    """True ground resolution of a web-mercator tile, metres a pixel, at (fractional) row `row`.

    Mercator pixels stretch by 1 / cos(latitude), so ground lengths are shorter by cos(latitude).
    """
    latitude = math.atan(math.sinh(math.pi * (1.0 - 2.0 * row / 2**zoom)))
    return EQUATOR_M * math.cos(latitude) / float(2**zoom) / tile_px


def _xyz(folder: Path, spec: SourceSpec, data_root: Path) -> Iterator[Source]:
    """Mosaics of the contiguous blocks of XYZ tiles named `…x-y-z.ext`, at one zoom."""
    tiles: dict[tuple[int, int], Path] = {}
    for path in sorted(folder.rglob("*")):
        match = _XYZ_NAME.search(path.name)
        if match and int(match[3]) == spec.zoom and path.suffix.lower() in IMAGE_SUFFIXES:
            tiles[int(match[1]), int(match[2])] = path
    for block in contiguous_blocks(set(tiles)):
        left, top = (min(tile[axis] for tile in block) for axis in (0, 1))
        right, bottom = (max(tile[axis] for tile in block) for axis in (0, 1))
        side = read_rgb(tiles[block[0]]).shape[0]
        mosaic = np.zeros(((bottom - top + 1) * side, (right - left + 1) * side, 3), np.uint8)
        for column, row in block:
            y, x = (row - top) * side, (column - left) * side
            mosaic[y : y + side, x : x + side] = read_rgb(tiles[column, row])
        gsd_m = tile_gsd_m(spec.zoom, (top + bottom + 1) / 2, side)
        height = None
        if spec.buildings:
            placed = Mosaic(spec.zoom, left, top, side, (mosaic.shape[0], mosaic.shape[1]))
            height = extruded(data_root / spec.buildings, placed)
        yield Source(f"{spec.path}/{left}-{top}", spec.path, mosaic, gsd_m, height)


def contiguous_blocks(tiles: set[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Tiles (column, row) sorted into sets connected by edges, each block in order."""
    left, blocks = set(tiles), []
    while left:
        block, frontier = [], [min(left)]
        left.discard(frontier[0])
        while frontier:
            column, row = frontier.pop()
            block.append((column, row))
            for step in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                neighbour = (column + step[0], row + step[1])
                if neighbour in left:
                    left.discard(neighbour)
                    frontier.append(neighbour)
        blocks.append(sorted(block))
    return sorted(blocks)


def _scene(folder: Path, spec: SourceSpec, _: Path) -> Iterator[Source]:
    """An orthophoto with an aligned surface model, described by `meta.json`."""
    meta = json.loads((folder / "meta.json").read_text())
    image = read_rgb(folder / meta["ortho"])
    gsd_m = meta["cell_m"] * meta["ortho_cell_ft"] / meta["cell_ft"]
    surface = cv2.imread(str(folder / meta["dsm"]), cv2.IMREAD_UNCHANGED)
    if surface is None:
        raise ResourceError(folder / meta["dsm"], "is not readable", "restore the surface model")
    size = (image.shape[1], image.shape[0])
    height = cv2.resize(surface.astype(np.float32) / 100.0, size, interpolation=cv2.INTER_LINEAR)
    yield Source(spec.path, spec.path, image, gsd_m, height.astype(np.float32, copy=False))


def _worlds(_folder: Path, spec: SourceSpec, _: Path) -> Iterator[Source]:
    """Generated worlds, each seen in two seasons."""
    for seed in range(*spec.seeds):
        seen = seen_twice(seed)
        name = f"world/{seed}"
        yield Source(name, "world", seen.image, seen.gsd_m, seen.surface_m, seen.later)


Reader = Callable[[Path, SourceSpec, Path], Iterator[Source]]
READERS: dict[str, Reader] = {"images": _images, "xyz": _xyz, "scene": _scene, "world": _worlds}
"""From the path of an entry, the entry and the data root to its imagery."""
