"""Finding places inside a block."""

from __future__ import annotations

import numpy as np

from mobilegeo.world.buildings import Building, raise_building
from mobilegeo.world.canvas import Canvas
from mobilegeo.world.layout import Block, at_arc, walk
from mobilegeo.world.plants import plant
from mobilegeo.world.scene import Array


def inside(rng: np.random.Generator, block: Block) -> Array:
    """A random point of the block (of its fan around the centre)."""
    index = int(rng.integers(len(block.outline)))
    a, b = block.outline[index], block.outline[(index + 1) % len(block.outline)]
    share, depth = rng.random(), np.sqrt(rng.random())
    return np.asarray(block.centre + depth * (a + share * (b - a) - block.centre))


def within(block: Block, corners: Array, margin_m: float) -> bool:
    """Whether points, float64 [N, 2], lie in a block, so far from the middles of its roads."""
    import cv2

    outline = block.outline.astype(np.float32)
    return all(
        cv2.pointPolygonTest(outline, (float(x), float(y)), True) > margin_m for x, y in corners
    )


def frontage_at(line: Array, position: float) -> tuple[Array, Array, float]:
    """Point on the street, direction into the block, and the street's direction."""
    point, tangent = at_arc(line, position)
    return point, np.array([-tangent[1], tangent[0]]), float(np.arctan2(tangent[1], tangent[0]))


def main_angle(block: Block) -> float:
    """Direction of a block's longest side."""
    line = max((side[0] for side in block.sides), key=lambda line: walk(line)[0][-1])
    run = line[-1] - line[0]
    return float(np.arctan2(run[1], run[0]))


def try_building(
    canvas: Canvas, rng: np.random.Generator, building: Building, margin_m: float
) -> None:
    """Raises a building if its ground, grown by the margin, is free."""
    if canvas.is_free(building.grown(margin_m)):
        raise_building(canvas, rng, building)


def scatter_trees(
    canvas: Canvas,
    rng: np.random.Generator,
    block: Block,
    *,
    per_m2: float,
    radius_m: tuple[float, float],
    conifers: float,
) -> None:
    """Single trees all over a block."""
    for _ in range(int(block.area_m2 * per_m2)):
        conifer = rng.random() < conifers
        radius = rng.uniform(*radius_m) * (0.7 if conifer else 1.0)
        plant(canvas, rng, inside(rng, block), radius, conifer=conifer)


def any_variant(rng: np.random.Generator) -> int:
    """A random variant."""
    return int(rng.integers(0, 256))
