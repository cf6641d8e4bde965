"""Where the roads run and what lies between them.

The plane is split again and again by roads, each a little off the straight and square, and the
whole is then bent by a smooth warp: neighbouring blocks are alike, no two are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

import numpy as np

from mobilegeo.world.scene import Array

_MARGIN_M = 40.0
_STEP_M = 5.0


class Use(Enum):
    """What a block is used for."""

    CENTRE = "centre"
    HOUSES = "houses"
    FLATS = "flats"
    TRADE = "trade"
    PARK = "park"
    SPORT = "sport"
    FIELD = "field"
    WOOD = "wood"


@dataclass(frozen=True, eq=False)
class Road:
    """A road.

    Attributes:
        line: float64 [N, 2], plan metres.
        width_m: of the carriageway.
        footway_m: of the pavement on either side, 0 for none.
    """

    line: Array
    width_m: float
    footway_m: float

    @property
    def reach_m(self) -> float:
        """From the middle to the outer edge of the pavement."""
        return self.width_m / 2 + self.footway_m


@dataclass(frozen=True, eq=False)
class Block:
    """Land between roads.

    Attributes:
        outline: float64 [N, 2], plan metres, along the middles of the roads around it.
        sides: the polylines between its corners, each with the reach of the road along it.
        urbanity: 0 in the country … 1 in the middle of the town.
        use: what it is used for.
    """

    outline: Array
    sides: tuple[tuple[Array, float], ...]
    urbanity: float
    use: Use = Use.HOUSES

    @property
    def centre(self) -> Array:
        """float64 [2]: mean of the outline."""
        return np.asarray(self.outline.mean(axis=0))

    @property
    def area_m2(self) -> float:
        """Area within the outline."""
        return _area(self.outline)


@dataclass(frozen=True, eq=False)
class Layout:
    """Roads (the widest last) and the blocks between them."""

    roads: tuple[Road, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class _Cell:
    """A convex polygon, float64 [N, 2], and the reach of the road along each edge, [N]."""

    corners: Array
    reach_m: tuple[float, ...]
    depth: int


@dataclass(frozen=True, eq=False)
class _Warp:
    """A smooth displacement: a few plane waves, at most about 25 m."""

    waves: Array  # float64 [K, 6]: wave vector x, y, phase, displacement x, y, spare

    def __call__(self, points: Array) -> Array:
        phase = points @ self.waves[:, :2].T + self.waves[:, 2]
        return np.asarray(points + np.sin(phase) @ self.waves[:, 3:5])


def plan_layout(rng: np.random.Generator, size_m: tuple[float, float]) -> Layout:
    """Draws roads and blocks for an area of that width and height."""
    warp = _draw_warp(rng)
    town = np.array(size_m) * rng.uniform(0.35, 0.65, 2)
    spread_m = 0.42 * max(size_m)
    angle = rng.uniform(-0.5, 0.5)
    cells = [_start(size_m, angle)]
    roads: list[Road] = []
    finished: list[_Cell] = []
    while cells:
        cell = cells.pop()
        urbanity = _urbanity(cell.corners.mean(axis=0), town, spread_m)
        if _area(cell.corners) < _target_area(urbanity) * rng.uniform(0.8, 1.5):
            finished.append(cell)
            continue
        road, parts = _split(rng, cell, urbanity)
        roads.append(replace(road, line=warp(_densify(road.line))))
        cells.extend(parts)
    blocks = [_block(cell, warp, town, spread_m) for cell in finished]
    blocks = [block for block in blocks if _overlaps(block, size_m)]
    return Layout(
        tuple(sorted(roads, key=lambda road: road.width_m)), tuple(_assign_uses(rng, blocks))
    )


def walk(line: Array) -> tuple[Array, Array]:
    """Arc length, float64 [N], and unit tangents, float64 [N, 2], at the points of a polyline."""
    steps = np.diff(line, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    arc = np.concatenate([[0.0], np.cumsum(lengths)])
    tangents = steps / np.maximum(lengths, 1e-9)[:, None]
    return arc, np.concatenate([tangents, tangents[-1:]])


def at_arc(line: Array, position_m: float) -> tuple[Array, Array]:
    """Point and unit tangent, float64 [2] each, at an arc length along a polyline."""
    arc, tangents = walk(line)
    index = int(np.clip(np.searchsorted(arc, position_m) - 1, 0, len(line) - 2))
    return line[index] + (position_m - arc[index]) * tangents[index], tangents[index]


def _draw_warp(rng: np.random.Generator) -> _Warp:
    directions = rng.uniform(0, 2 * np.pi, 4)
    wavelengths = rng.uniform(420, 900, 4)
    shifts = rng.uniform(0, 2 * np.pi, 4)
    waves = np.zeros((4, 6))
    waves[:, 0] = 2 * np.pi / wavelengths * np.cos(directions)
    waves[:, 1] = 2 * np.pi / wavelengths * np.sin(directions)
    waves[:, 2] = rng.uniform(0, 2 * np.pi, 4)
    waves[:, 3] = wavelengths * 0.022 * np.cos(shifts)
    waves[:, 4] = wavelengths * 0.022 * np.sin(shifts)
    return _Warp(waves)


def _start(size_m: tuple[float, float], angle: float) -> _Cell:
    centre = np.array(size_m) / 2
    reach = (abs(np.cos(angle)) + abs(np.sin(angle))) * max(size_m) / 2 + _MARGIN_M
    square = reach * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return _Cell(centre + square @ turn, (0.0,) * 4, 0)


def _urbanity(point: Array, town: Array, spread_m: float) -> float:
    return float(np.exp(-((np.hypot(*(point - town)) / spread_m) ** 2)))


def _target_area(urbanity: float) -> float:
    """m² of a block: large fields outside, small blocks in the town."""
    return 7500.0 + 26000.0 * max(0.0, 0.75 - urbanity)


def _split(
    rng: np.random.Generator, cell: _Cell, urbanity: float
) -> tuple[Road, tuple[_Cell, _Cell]]:
    centred = cell.corners - cell.corners.mean(axis=0)
    long_axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    turn = rng.normal(0, 0.10)
    normal = np.array(
        [
            long_axis[0] * np.cos(turn) - long_axis[1] * np.sin(turn),
            long_axis[0] * np.sin(turn) + long_axis[1] * np.cos(turn),
        ]
    )
    along = cell.corners @ normal
    offset = along.min() + np.ptp(along) * rng.uniform(0.38, 0.62)
    width = {0: 10.0, 1: 10.0, 2: 8.0, 3: 7.0}.get(cell.depth, rng.choice([5.5, 6.0, 6.5]))
    footway = (2.5 if cell.depth < 3 else 1.7) if urbanity > 0.3 else 0.0
    if urbanity <= 0.3 and cell.depth >= 3:
        width = rng.choice([3.5, 4.5, 5.0])
    road = Road(np.zeros((2, 2)), width, footway)
    low, entry = _clip(cell, normal, offset, road.reach_m)
    high, _ = _clip(cell, -normal, -offset, road.reach_m)
    return replace(road, line=entry), (low, high)


def _clip(cell: _Cell, normal: Array, offset: float, reach_m: float) -> tuple[_Cell, Array]:
    """The part of a cell where normal · p ≤ offset, and the chord it was cut along."""
    inside = cell.corners @ normal <= offset
    corners: list[Array] = []
    reach: list[float] = []
    chord: list[Array] = []
    count = len(cell.corners)
    for index in range(count):
        here, there = cell.corners[index], cell.corners[(index + 1) % count]
        if inside[index]:
            corners.append(here)
            reach.append(cell.reach_m[index])
        if inside[index] != inside[(index + 1) % count]:
            share = (offset - here @ normal) / ((there - here) @ normal)
            crossing = here + share * (there - here)
            leaving = bool(inside[index])
            corners.append(crossing)
            reach.append(reach_m if leaving else cell.reach_m[index])
            chord.append(crossing)
    return _Cell(np.array(corners), tuple(reach), cell.depth + 1), np.array(chord)


def _densify(line: Array) -> Array:
    pieces = []
    for start, end in pairwise(line):
        count = max(1, int(np.hypot(*(end - start)) / _STEP_M))
        pieces.append(start + np.linspace(0, 1, count, endpoint=False)[:, None] * (end - start))
    return np.concatenate([*pieces, line[-1:]])


def _block(cell: _Cell, warp: _Warp, town: Array, spread_m: float) -> Block:
    count = len(cell.corners)
    sides = tuple(
        (warp(_densify(cell.corners[[index, (index + 1) % count]])), cell.reach_m[index])
        for index in range(count)
    )
    outline = np.concatenate([line[:-1] for line, _ in sides])
    return Block(outline, sides, _urbanity(cell.corners.mean(axis=0), town, spread_m))


def _overlaps(block: Block, size_m: tuple[float, float]) -> bool:
    low, high = block.outline.min(axis=0), block.outline.max(axis=0)
    return bool((high > 0).all() and (low < np.array(size_m)).all())


def _assign_uses(rng: np.random.Generator, blocks: list[Block]) -> list[Block]:
    """A mixed town: the densest blocks are the centre, the outermost farmland and wood."""
    ranked = sorted(blocks, key=lambda block: -block.urbanity + rng.normal(0, 0.07))
    count = len(ranked)
    result = []
    for rank, block in enumerate(ranked):
        place = rank / max(1, count)
        if place < 0.10:
            use = Use.CENTRE
        elif place < 0.66:
            use = rng.choice(
                np.array([Use.HOUSES, Use.FLATS, Use.TRADE, Use.PARK, Use.SPORT]),
                p=[0.60, 0.13, 0.12, 0.08, 0.07],
            )
        else:
            use = rng.choice(np.array([Use.FIELD, Use.WOOD, Use.HOUSES]), p=[0.66, 0.20, 0.14])
        result.append(replace(block, use=use))
    return result


def _area(outline: Array) -> float:
    x, y = outline.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
