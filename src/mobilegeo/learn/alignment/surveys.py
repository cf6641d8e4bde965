"""Simulated surveys: a window of a map, and drone photos whose place on it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import ResourceError
from mobilegeo.learn.alignment.config import Layout
from mobilegeo.learn.datasets.simulated import (
    Pool,
    draw_query,
    draw_side_m,
    draw_square,
    draw_tile,
    is_place,
    turned,
)
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.datasets.view import Square, ViewError

ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class Survey:
    """A window of a map and photos of it, pure black where there is no data.

    Attributes:
        window: uint8 [S, S, 3] RGB, with the layout's margin.
        photos: uint8 [P, s, s, 3] RGB, normalised to north-up at the window's resolution.
        middles: float64 [P, 2], row and column of each photo's middle in pixels of the window
            without its margin, from its upper-left corner.
        source: index of the source.
        square: ground of the window with its margin.
    """

    window: NDArray[np.uint8]
    photos: NDArray[np.uint8]
    middles: NDArray[np.float64]
    source: int
    square: Square


class SimulatedSurveys:
    """Surveys, each reproducible by its number.

    The map and every photo differ in season, light, colour, sharpness and what has been built
    (`mobilegeo.learn.datasets.photometry`), in relief and in small errors of heading, scale and
    tilt. What tilt is left moves a photo's middle by up to about a quarter of a cell.

    Args:
        sources: imagery.
        pools: how to draw from it.
        layout: sizes.
        seed: with the survey's number, fixes everything.
    """

    def __init__(
        self, sources: Sequence[Source], pools: Sequence[Pool], layout: Layout, seed: int
    ) -> None:
        self.sources = sources
        self.pools = pools
        self.layout = layout
        self.seed = seed
        weights = np.array([pool.weight for pool in pools])
        self._shares = weights / weights.sum()

    def survey(self, number: int) -> Survey:
        """Survey `number`.

        Raises:
            ResourceError: the imagery has no place of this size.
        """
        rng, layout = np.random.default_rng((self.seed, number)), self.layout
        index, square = self._place(rng)
        symmetry = int(rng.integers(8))
        window = draw_tile(self.sources[index], square, layout.size_px, rng)
        offsets = rng.uniform(-layout.reach_px, layout.reach_px, (layout.photos, 2))
        photos = [self._photo(index, square, offset, rng) for offset in offsets]
        middles = offsets + layout.window_px / 2
        return Survey(
            turned(window, symmetry),
            np.stack([turned(photo, symmetry) for photo in photos]),
            turned_points(middles, layout.window_px, symmetry),
            index,
            square,
        )

    def _place(self, rng: np.random.Generator) -> tuple[int, Square]:
        for _ in range(ATTEMPTS):
            pool = self.pools[rng.choice(len(self.pools), p=self._shares)]
            index = int(rng.choice(pool.members))
            source = self.sources[index]
            side_m = draw_side_m(source, pool, self.layout.size_px, rng)
            square = draw_square(source, side_m, (), rng)
            if square is not None and is_place(source, square):
                return index, square
        raise ResourceError(
            "sources",
            f"show no place of {self.layout.size_px} px in {ATTEMPTS} tries",
            "give larger imagery with some texture",
        )

    def _photo(
        self, index: int, square: Square, offset: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """A photo whose middle lies `offset` (row, column) pixels from the window's."""
        gsd_m = square.side_m / self.layout.size_px
        row, column = (float(v) for v in offset)
        place = Square(
            square.x_m + column * gsd_m,
            square.y_m + row * gsd_m,
            self.layout.photo_px * gsd_m,
        )
        return draw_query(
            self.sources[index], place, self.layout.photo_px, rng, telemetry_error(rng)
        )


def telemetry_error(rng: np.random.Generator) -> ViewError:
    """Errors as a good telemetry leaves them: 2° of heading, 3 % of scale, a little tilt."""
    return ViewError(
        (0.0, 0.0),
        float(np.clip(rng.normal(0.0, 2.0), -6.0, 6.0)),
        float(np.exp(np.clip(rng.normal(0.0, 0.03), -0.08, 0.08))),
        rng.normal(0.0, 0.006, (4, 2)).astype(np.float32),
    )


def turned_points(points: NDArray[np.float64], side: float, symmetry: int) -> NDArray[np.float64]:
    """Where points of a square image lie after `turned`.

    Args:
        points: float64 [N, 2], row and column from the upper-left corner, 0 … `side`.
        side: of the image.
        symmetry: as in `turned`.
    """
    row, column = points.T
    if symmetry >= 4:
        column = side - column
    for _ in range(symmetry % 4):
        row, column = side - column, row
    return np.stack([row, column], axis=1)
