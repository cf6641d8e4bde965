"""Open land: parks, sports grounds, fields and woods."""

from __future__ import annotations

import numpy as np

from mobilegeo.world.canvas import Canvas, rectangle
from mobilegeo.world.layout import Block, walk
from mobilegeo.world.materials import Material
from mobilegeo.world.placing import any_variant, inside, main_angle, within
from mobilegeo.world.plants import hedge, plant
from mobilegeo.world.scene import Array, Raster

_ARC = np.linspace(0, 2 * np.pi, 40)


def draw_park(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Lawns, winding paths, a pond and clumps of trees."""
    canvas.fill(block.outline, Material.LAWN, any_variant(rng))
    pond = _blob(rng, inside(rng, block), rng.uniform(7, 15))
    if within(block, pond[::4], 6) and rng.random() < 0.7:
        canvas.fill(pond, Material.WATER, any_variant(rng))
        canvas.reserve_area(pond)
    for _ in range(3):
        a, b = inside(rng, block), inside(rng, block)
        _winding_path(canvas, rng, a + 0.7 * (a - b), b + 0.7 * (b - a), block)
    for _ in range(int(block.area_m2 / 700)):
        middle = inside(rng, block)
        conifer = rng.random() < 0.2
        for _ in range(rng.integers(2, 9)):
            place = middle + rng.normal(0, 5, 2)
            if within(block, place[None], 9):
                plant(canvas, rng, place, rng.uniform(2, 5.5), conifer=conifer)


def draw_sport(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """A football pitch if it fits, tennis courts if not, trees around."""
    canvas.fill(block.outline, Material.LAWN, any_variant(rng))
    angle = main_angle(block)
    for half in ((52.0, 34.0), (42.0, 27.0), (30.0, 20.0)):
        lot = rectangle(block.centre, (half[0] + 3, half[1] + 3), angle)
        if within(block, lot, 8) and canvas.is_free(lot):
            _pitch(canvas, rng, block.centre, half, angle)
            canvas.reserve_area(lot)
            break
    for _ in range(6):
        centre = inside(rng, block)
        lot = rectangle(centre, (18.5, 9.5), angle)
        if within(block, lot, 8) and canvas.is_free(lot):
            _tennis(canvas, rng, centre, angle)
            canvas.reserve_area(lot)
    for line, reach in block.sides:
        shift = np.array([-1.0, 1.0]) * walk(line)[1][:, ::-1] * (reach + 4)
        for point in (line + shift)[1:-1:2]:
            if rng.random() < 0.7:
                plant(canvas, rng, point + rng.normal(0, 1, 2), rng.uniform(2, 4.5))


def draw_field(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """A crop in furrows with tramlines, meadow or plough land; hedges along some sides."""
    variant = any_variant(rng)
    kind = rng.random()
    material = Material.CROP if kind < 0.72 else Material.SOIL if kind < 0.84 else Material.MEADOW
    canvas.fill(block.outline, material, variant)
    angle = main_angle(block) + rng.normal(0, 0.05)
    if material != Material.MEADOW:
        _furrows(canvas, rng, block, angle, material)
    for line, reach in block.sides:
        shift = np.array([-1.0, 1.0]) * walk(line)[1][:, ::-1] * (reach + 2.0)
        canvas.stroke(line + shift, 3.5, Material.MEADOW, any_variant(rng))
        if rng.random() < 0.45:
            hedge(canvas, rng, line + shift, rng.uniform(1.5, 3), rng.uniform(1.5, 3))
            for point in (line + shift)[1:-1:2]:
                if rng.random() < 0.35:
                    plant(canvas, rng, point, rng.uniform(2, 5))
    if rng.random() < 0.4:
        middle = inside(rng, block)
        for _ in range(rng.integers(1, 6)):
            canvas_point = middle + rng.normal(0, 5, 2)
            canvas.fill(_blob(rng, canvas_point, 4), Material.MEADOW, any_variant(rng))
            plant(canvas, rng, canvas_point, rng.uniform(2.5, 5.5))


def draw_wood(canvas: Canvas, rng: np.random.Generator, block: Block) -> None:
    """Trees crown to crown, with a ride through them."""
    canvas.fill(block.outline, Material.FOREST_FLOOR, any_variant(rng))
    a, b = inside(rng, block), inside(rng, block)
    _winding_path(canvas, rng, a + (a - b), b + (b - a), block)
    conifers = rng.choice([0.05, 0.3, 0.9])
    for _ in range(int(block.area_m2 / 17)):
        place = inside(rng, block)
        conifer = rng.random() < conifers
        if within(block, place[None], 8) and canvas.material_at(place) == Material.FOREST_FLOOR:
            plant(canvas, rng, place, rng.uniform(2, 3.4 if conifer else 5.2), conifer=conifer)


def _furrows(
    canvas: Canvas, rng: np.random.Generator, block: Block, angle: float, material: Material
) -> None:
    """Engraves rows into the field; they bend a little, and tramlines repeat."""
    import cv2

    low = np.maximum(block.outline.min(axis=0), 0)
    high = np.minimum(block.outline.max(axis=0), canvas.size_m)
    if (high - low < 2).any():
        return
    left, top = (low / canvas.gsd_m).astype(int)
    right, bottom = (high / canvas.gsd_m).astype(int)
    where = (slice(top, bottom), slice(left, right))
    mask = np.zeros((bottom - top, right - left), np.uint8)
    points = np.round((block.outline / canvas.gsd_m - (left, top)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [points], 1, shift=4)
    mask[canvas.material[where] != material] = 0
    across = _across(canvas, (left, top), mask.shape, angle)
    rows = rng.uniform(0.8, 3.2)
    value = 34 * np.sin(across * np.float32(2 * np.pi / rows))
    swath = rng.uniform(9, 21)
    tram = np.abs(across % np.float32(swath) - swath / 2)
    value[(tram > 0.7) & (tram < 1.2)] = -95
    strips = rng.normal(0, 14, int(across.max() / swath) + 400).astype(np.float32)
    value += strips[np.floor(across / np.float32(swath)).astype(int) % len(strips)]
    spot = mask > 0
    canvas.detail[where][spot] = np.clip(value[spot], -127, 127).astype(np.int8)


def _across(
    canvas: Canvas, corner: tuple[int, int], shape: tuple[int, ...], angle: float
) -> Raster:
    """Metres across the rows, float32 [h, w], in a gentle bow."""
    x = (np.arange(shape[1], dtype=np.float32) + corner[0]) * np.float32(canvas.gsd_m)
    y = (np.arange(shape[0], dtype=np.float32) + corner[1])[:, None] * np.float32(canvas.gsd_m)
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    return np.asarray(across + 3 * np.sin(along * np.float32(0.018)), dtype=np.float32)


def _pitch(
    canvas: Canvas,
    rng: np.random.Generator,
    centre: Array,
    half: tuple[float, float],
    angle: float,
) -> None:
    canvas.fill(
        rectangle(centre, (half[0] + 3, half[1] + 3), angle), Material.PITCH, any_variant(rng)
    )
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    stripe = half[0] / 8
    shade = int(rng.integers(0, 2)) * 128
    for index in range(-8, 8, 2):
        strip = rectangle(centre + (index + 0.5) * stripe * axes[0], (stripe / 2, half[1]), angle)
        canvas.fill(strip, Material.PITCH, min(255, shade + 60))

    def line(points: list[tuple[float, float]]) -> None:
        canvas.stroke(centre + np.array(points) @ axes, 0.25, Material.MARKING, 0)

    u, v = half
    line([(-u, -v), (u, -v), (u, v), (-u, v), (-u, -v)])
    line([(0, -v), (0, v)])
    line([(9.1 * np.cos(a), 9.1 * np.sin(a)) for a in _ARC])
    for end in (-1, 1):
        for deep, wide in ((16.5, 20.0), (5.5, 9.0)):
            wide_m = min(wide, v - 2)
            near = end * (u - deep)
            line([(end * u, -wide_m), (near, -wide_m), (near, wide_m), (end * u, wide_m)])


def _tennis(canvas: Canvas, rng: np.random.Generator, centre: Array, angle: float) -> None:
    canvas.fill(rectangle(centre, (18, 9), angle), Material.COURT, any_variant(rng))
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for u, v in ((11.9, 5.5), (11.9, 4.1), (6.4, 4.1)):
        corners = np.array([(-u, -v), (u, -v), (u, v), (-u, v), (-u, -v)])
        canvas.stroke(centre + corners @ axes, 0.2, Material.MARKING, 0)
    canvas.stroke(centre + np.array([(0, -6), (0, 6)]) @ axes, 0.2, Material.CLUTTER, 250)


def _winding_path(
    canvas: Canvas, rng: np.random.Generator, start: Array, end: Array, block: Block
) -> None:
    steps = np.linspace(0, 1, 24)[:, None]
    run = end - start
    across = np.array([-run[1], run[0]])
    bend = 0.12 * rng.normal() * np.sin(np.pi * steps) + 0.05 * rng.normal() * np.sin(
        2 * np.pi * steps
    )
    line = start + steps * run + bend * across
    kept = np.array([within(block, point[None], 6) for point in line])
    free = np.array([canvas.is_free(rectangle(point, (1, 1), 0)) for point in line])
    width, variant = rng.uniform(1.6, 2.6), any_variant(rng)
    for index in np.flatnonzero((kept & free)[:-1] & (kept & free)[1:]):
        canvas.stroke(line[index : index + 2], width, Material.GRAVEL, variant)


def _blob(rng: np.random.Generator, centre: Array, radius_m: float) -> Array:
    radius = np.full(len(_ARC), float(radius_m))
    for waves in (2, 3, 5):
        radius *= 1 + rng.uniform(0.02, 0.18) * np.sin(waves * _ARC + rng.uniform(0, 6.3))
    return np.asarray(centre + radius[:, None] * np.stack([np.cos(_ARC), np.sin(_ARC)], axis=1))
