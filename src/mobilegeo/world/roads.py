"""Roads: pavement, carriageway, markings, wear, bridges, street trees and parked cars."""

from __future__ import annotations

import numpy as np

from mobilegeo.world.canvas import Canvas, rectangle
from mobilegeo.world.layout import Layout, Road, at_arc, walk
from mobilegeo.world.materials import Material
from mobilegeo.world.plants import plant

_BRIDGE_FROM_M = 8.0
_BRIDGE_M = 3.0
_PAVED = [int(kind) for kind in (Material.ROAD, Material.FOOTWAY, Material.MARKING)]


def draw_roads(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> None:
    """Draws every road; the narrow ones end at the river, the wide ones cross it."""
    import cv2

    water = canvas.material == Material.WATER
    under = canvas.material[water], canvas.variant[water]
    for road in layout.roads:
        if road.footway_m > 0:
            canvas.stroke(road.line, 2 * road.reach_m, Material.FOOTWAY, int(rng.integers(256)))
    for road in layout.roads:
        canvas.stroke(road.line, road.width_m, Material.ROAD, int(rng.integers(256)))
        _patches(canvas, rng, road)
    for road in layout.roads:
        _markings(canvas, road)
    wide = np.zeros(canvas.material.shape, np.uint8)
    for road in layout.roads:
        if road.width_m >= _BRIDGE_FROM_M:
            points = np.round(road.line / canvas.gsd_m * 16).astype(np.int32)
            cv2.polylines(wide, [points], False, 1, round(2 * road.reach_m / canvas.gsd_m), shift=4)
    bridged = wide[water] > 0
    canvas.material[water] = np.where(bridged, canvas.material[water], under[0])
    canvas.variant[water] = np.where(bridged, canvas.variant[water], under[1])
    # Hedges of the blocks may have reached over what is a road now.
    paved = np.isin(canvas.material, _PAVED) & (canvas.building == 0)
    canvas.surface_m[paved] = canvas.ground_m[paved]
    canvas.surface_m[water & (canvas.material != Material.WATER)] = _BRIDGE_M
    _along(canvas, rng, layout)


def reserve_roads(canvas: Canvas, layout: Layout) -> None:
    """Keeps the roads free of buildings."""
    for road in layout.roads:
        canvas.reserve(road.line, 2 * road.reach_m + 1.0)


def _patches(canvas: Canvas, rng: np.random.Generator, road: Road) -> None:
    """Repaired stretches of another age."""
    length = walk(road.line)[0][-1]
    for _ in range(int(length / 45)):
        point, tangent = at_arc(road.line, rng.uniform(0, length))
        angle = float(np.arctan2(tangent[1], tangent[0]))
        side = rng.uniform(-0.3, 0.3) * road.width_m
        centre = point + side * np.array([-tangent[1], tangent[0]])
        size = rng.uniform(1.5, 12), rng.uniform(0.5, road.width_m * 0.2)
        canvas.fill(rectangle(centre, size, angle), Material.ROAD, int(rng.integers(256)))


def _markings(canvas: Canvas, road: Road) -> None:
    """A broken middle line, edge lines on main roads, a crossing near each end."""
    if road.width_m < 6.0:
        return
    length = walk(road.line)[0][-1]
    for start in np.arange(12.0, length - 14, 7.0):
        ends = [at_arc(road.line, start)[0], at_arc(road.line, start + 3.0)[0]]
        canvas.stroke(np.array(ends), 0.2, Material.MARKING, 0)
    if road.width_m < 9.0:
        return
    normals = walk(road.line)[1][:, ::-1] * np.array([-1.0, 1.0])
    for side in (-1, 1):
        line = road.line + side * normals * (road.width_m / 2 - 0.4)
        canvas.stroke(line, 0.2, Material.MARKING, 0)
    for position in np.arange(60.0, length - 60, 190.0):
        point, tangent = at_arc(road.line, float(position))
        normal = np.array([-tangent[1], tangent[0]])
        angle = float(np.arctan2(tangent[1], tangent[0]))
        for step in np.arange(-road.width_m / 2 + 0.7, road.width_m / 2 - 0.3, 1.0):
            bar = rectangle(point + step * normal, (1.6, 0.25), angle)
            canvas.fill(bar, Material.MARKING, 0)


def _along(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> None:
    """Street trees, cars at the kerb and cars under way."""
    for road in layout.roads:
        length = walk(road.line)[0][-1]
        lined = road.footway_m > 0 and rng.random() < 0.45
        spacing = rng.uniform(9, 16)
        for position in np.arange(8, length - 8, 6.0):
            point, tangent = at_arc(road.line, float(position))
            normal = np.array([-tangent[1], tangent[0]])
            heading = float(np.arctan2(tangent[1], tangent[0]))
            for side in (-1, 1):
                turn = heading + (np.pi if side < 0 else 0)
                if road.footway_m > 0 and rng.random() < 0.30:
                    place = point + side * normal * (road.width_m / 2 - 1.1)
                    canvas.slots.append((*place, turn))
                elif rng.random() < 0.06:
                    canvas.slots.append((*(point + side * normal * road.width_m / 4), turn))
                if lined and position % spacing < 6.0:
                    place = point + side * normal * (road.reach_m - 0.5)
                    plant(canvas, rng, place, rng.uniform(1.6, 3.2))
