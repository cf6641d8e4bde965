"""Blocks that people live and work in: houses with gardens, flats, trade, the centre."""

from __future__ import annotations

import numpy as np

from mobilegeo.world.buildings import Building, Roof, raise_building
from mobilegeo.world.canvas import Canvas, rectangle
from mobilegeo.world.layout import Block, at_arc, walk
from mobilegeo.world.materials import Material
from mobilegeo.world.plants import hedge, plant
from mobilegeo.world.scene import Array

_BAY_M = (2.5, 5.0)


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
    _scatter_trees(canvas, rng, block, per_m2=1 / 230, radius_m=(1.4, 4.2), conifers=0.18)


def draw_centre(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Houses wall to wall along the streets, yards and parking behind."""
    canvas.fill(block.outline, Material.PAVING, int(rng.integers(0, 256)))
    storeys = int(rng.integers(2, 5))
    for line, reach in block.sides:
        length = walk(line)[0][-1]
        position = reach + 1.5
        while position < length - reach - 8:
            front, deep = rng.uniform(9, 18), rng.uniform(10, 14)
            if rng.random() < 0.9:
                point, inward, angle = _frontage(line, position + front / 2)
                centre = point + inward * (reach + 1.0 + deep / 2)
                tall = 3.1 * max(2, storeys + int(rng.integers(-1, 2)))
                roof: Roof = rng.choice(np.array(["gable", "gable", "hip", "flat"]))
                flat = roof == "flat"
                wing = Building(
                    *centre, front / 2, deep / 2, angle, tall, 0.6 if flat else deep * 0.3, roof,
                    Material.ROOF_FLAT if flat else Material.ROOF_TILE,
                    int(rng.integers(0, 256)), 3.1,
                )  # fmt: skip
                _try_building(canvas, rng, wing, margin_m=-0.4)
            position += front
    _parking(canvas, rng, block, tries=3)
    _scatter_trees(canvas, rng, block, per_m2=1 / 500, radius_m=(1.5, 3.5), conifers=0.05)


def draw_flats(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Slabs of flats on lawns, with parking."""
    canvas.fill(block.outline, Material.LAWN, int(rng.integers(0, 256)))
    angle = _main_angle(block)
    flat, style = rng.random() < 0.7, int(rng.integers(0, 256))
    half = (rng.uniform(13, 26), rng.uniform(5.5, 7.5))
    tall = 2.9 * int(rng.integers(3, 8))
    for centre in _grid(rng, block, 2 * half[0] + 14, 2 * half[1] + rng.uniform(16, 24), angle):
        turn = angle + (np.pi / 2 if rng.random() < 0.2 else 0)
        slab = Building(
            *centre, *half, turn, tall, 0.7 if flat else 2.4, "flat" if flat else "hip",
            Material.ROOF_FLAT if flat else Material.ROOF_TILE, style,
        )  # fmt: skip
        _try_building(canvas, rng, slab, margin_m=4)
    _parking(canvas, rng, block, tries=4)
    _path_across(canvas, rng, block)
    _scatter_trees(canvas, rng, block, per_m2=1 / 260, radius_m=(2.0, 5.0), conifers=0.1)


def draw_trade(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Sheds and shops amid asphalt."""
    canvas.fill(block.outline, Material.ROAD, int(rng.integers(170, 256)))
    _green_rim(canvas, rng, block)
    angle = _main_angle(block)
    half = (rng.uniform(16, 32), rng.uniform(10, 18))
    for centre in _grid(rng, block, 2 * half[0] + 20, 2 * half[1] + 24, angle):
        size = np.array(half) * rng.uniform(0.7, 1.1, 2)
        metal = rng.random() < 0.6
        roof: Roof = "gable" if metal and rng.random() < 0.6 else "flat"
        shed = Building(
            *centre, *size, angle, rng.uniform(5, 9), 1.6 if roof == "gable" else 0.5, roof,
            Material.ROOF_METAL if metal else Material.ROOF_FLAT, int(rng.integers(0, 256)), 40.0,
        )  # fmt: skip
        _try_building(canvas, rng, shed, margin_m=5)
    _parking(canvas, rng, block, tries=10)


def _plot(
    canvas: Canvas,
    rng: np.random.Generator,
    side: tuple[Array, float],
    place: tuple[float, float, float],
    style: int,
) -> None:
    """A house with drive, terrace, shed, hedges and perhaps a pool."""
    (line, reach), (position, front, depth) = side, place
    point, inward, angle = _frontage(line, position)
    along = np.array([np.cos(angle), np.sin(angle)])
    setback = rng.uniform(3.5, 8)
    half = np.array([min(front / 2 - 1.5, rng.uniform(4.5, 7.0)), rng.uniform(3.8, 5.2)])
    centre = point + inward * (reach + setback + half[1])
    house = _house(rng, centre, half, angle + rng.normal(0, 0.03), style)
    if not canvas.is_free(house.grown(1.5)):
        return
    garden = point + inward * (reach + depth / 2)
    lawn = rectangle(*garden, front / 2, depth / 2, angle)
    if canvas.is_free(lawn):
        canvas.fill(lawn, Material.LAWN, int(rng.integers(0, 256)))
    _drive(canvas, rng, point + along * (half[0] - 1.2) * rng.choice([-1, 1]), inward, reach)
    if rng.random() < 0.6:
        terrace = centre + inward * (half[1] + 1.5) + along * rng.uniform(-2, 2)
        canvas.fill(
            rectangle(*terrace, rng.uniform(2, 4), 1.8, angle), Material.PAVING, _any(rng)
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
    return Building(*centre, *half, angle, eaves, rise, roof, material, variant)


def _wing(canvas: Canvas, rng: np.random.Generator, house: Building, inward: Array) -> None:
    """Half of the houses get a second, lower wing: an L or a T."""
    if rng.random() < 0.5:
        return
    along = np.array([np.cos(house.angle_rad), np.sin(house.angle_rad)])
    shift = along * house.half_u_m * rng.uniform(-0.7, 0.7) + inward * house.half_v_m
    half_v = house.half_v_m * rng.uniform(0.55, 0.75)
    wing = Building(
        house.x_m + shift[0], house.y_m + shift[1], house.half_v_m, half_v,
        house.angle_rad + np.pi / 2, house.eaves_m - 0.3,
        0.4 if house.roof == "flat" else min(house.rise_m * 0.8, half_v * 0.8),
        house.roof, house.material, house.variant,
    )  # fmt: skip
    raise_building(canvas, rng, wing)


def _drive(
    canvas: Canvas, rng: np.random.Generator, start: Array, inward: Array, reach: float
) -> None:
    end = start + inward * (reach + rng.uniform(7, 11))
    canvas.stroke(np.array([start + inward * reach, end]), 3.0, Material.PAVING, _any(rng))
    place = end - inward * 3.2
    canvas.slots.append((*place, float(np.arctan2(inward[1], inward[0]))))


def _back_garden(
    canvas: Canvas, rng: np.random.Generator, centre: Array, half_front: Array, angle: float
) -> None:
    choice = rng.random()
    spot = centre + half_front * rng.uniform(-0.6, 0.6)
    if choice < 0.35:
        size = rng.uniform(1.2, 2.0, 2)
        shed = Building(
            *spot, *size, angle, 2.1, 0.5, "lean", Material.ROOF_METAL, _any(rng), 40.0
        )
        _try_building(canvas, rng, shed, margin_m=0.3)
    elif choice < 0.47 and canvas.is_free(rectangle(*spot, 5, 3, angle)):
        canvas.fill(rectangle(*spot, 4.8, 3.0, angle), Material.PAVING, _any(rng))
        canvas.fill(rectangle(*spot, 3.6, 1.9, angle), Material.POOL, _any(rng))
    elif choice < 0.65 and canvas.is_free(rectangle(*spot, 3, 2, angle)):
        canvas.fill(rectangle(*spot, rng.uniform(1.5, 3), 1.6, angle), Material.SOIL, _any(rng))


def _parking(canvas: Canvas, rng: np.random.Generator, block: Block, tries: int) -> None:
    """Rows of bays wherever they find room."""
    angle = _main_angle(block)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    for _ in range(tries):
        count = int(rng.integers(8, 22))
        half = (count * _BAY_M[0] / 2, _BAY_M[1] + 3.0)
        centre = _inside(rng, block)
        lot = rectangle(*centre, *half, angle)
        if not _within(block, lot, 5.0) or not canvas.is_free(lot):
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


def _try_building(
    canvas: Canvas, rng: np.random.Generator, building: Building, margin_m: float
) -> None:
    if canvas.is_free(building.grown(margin_m)):
        raise_building(canvas, rng, building)


def _grid(
    rng: np.random.Generator, block: Block, step_u: float, step_v: float, angle: float
) -> list[Array]:
    """Places inside a block, in rows along an angle, a little shaken."""
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    offsets = block.outline - block.centre
    reach_u, reach_v = np.abs(offsets @ along).max(), np.abs(offsets @ across).max()
    places = []
    for v in np.arange(-reach_v + step_v / 2, reach_v, step_v):
        for u in np.arange(-reach_u + step_u / 2, reach_u, step_u):
            place = block.centre + along * u + across * v + rng.normal(0, 1.5, 2)
            if _within(block, rectangle(*place, step_u / 2 - 6, step_v / 2 - 6, angle), 4.0):
                places.append(place)
    return places


def _green_rim(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    for line, reach in block.sides:
        shift = np.array([-1.0, 1.0]) * walk(line)[1][:, ::-1] * (reach + 1.8)
        canvas.stroke(line + shift, 3.0, Material.LAWN, _any(rng))
        for index in range(1, len(line), 2):
            if rng.random() < 0.6:
                plant(canvas, rng, *(line + shift)[index], rng.uniform(1.5, 3.0))


def _path_across(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    ends = [block.centre + rng.normal(0, 25, 2) for _ in range(3)]
    for end in ends:
        line = np.array([block.centre, (block.centre + end) / 2 + rng.normal(0, 4, 2), end])
        if all(canvas.is_free(rectangle(*point, 0.8, 0.8, 0)) for point in line):
            canvas.stroke(line, 1.6, Material.FOOTWAY, _any(rng))


def _scatter_trees(
    canvas: Canvas,
    rng: np.random.Generator,
    block: Block,
    per_m2: float,
    radius_m: tuple[float, float],
    conifers: float,
) -> None:
    for _ in range(int(block.area_m2 * per_m2)):
        conifer = rng.random() < conifers
        radius = rng.uniform(*radius_m) * (0.7 if conifer else 1.0)
        plant(canvas, rng, *_inside(rng, block), radius, conifer)


def _inside(rng: np.random.Generator, block: Block) -> Array:
    """A random point of the block (of its fan around the centre)."""
    index = int(rng.integers(len(block.outline)))
    a, b = block.outline[index], block.outline[(index + 1) % len(block.outline)]
    share, depth = rng.random(), np.sqrt(rng.random())
    return np.asarray(block.centre + depth * (a + share * (b - a) - block.centre))


def _within(block: Block, corners: Array, margin_m: float) -> bool:
    import cv2

    outline = block.outline.astype(np.float32)
    return all(
        cv2.pointPolygonTest(outline, (float(x), float(y)), True) > margin_m for x, y in corners
    )


def _frontage(line: Array, position: float) -> tuple[Array, Array, float]:
    """Point on the street, direction into the block, and the street's direction."""
    point, tangent = at_arc(line, position)
    return point, np.array([-tangent[1], tangent[0]]), float(np.arctan2(tangent[1], tangent[0]))


def _main_angle(block: Block) -> float:
    line = max((side[0] for side in block.sides), key=lambda line: walk(line)[0][-1])
    run = line[-1] - line[0]
    return float(np.arctan2(run[1], run[0]))


def _any(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 256))
