"""Trees and hedges."""

from __future__ import annotations

import numpy as np

from mobilegeo.world.canvas import Canvas, Tree
from mobilegeo.world.materials import Material
from mobilegeo.world.noise import fractal
from mobilegeo.world.scene import Array, Raster

_STAMP_PX = 48
_STAMPS = 14
_BARE = frozenset(
    {
        Material.MEADOW, Material.LAWN, Material.BANK, Material.FOREST_FLOOR, Material.FOOTWAY,
        Material.PAVING, Material.GRAVEL, Material.SOIL,
    }
)  # fmt: skip


def plant(
    canvas: Canvas,
    rng: np.random.Generator,
    place: Array,
    radius_m: float,
    *,
    conifer: bool = False,
) -> None:
    """Notes a tree where its trunk finds soil and no building is within its crown's half."""
    if canvas.material_at(place) not in _BARE:
        return
    around = 0.7 * radius_m * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + place
    rows, columns = ((around / canvas.gsd_m).astype(int)).T[::-1]
    height, width = canvas.building.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    if canvas.building[rows, columns].any():
        return
    tall = radius_m * (rng.uniform(3.0, 4.2) if conifer else rng.uniform(1.7, 2.5))
    canvas.trees.append(Tree(place, radius_m, tall, conifer))


def hedge(
    canvas: Canvas, rng: np.random.Generator, line: Array, width_m: float, height_m: float
) -> None:
    """A hedge along a polyline, broken where it would cross anything but soil."""
    import cv2

    low = np.maximum(np.floor(line.min(axis=0) / canvas.gsd_m - 8), 0).astype(int)
    high = np.maximum(np.ceil(line.max(axis=0) / canvas.gsd_m + 8), 0).astype(int)
    where = (slice(low[1], high[1]), slice(low[0], high[0]))
    part = np.zeros(canvas.material[where].shape, np.uint8)
    if part.size == 0:
        return
    points = np.round((line / canvas.gsd_m - 0.5 - low) * 16).astype(np.int32)
    cv2.polylines(part, [points], False, 1, max(1, round(width_m / canvas.gsd_m)), shift=4)
    bare = np.isin(canvas.material[where], [int(material) for material in _BARE])
    spot = (part > 0) & bare & (canvas.building[where] == 0)
    rough = rng.normal(0, 0.15, part.shape).astype(np.float32)
    canvas.material[where][spot] = Material.HEDGE
    canvas.variant[where][spot] = int(rng.integers(0, 256))
    canvas.detail[where][spot] = np.clip(rough[spot] * 200, -127, 127).astype(np.int8)
    canvas.surface_m[where][spot] = (canvas.ground_m[where] + height_m + rough)[spot]


def grow_trees(canvas: Canvas, rng: np.random.Generator) -> None:
    """Stamps all noted trees into the rasters, low ones first."""
    crowns = [_broadleaf(rng) for _ in range(_STAMPS)]
    cones = [_conifer(rng) for _ in range(_STAMPS)]
    # A road or the river may have come after a tree was noted.
    standing = [tree for tree in canvas.trees if canvas.material_at(tree.place) in _BARE]
    for tree in sorted(standing, key=lambda tree: tree.height_m):
        form = (cones if tree.conifer else crowns)[int(rng.integers(_STAMPS))]
        _stamp(canvas, tree, form, int(rng.integers(0, 256)))


def _stamp(canvas: Canvas, tree: Tree, form: tuple[Raster, Raster], variant: int) -> None:
    import cv2

    window = canvas.patch(tree.place, tree.radius_m)
    if window is None:
        return
    where, dx, dy = window
    scale = np.float32(_STAMP_PX / (2 * tree.radius_m))
    columns, rows = (delta * scale + np.float32(_STAMP_PX / 2 - 0.5) for delta in (dx, dy))
    profile = cv2.remap(form[0], columns, rows, cv2.INTER_LINEAR)
    lumps = cv2.remap(form[1], columns, rows, cv2.INTER_LINEAR)
    top = canvas.ground_m[where] + np.float32(tree.height_m) * profile
    spot = (profile > 0.05) & (top > canvas.surface_m[where])
    canvas.surface_m[where][spot] = top[spot]
    canvas.material[where][spot] = Material.CONIFER if tree.conifer else Material.BROADLEAF
    canvas.variant[where][spot] = variant
    canvas.detail[where][spot] = lumps[spot].astype(np.int8)
    canvas.building[where][spot] = 0


def _disc() -> tuple[Raster, Raster]:
    axis = (np.arange(_STAMP_PX, dtype=np.float32) + 0.5) / (_STAMP_PX / 2) - 1
    dx, dy = np.meshgrid(axis, axis)
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def _broadleaf(rng: np.random.Generator) -> tuple[Raster, Raster]:
    """Height as a share of the tree's, 0 outside the crown, and brightness of the foliage."""
    distance, bearing = _disc()
    lumps = fractal(rng, distance.shape, {5.0: 0.5, 10.0: 0.8, 15.0: 0.6})
    rim = 0.84 + sum(
        rng.uniform(0.02, 0.07) * np.sin(k * bearing + rng.uniform(0, 6.3)) for k in (2, 3, 5, 7)
    )
    bowl = np.clip(1 - (distance / rim) ** 2, 0, 1)
    height = 0.30 + 0.62 * np.sqrt(bowl) + 0.07 * lumps
    height = np.where(bowl > 0, np.clip(height, 0.1, 1), 0)
    return height.astype(np.float32), np.clip(26 * lumps, -100, 100).astype(np.float32)


def _conifer(rng: np.random.Generator) -> tuple[Raster, Raster]:
    distance, bearing = _disc()
    arms = rng.integers(7, 11)
    rim = 0.78 + 0.13 * np.sin(arms * bearing + rng.uniform(0, 6.3))
    lumps = fractal(rng, distance.shape, {4.0: 0.8, 9.0: 0.5})
    cone = np.clip(1 - distance / rim, 0, 1)
    height = np.where(cone > 0, 0.18 + 0.82 * cone + 0.03 * lumps, 0)
    return np.clip(height, 0, 1).astype(np.float32), np.clip(28 * lumps, -100, 100).astype(
        np.float32
    )
