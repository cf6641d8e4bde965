"""Pairs (drone view, satellite tile) of one place, simulated from reference imagery alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.learn.datasets import photometry
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.datasets.view import (
    Square,
    ViewError,
    central_relief,
    ground_grid,
    leaning_relief,
    photo_mask,
    pixel_to_ground,
    sample_image,
    smooth_field,
)

Chain = Sequence[tuple[float, photometry.Step]]

UPSAMPLING = 1.5
"""Imagery is enlarged at most this much."""
LEAST_TEXTURE = 6.0
"""Standard deviation (of 255) below which a square is open water or sand, not a place."""
SEPARATION = 0.5
"""Centres of places in one group are at least this many sides apart, in x or in y."""
NEIGHBOURHOOD = 3.0
"""… and at most about this many."""
ATTEMPTS = 60


@dataclass(frozen=True, slots=True)
class Simulation:
    """What makes the two views of a place differ; each part can be left out to see what it gives.

    Attributes:
        ground: season, shadows, objects and rebuilt patches; another day where one is known.
        camera: colours, tones, haze, blur, noise and compression of both cameras.
        relief: displacement by surface models, or a smooth random one where there is none.
        telemetry: errors of place, heading, scale and tilt.
    """

    ground: bool = True
    camera: bool = True
    relief: bool = True
    telemetry: bool = True

    def chains(self, camera: Chain) -> tuple[Chain, ...]:
        """Photometric steps for a view of this camera."""
        return (*((photometry.SCENE,) if self.ground else ()), *((camera,) if self.camera else ()))


EVERYTHING = Simulation()
"""What training uses."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two views of one place.

    Attributes:
        query: uint8 [S, S, 3] RGB, the drone photo normalised to north-up; black outside it.
        tile: uint8 [S, S, 3] RGB, the satellite tile.
        source: index of the source.
        square: the tile's ground.
    """

    query: NDArray[np.uint8]
    tile: NDArray[np.uint8]
    source: int
    square: Square


@dataclass(frozen=True, slots=True)
class Pool:
    """Sources that are drawn from with one weight.

    Attributes:
        weight: share of the places, relative to other pools.
        footprint_m: smallest and largest side of a square.
        members: indices of the sources.
    """

    weight: float
    footprint_m: tuple[float, float]
    members: tuple[int, ...]


class SimulatedPairs:
    """Groups of pairs whose places are hard to tell apart, each group reproducible by its number.

    The places of a group lie near each other in one source, do not overlap much and share one
    footprint; sources too small for that give one place each, from sources of the same group.

    Args:
        sources: imagery.
        pools: how to draw from it.
        group_size: places in a group.
        size_px: side of the images.
        seed: with the group's number, fixes everything.
        simulation: what makes the views differ.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        pools: Sequence[Pool],
        group_size: int = 4,
        size_px: int = 224,
        seed: int = 0,
        simulation: Simulation = EVERYTHING,
    ) -> None:
        self.sources = sources
        self.pools = pools
        self.group_size = group_size
        self.size_px = size_px
        self.seed = seed
        self.simulation = simulation
        self._alike: dict[str, list[int]] = {}
        for index, source in enumerate(sources):
            self._alike.setdefault(source.group, []).append(index)

    def group(self, number: int) -> list[Pair]:
        """The pairs of group `number`."""
        rng = np.random.default_rng((self.seed, number))
        symmetry = int(rng.integers(8))
        return [self._pair(index, square, symmetry, rng) for index, square in self._places(rng)]

    def _places(self, rng: np.random.Generator) -> list[tuple[int, Square]]:
        weights = np.array([pool.weight for pool in self.pools])
        pool = self.pools[rng.choice(len(self.pools), p=weights / weights.sum())]
        index = int(rng.choice(pool.members))
        source = self.sources[index]
        side_m = draw_side_m(source, pool, self.size_px, rng)
        places: list[tuple[int, Square]] = []
        for _ in range(ATTEMPTS):
            taken = [square for other, square in places if other == index]
            square = draw_square(source, side_m, taken, rng)
            if square is not None and is_place(source, square):
                places.append((index, square))
            else:
                index = int(rng.choice(self._alike[source.group]))
                source = self.sources[index]
            if len(places) == self.group_size:
                break
        return places

    def _pair(self, index: int, square: Square, symmetry: int, rng: np.random.Generator) -> Pair:
        source = self.sources[index]
        error = None if self.simulation.telemetry else ViewError.none()
        query = draw_query(source, square, self.size_px, rng, error, self.simulation)
        tile = draw_tile(source, square, self.size_px, rng, self.simulation)
        return Pair(turned(query, symmetry), turned(tile, symmetry), index, square)


