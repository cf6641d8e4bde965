"""Blocks that people live and work in: houses with gardens, flats, trade, the centre."""

from __future__ import annotations

import numpy as np

from mobilegeo.world.buildings import Building, Roof
from mobilegeo.world.canvas import Canvas, rectangle
from mobilegeo.world.layout import Block, walk
from mobilegeo.world.materials import Material
from mobilegeo.world.placing import (
    any_variant,
    frontage_at,
    inside,
    main_angle,
    scatter_trees,
    try_building,
    within,
)
from mobilegeo.world.plants import plant
from mobilegeo.world.scene import Array

_BAY_M = (2.5, 5.0)


def draw_centre(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Houses wall to wall along the streets, yards and parking behind."""
    canvas.fill(block.outline, Material.PAVING, any_variant(rng))
    for _ in range(rng.integers(2, 6)):
        yard = rectangle(inside(rng, block), rng.uniform(5, 14, 2), main_angle(block))
        canvas.fill(
            yard, Material.LAWN if rng.random() < 0.5 else Material.PAVING, any_variant(rng)
        )
    storeys = int(rng.integers(2, 5))
    for line, reach in block.sides:
        length = walk(line)[0][-1]
        position = reach + 1.0
        while position < length - reach - 6:
            front = min(rng.uniform(9, 19), length - reach - position)
            if rng.random() < 0.93:
                _terrace(canvas, rng, (line, reach), (position + front / 2, front), storeys)
            position += front
    _parking(canvas, rng, block, tries=14)
    for _ in range(10):
        size = rng.uniform(3, 8, 2)
        yard_house = Building(
            inside(rng, block), (size.max(), size.min()), main_angle(block), 3.2, 0.5, "flat",
            Material.ROOF_FLAT, any_variant(rng), 3.1,
        )  # fmt: skip
        try_building(canvas, rng, yard_house, margin_m=1)
    scatter_trees(canvas, rng, block, per_m2=1 / 260, radius_m=(1.5, 4.0), conifers=0.05)


def _terrace(
    canvas: Canvas,
    rng: np.random.Generator,
    side: tuple[Array, float],
    place: tuple[float, float],
    storeys: int,
) -> None:
    """A house between its neighbours, its front on the pavement."""
    (line, reach), (position, front) = side, place
    deep = rng.uniform(10, 14)
    point, inward, angle = frontage_at(line, position)
    centre = point + inward * (reach + 0.8 + deep / 2)
    tall = 3.1 * max(2, storeys + int(rng.integers(-1, 2)))
    roof: Roof = rng.choice(np.array(["gable", "gable", "hip", "flat"]))
    flat = roof == "flat"
    house = Building(
        centre, (front / 2, deep / 2), angle, tall, 0.6 if flat else deep * rng.uniform(0.25, 0.38),
        roof, Material.ROOF_FLAT if flat else Material.ROOF_TILE, any_variant(rng), 3.1,
    )  # fmt: skip
    # Neighbours may touch and bends in the street may make them overlap a little.
    try_building(canvas, rng, house, margin_m=-2.2)


def draw_flats(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Slabs of flats on lawns, with parking."""
    canvas.fill(block.outline, Material.LAWN, any_variant(rng))
    angle = main_angle(block)
    flat, style = rng.random() < 0.7, any_variant(rng)
    half = (rng.uniform(11, 24), rng.uniform(5.5, 7.5))
    tall = 2.9 * int(rng.integers(3, 8))
    for _ in range(60):
        turn = angle + (np.pi / 2 if rng.random() < 0.3 else 0)
        slab = Building(
            inside(rng, block), half, turn, tall, 0.7 if flat else 2.4,
            "flat" if flat else "hip", Material.ROOF_FLAT if flat else Material.ROOF_TILE, style,
        )  # fmt: skip
        if within(block, slab.grown(9), 0):
            try_building(canvas, rng, slab, margin_m=6)
    _parking(canvas, rng, block, tries=12)
    _path_across(canvas, rng, block)
    scatter_trees(canvas, rng, block, per_m2=1 / 240, radius_m=(1.6, 5.5), conifers=0.1)


def draw_trade(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Sheds and shops amid asphalt."""
    canvas.fill(block.outline, Material.ROAD, int(rng.integers(170, 256)))
    _green_rim(canvas, rng, block)
    angle = main_angle(block)
    for attempt in range(150):
        size = np.array([rng.uniform(14, 34), rng.uniform(9, 20)]) * (1 - attempt / 220)
        metal = rng.random() < 0.6
        roof: Roof = "gable" if metal and rng.random() < 0.6 else "flat"
        turn = angle + (np.pi / 2 if rng.random() < 0.3 else 0)
        shed = Building(
            inside(rng, block), (size[0], size[1]), turn, rng.uniform(5, 9),
            1.6 if roof == "gable" else 0.5, roof,
            Material.ROOF_METAL if metal else Material.ROOF_FLAT, any_variant(rng), 40.0,
        )  # fmt: skip
        if within(block, shed.grown(3), 7):
            try_building(canvas, rng, shed, margin_m=5)
        if attempt % 3 == 2:
            _parking(canvas, rng, block, tries=1)


def _parking(canvas: Canvas, rng: np.random.Generator, block: Block, tries: int) -> None:
    """Rows of bays wherever they find room."""
    angle = main_angle(block)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    for _ in range(tries):
        count = int(rng.integers(8, 22))
        half = (count * _BAY_M[0] / 2, _BAY_M[1] + 3.0)
        centre = inside(rng, block)
        lot = rectangle(centre, half, angle)
        if not within(block, lot, 5.0) or not canvas.is_free(lot):
            continue
        canvas.fill(lot, Material.ROAD, int(rng.integers(0, 256)))
        canvas.reserve_area(lot)
        for row in (-1, 1):
            for bay in range(count + 1):
                foot = centre + along * (bay * _BAY_M[0] - half[0]) + across * row * half[1]
                head = foot - across * row * _BAY_M[1]
                canvas.stroke(np.array([foot, head]), 0.15, Material.MARKING, 0)
                if bay < count:
                    spot = (foot + head) / 2 + along * _BAY_M[0] / 2
                    turn = angle + row * np.pi / 2
                    canvas.slots.append((*spot, float(turn)))


def _green_rim(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    for line, reach in block.sides:
        shift = np.array([-1.0, 1.0]) * walk(line)[1][:, ::-1] * (reach + 1.8)
        canvas.stroke(line + shift, 3.0, Material.LAWN, any_variant(rng))
        for index in range(1, len(line), 2):
            if rng.random() < 0.6:
                plant(canvas, rng, (line + shift)[index], rng.uniform(1.5, 3.0))


def _path_across(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    ends = [block.centre + rng.normal(0, 25, 2) for _ in range(3)]
    for end in ends:
        line = np.array([block.centre, (block.centre + end) / 2 + rng.normal(0, 4, 2), end])
        if all(canvas.is_free(rectangle(point, (0.8, 0.8), 0)) for point in line):
            canvas.stroke(line, 1.6, Material.FOOTWAY, any_variant(rng))
