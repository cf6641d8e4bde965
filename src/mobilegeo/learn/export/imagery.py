"""Ground to calibrate and to judge on: pieces of imagery, and views of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.errors import ResourceError
from mobilegeo.geo import LatLon, LocalFrame
from mobilegeo.learn.datasets.simulated import LEAST_TEXTURE, Pool, SimulatedPairs
from mobilegeo.learn.datasets.sources import Source, SourceSpec, read_sources
from mobilegeo.maps import open_map
from mobilegeo.world import Appearance, generate_world, render_ortho

PIECE_SIDES = 3
"""Side of a piece of a map, in sides of the encoder's input."""
FOOTPRINTS = (0.75, 1.5)
"""Sides of the places, relative to the input's side at the resolution of the features."""
LEAST_VALID = 0.95


def open_imagery(path: Path, spec: ImageSpec) -> list[Source]:
    """Reads imagery as separate pieces of ground.

    Args:
        path: a folder of images without a georeference, taken to have the resolution at which
            `spec` matches features; or a georeferenced file, cut into squares at that resolution.
        spec: of the encoder.

    Raises:
        ResourceError: there is no such imagery, or fewer than two pieces.
        MapError: the file has no georeference or is damaged.
    """
    if path.is_dir():
        kind = SourceSpec("images", path.name, gsd_m=spec.feature_gsd_m)
        pieces = read_sources(kind, path.parent)
    else:
        pieces = list(_pieces(path, spec))
    if len(pieces) < 2:
        raise ResourceError(
            path,
            f"gives {len(pieces)} pieces of ground, and one half judges what the other calibrated",
            "give a folder of at least two images, or a larger map",
        )
    return pieces


def generated() -> list[Source]:
    """A generated world, for what needs any ground at all."""
    world = generate_world(3, (400.0, 400.0))
    image = render_ortho(world, Appearance(noise=2.0))
    return [Source("generated", "generated", image, world.gsd_m)]


def halves(sources: list[Source], seed: int) -> tuple[list[Source], list[Source]]:
    """Splits pieces at random into two halves that share none."""
    order = np.random.default_rng(seed).permutation(len(sources))
    middle = (len(sources) + 1) // 2
    first, second = order[:middle], order[middle:]
    return [sources[k] for k in first], [sources[k] for k in second]


def views_of(sources: list[Source], spec: ImageSpec, seed: int) -> SimulatedPairs:
    """Pairs of a normalised drone photo and a tile, as the encoder sees them in use."""
    side_m = spec.size_px * spec.feature_gsd_m
    low, high = (share * side_m for share in FOOTPRINTS)
    pool = Pool(1.0, (low, high), tuple(range(len(sources))))
    return SimulatedPairs(sources, [pool], size_px=spec.size_px, seed=seed)


def images_of(views: SimulatedPairs, count: int) -> list[NDArray[np.uint8]]:
    """The first images of a series of pairs, uint8 [S, S, 3] each.

    Raises:
        ResourceError: the imagery has nothing to recognise in it.
    """
    images: list[NDArray[np.uint8]] = []
    for number in range(count):
        images += [image for pair in views.group(number) for image in (pair.query, pair.tile)]
        if len(images) >= count:
            return images[:count]
    raise ResourceError(
        views.sources[0].name,
        "and the rest of the imagery show too little to recognise",
        "give imagery with buildings, roads or fields",
    )


def _pieces(path: Path, spec: ImageSpec) -> Iterator[Source]:
    """Squares side by side with data and texture."""
    source = open_map([path])
    frame = LocalFrame(source.bounds.centre)
    side_px = PIECE_SIDES * spec.size_px
    side_m = side_px * spec.feature_gsd_m
    box = source.bounds
    west_m, south_m = frame.xy(LatLon(box.south, box.west))
    east_m, north_m = frame.xy(LatLon(box.north, box.east))
    for north in np.arange(north_m, south_m, -side_m):
        for west in np.arange(west_m, east_m, side_m):
            read = source.read(
                frame, float(west), float(north), spec.feature_gsd_m, side_px, side_px
            )
            if read.valid.mean() >= LEAST_VALID and read.image.std() > LEAST_TEXTURE:
                name = f"{path.name} {west:.0f} {north:.0f}"
                yield Source(name, path.name, read.image, spec.feature_gsd_m)
