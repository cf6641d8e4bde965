"""Images without georeference: each is a piece of ground of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mobilegeo.errors import ResourceError
from mobilegeo.geo import LatLon
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.simulate.ground import Site, flat, is_place
from mobilegeo.learn.simulate.near_duplicates import alike_groups
from mobilegeo.learn.simulate.settings import NOMINAL_FOOTPRINT_M, Settings
from mobilegeo.world.scene import Raster, Scene

SHARE_OF_SIDE = 0.6
"""Largest footprint, of an image's shorter side: views reach beyond the footprint."""


class ImageGround:
    """Images as `sources.read_sources` gives them, each cut into places side by side.

    An image is for training or for test as a whole, and with it all images that show some of the
    same ground. Beyond an image's edge views show it mirrored.

    Args:
        name: of the collection.
        sources: the images.
    """

    def __init__(self, name: str, sources: Sequence[Source]) -> None:
        self.name = name
        self._sources = tuple(sources)

    def sites(self, settings: Settings) -> list[Site]:
        """See `Ground.sites`."""
        rng = np.random.default_rng(settings.seed)
        order = [int(k) for k in rng.permutation(len(self._sources))][: settings.places]
        centres = {piece: self._centres(piece, settings) for piece in order}
        centres = {piece: found for piece, found in centres.items() if found}
        if not centres:
            raise ResourceError(
                self.name,
                "has no image with anything to recognise",
                "give other images, or a smaller --footprint-m",
            )
        groups = alike_groups([self._sources[piece].image for piece in centres])
        tested = _for_test(groups, [len(found) for found in centres.values()], settings.test_share)
        return [
            Site(x, y, side, piece, test)
            for (piece, found), test in zip(centres.items(), tested, strict=True)
            for x, y, side in found
        ]

    def scene(self, site: Site, reach_m: float, gsd_m: float) -> Scene:  # noqa: ARG002 - images are small
        """See `Ground.scene`."""
        source = self._sources[site.piece]
        height, width = source.image.shape[:2]
        left, right = _span(site.x_m, reach_m, source.gsd_m, width)
        top, bottom = _span(-site.y_m, reach_m, source.gsd_m, height)
        ortho = np.ascontiguousarray(source.image[top:bottom, left:right])
        west_m, north_m = left * source.gsd_m - site.x_m, -top * source.gsd_m - site.y_m
        if source.height_m is None:
            return flat(ortho, source.gsd_m, west_m, north_m)
        surface: Raster = np.ascontiguousarray(source.height_m[top:bottom, left:right])
        return Scene(ortho, surface, source.gsd_m, west_m, north_m)

    def position(self, site: Site, east_m: float, north_m: float) -> LatLon | None:  # noqa: ARG002
        """None: nothing is known of it."""
        return None

    def convergence_deg(self, site: Site) -> float:  # noqa: ARG002
        """0: the images' upward direction is taken for north."""
        return 0.0

    def _centres(self, piece: int, settings: Settings) -> list[tuple[float, float, float]]:
        """Centre (x right, y up from the upper-left corner) and footprint of each place, metres."""
        source = self._sources[piece]
        most_m = SHARE_OF_SIDE * min(source.width_m, source.depth_m)
        side_m = min(settings.footprint_m or NOMINAL_FOOTPRINT_M, most_m)
        margin_m = side_m / SHARE_OF_SIDE / 2.0
        places = []
        for y in _steps(source.depth_m, margin_m, side_m):
            for x in _steps(source.width_m, margin_m, side_m):
                left, right = _span(x, side_m / 2, source.gsd_m, source.image.shape[1])
                top, bottom = _span(y, side_m / 2, source.gsd_m, source.image.shape[0])
                image = source.image[top:bottom, left:right]
                if is_place(image, np.ones(image.shape[:2], np.bool_)):
                    places.append((x, -y, side_m))
        return places


def _steps(length_m: float, margin_m: float, step_m: float) -> list[float]:
    """Points `step_m` apart, in the middle of a length, `margin_m` or more from its ends."""
    count = 1 + math.floor(max(0.0, length_m - 2.0 * margin_m) / step_m + 1e-9)
    return [length_m / 2.0 + (k - (count - 1) / 2.0) * step_m for k in range(count)]


def _span(centre_m: float, half_m: float, gsd_m: float, size_px: int) -> tuple[int, int]:
    """Pixels from `centre_m` − `half_m` to + `half_m`, within the image."""
    low, high = round((centre_m - half_m) / gsd_m), round((centre_m + half_m) / gsd_m)
    return max(0, low), min(size_px, high)


def _for_test(groups: Sequence[int], places: Sequence[int], share: float) -> list[bool]:
    """Which images are for test: whole groups, until their places are the share that is wanted.

    Args:
        groups: of each image, the number of its group.
        places: of each image.
        share: wanted share of the places.
    """
    sizes: dict[int, int] = {}
    for group, count in zip(groups, places, strict=True):
        sizes[group] = sizes.get(group, 0) + count
    wanted, chosen, taken = share * sum(places), set(), 0
    for group, size in sizes.items():
        if taken + size <= wanted + 0.5:
            chosen.add(group)
            taken += size
    return [group in chosen for group in groups]
