"""What is flown over: places on reference imagery, and the scene around each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.geo import LatLon
from mobilegeo.learn.simulate.settings import Settings
from mobilegeo.world.scene import Scene

LEAST_TEXTURE = 6.0
"""Standard deviation (of 255) below which ground is open water or sand, not a place."""
LEAST_VALID = 0.95


@dataclass(frozen=True)
class Site:
    """One place to be simulated.

    Attributes:
        x_m, y_m: its centre in the ground's frame, east and north.
        footprint_m: side of its satellite view.
        piece: number of the ground's image, 0 where there is one only.
        test: whether it is for test.
    """

    x_m: float
    y_m: float
    footprint_m: float
    piece: int
    test: bool


class Ground(Protocol):
    """Reference imagery of one area, or of many unrelated ones."""

    @property
    def name(self) -> str:
        """Where it comes from; part of the record of the run."""
        ...

    def sites(self, settings: Settings) -> list[Site]:
        """All its places, split so that no ground is seen by training and test views alike."""
        ...

    def scene(self, site: Site, reach_m: float, gsd_m: float) -> Scene:
        """The ground around a site, the site at the frame's origin.

        Args:
            site: one of `sites`.
            reach_m: how far to every side; where the imagery ends before, the scene does.
            gsd_m: resolution that is enough, metres a pixel.
        """
        ...

    def position(self, site: Site, east_m: float, north_m: float) -> LatLon | None:
        """Where a point near a site is on the earth; None for imagery without georeference."""
        ...

    def convergence_deg(self, site: Site) -> float:
        """Direction of the frame's north at a site, clockwise from true north."""
        ...


def is_place(image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> bool:
    """Whether a satellite view, uint8 [H, W, 3] with bool [H, W], shows something to recognise."""
    blank = ~valid | (image.min(axis=2) > 250) | (image.max(axis=2) < 4)
    return bool(blank.mean() <= 1.0 - LEAST_VALID and image[~blank].std() > LEAST_TEXTURE)


def flat(ortho: NDArray[np.uint8], gsd_m: float, west_m: float, north_m: float) -> Scene:
    """A scene without relief."""
    return Scene(ortho, np.zeros((2, 2), np.float32), gsd_m, west_m, north_m)