def draw_side_m(source: Source, pool: Pool, size_px: int, rng: np.random.Generator) -> float:
    """Side of a square, log-uniform within what the pool asks for and the source can give."""
    least = max(pool.footprint_m[0], size_px * source.gsd_m / UPSAMPLING)
    most = min(pool.footprint_m[1], source.width_m, source.depth_m)
    return float(np.exp(rng.uniform(np.log(min(least, most)), np.log(most))))


def is_place(source: Source, square: Square) -> bool:
    """Whether a square shows enough ground, and not open water or sand alone."""
    grid = ground_grid(pixel_to_ground(square, ViewError.none(), 32), 32)
    small, inside = sample_image(source, grid)
    white_or_black = (small.min(axis=2) > 250) | (small.max(axis=2) < 4)
    return bool(
        inside.mean() > 0.95 and white_or_black.mean() < 0.1 and small.std() > LEAST_TEXTURE
    )


def turned(image: NDArray[np.uint8], symmetry: int) -> NDArray[np.uint8]:
    """One of the square's 8 symmetries: quarter turns for 0 … 3, mirrored before for 4 … 7.

    Turning both views of a group alike makes eight places of one.
    """
    mirrored = image[:, ::-1] if symmetry >= 4 else image
    return np.ascontiguousarray(np.rot90(mirrored, symmetry % 4))


def draw_query(
    source: Source,
    square: Square,
    size_px: int,
    rng: np.random.Generator,
    error: ViewError | None = None,
    simulation: Simulation = EVERYTHING,
) -> NDArray[np.uint8]:
    """A drone photo of the square as the localizer would normalise it, uint8 [S, S, 3].

    Shifted, turned, scaled and tilted by what telemetry leaves (drawn at random unless `error`
    tells), with relief displacement where a surface model is known and a smooth random one where
    it is not; black outside the photo.
    """
    error = ViewError.draw(rng) if error is None else error
    grid = ground_grid(pixel_to_ground(square, error, size_px), size_px)
    if simulation.relief:
        grid = _displaced(source, square, grid, rng)
    image, inside = sample_image(source, grid)
    seen = inside & photo_mask(rng, size_px)
    photo = photometry.degrade(image, rng, *simulation.chains(photometry.QUERY))
    return np.where(seen[..., None], photo, 0).astype(np.uint8)


def _displaced(
    source: Source, square: Square, grid: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Ground points that a drone near the square's centre sees where it would see `grid`."""
    if source.height_m is None:
        bend = np.float32(rng.uniform(0.0, 0.01) * square.side_m)
        return grid + bend * smooth_field(rng, grid.shape[0], int(rng.integers(3, 10)), 2)
    off_nadir = rng.normal(0.0, 0.1, 2) * square.side_m
    foot = (square.x_m + float(off_nadir[0]), square.y_m + float(off_nadir[1]))
    return central_relief(source, grid, foot, square.side_m * float(rng.uniform(0.6, 1.3)))


def draw_tile(
    source: Source,
    square: Square,
    size_px: int,
    rng: np.random.Generator,
    simulation: Simulation = EVERYTHING,
) -> NDArray[np.uint8]:
    """The satellite's view of the square, north-up, uint8 [S, S, 3]; sometimes partly no data."""
    grid = ground_grid(pixel_to_ground(square, ViewError.none(), size_px), size_px)
    lean = rng.normal(0.0, 0.12, 2)
    if simulation.relief:
        grid = leaning_relief(source, grid, (float(lean[0]), float(lean[1])))
    image, inside = sample_image(source.on_another_day if simulation.ground else source, grid)
    tile = photometry.degrade(image, rng, *simulation.chains(photometry.TILE))
    if rng.random() < 0.05:
        inside = inside & photo_mask(rng, size_px, least=0.85)
    return np.where(inside[..., None], tile, 0).astype(np.uint8)


def draw_square(
    source: Source, side_m: float, taken: Sequence[Square], rng: np.random.Generator
) -> Square | None:
    """A square inside the source, near those already taken there but not on them; or `None`."""
    half = side_m / 2
    low = np.array([half, half])
    high = np.array([source.width_m - half, source.depth_m - half])
    if (high < low - 1e-6).any():
        return None
    if taken:
        centre = np.array([taken[0].x_m, taken[0].y_m])
        low = np.maximum(low, centre - NEIGHBOURHOOD * side_m)
        high = np.minimum(high, centre + NEIGHBOURHOOD * side_m)
    x, y = (float(v) for v in rng.uniform(low, np.maximum(high, low)))
    if any(max(abs(x - s.x_m), abs(y - s.y_m)) < SEPARATION * side_m for s in taken):
        return None
    return Square(x, y, side_m)
