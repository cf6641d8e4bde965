"""Detached houses with their gardens."""

from __future__ import annotations

import numpy as np

from mobilegeo.world.buildings import Building, Roof, raise_building
from mobilegeo.world.canvas import Canvas, rectangle
from mobilegeo.world.layout import Block, walk
from mobilegeo.world.materials import Material
from mobilegeo.world.placing import any_variant, frontage_at, scatter_trees, try_building
from mobilegeo.world.plants import hedge
from mobilegeo.world.scene import Array


def draw_houses(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Detached and semi-detached houses along the streets, gardens behind."""
    canvas.fill(block.outline, Material.LAWN, int(rng.integers(0, 256)))
    style = int(rng.integers(0, 256))
    depth = rng.uniform(22, 32)
    frontage = rng.uniform(14, 20)
    for line, reach in block.sides:
        length = walk(line)[0][-1]
        position = reach + rng.uniform(4, 10)
        while position < length - reach - 4:
            front = frontage * rng.uniform(0.85, 1.3)
            _plot(canvas, rng, (line, reach), (position + front / 2, front, depth), style)
            position += front
    scatter_trees(canvas, rng, block, per_m2=1 / 210, radius_m=(1.0, 5.2), conifers=0.18)


def _plot(
    canvas: Canvas,
    rng: np.random.Generator,
    side: tuple[Array, float],
    place: tuple[float, float, float],
    style: int,
) -> None:
    """A house with drive, terrace, shed, hedges and perhaps a pool."""
    (line, reach), (position, front, depth) = side, place
    point, inward, angle = frontage_at(line, position)
    along = np.array([np.cos(angle), np.sin(angle)])
    setback = rng.uniform(3.5, 8)
    half = np.array([min(front / 2 - 1.5, rng.uniform(4.5, 7.0)), rng.uniform(3.8, 5.2)])
    centre = point + inward * (reach + setback + half[1])
    house = _house(rng, centre, half, angle + rng.normal(0, 0.03), style)
    if not canvas.is_free(house.grown(1.5)):
        return
    garden = point + inward * (reach + depth / 2)
    if canvas.is_free(rectangle(garden, (front / 2 - 1, depth / 2 - 1), angle)):
        lawn = rectangle(garden, (front / 2, depth / 2), angle)
        canvas.fill(lawn, Material.LAWN, any_variant(rng))
    _drive(canvas, rng, point + along * (half[0] - 1.2) * rng.choice([-1, 1]), inward, reach)
    if rng.random() < 0.6:
        terrace = centre + inward * (half[1] + 1.5) + along * rng.uniform(-2, 2)
        canvas.fill(
            rectangle(terrace, (rng.uniform(2, 4), 1.8), angle), Material.PAVING, any_variant(rng)
        )
    raise_building(canvas, rng, house)
    _wing(canvas, rng, house, inward)
    back = centre + inward * (half[1] + rng.uniform(6, 10))
    _back_garden(canvas, rng, back, along * front / 2, angle)
    if rng.random() < 0.6:
        edge = point + along * front / 2
        hedge(
            canvas, rng, np.array([edge + inward * (reach + 2), edge + inward * (reach + depth)]),
            rng.uniform(0.6, 1.1), rng.uniform(1.2, 2.2),
        )  # fmt: skip
    if rng.random() < 0.35:
        ends = [point + inward * (reach + 0.8) + s * along * (front / 2 - 1.5) for s in (-1, 1)]
        hedge(canvas, rng, np.array(ends), 0.7, 1.0)


def _house(
    rng: np.random.Generator, centre: Array, half: Array, angle: float, style: int
) -> Building:
    across = rng.random() < 0.3
    if across:
        angle, half = angle + np.pi / 2, half[::-1]
    roof: Roof = rng.choice(np.array(["gable", "hip", "flat"]), p=[0.62, 0.28, 0.10])
    variant = int(np.clip(style + rng.normal(0, 28), 0, 255))
    rise = 0.6 if roof == "flat" else half[1] * rng.uniform(0.55, 0.95)
    material = Material.ROOF_FLAT if roof == "flat" else Material.ROOF_TILE
    eaves = rng.choice([3.0, 5.6], p=[0.45, 0.55])
    return Building(centre, (half[0], half[1]), angle, eaves, rise, roof, material, variant)


def _wing(canvas: Canvas, rng: np.random.Generator, house: Building, inward: Array) -> None:
    """Half of the houses get a second, lower wing: an L or a T."""
    if rng.random() < 0.5:
        return
    along = np.array([np.cos(house.angle_rad), np.sin(house.angle_rad)])
    shift = along * house.half_m[0] * rng.uniform(-0.7, 0.7) + inward * house.half_m[1]
    half_v = house.half_m[1] * rng.uniform(0.55, 0.75)
    wing = Building(
        house.centre + shift, (house.half_m[1], half_v),
        house.angle_rad + np.pi / 2, house.eaves_m - 0.3,
        0.4 if house.roof == "flat" else min(house.rise_m * 0.8, half_v * 0.8),
        house.roof, house.material, house.variant,
    )  # fmt: skip
    raise_building(canvas, rng, wing)


def _drive(
    canvas: Canvas, rng: np.random.Generator, start: Array, inward: Array, reach: float
) -> None:
    end = start + inward * (reach + rng.uniform(7, 11))
    canvas.stroke(np.array([start + inward * reach, end]), 3.0, Material.PAVING, any_variant(rng))
    place = end - inward * 3.2
    canvas.slots.append((*place, float(np.arctan2(inward[1], inward[0]))))


def _back_garden(
    canvas: Canvas, rng: np.random.Generator, centre: Array, half_front: Array, angle: float
) -> None:
    choice = rng.random()
    spot = centre + half_front * rng.uniform(-0.6, 0.6)
    if choice < 0.35:
        size = (rng.uniform(1.2, 2.0), rng.uniform(1.2, 2.0))
        shed = Building(
            spot, size, angle, 2.1, 0.5, "lean", Material.ROOF_METAL, any_variant(rng), 40.0
        )
        try_building(canvas, rng, shed, margin_m=0.3)
    elif choice < 0.47 and canvas.is_free(rectangle(spot, (5, 3), angle)):
        canvas.fill(rectangle(spot, (4.8, 3.0), angle), Material.PAVING, any_variant(rng))
        canvas.fill(rectangle(spot, (3.6, 1.9), angle), Material.POOL, any_variant(rng))
    elif choice < 0.65 and canvas.is_free(rectangle(spot, (3, 2), angle)):
        canvas.fill(
            rectangle(spot, (rng.uniform(1.5, 3), 1.6), angle), Material.SOIL, any_variant(rng)
        )
