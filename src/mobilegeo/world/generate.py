"""A generated world: geometry and materials, without light or season.

A town with its outskirts, farmland, wood and a river on gently rolling ground. Everything is
decided by the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.world.canvas import Canvas
from mobilegeo.world.country import draw_field, draw_park, draw_sport, draw_wood
from mobilegeo.world.houses import draw_houses
from mobilegeo.world.layout import Block, Use, plan_layout
from mobilegeo.world.noise import fractal
from mobilegeo.world.plants import grow_trees
from mobilegeo.world.river import draw_course, draw_river, shape_ground
from mobilegeo.world.roads import draw_roads, reserve_roads
from mobilegeo.world.scene import Array, Facades, Raster
from mobilegeo.world.town import draw_centre, draw_flats, draw_trade

_LEAST_M, _MOST_M = 200.0, 4000.0

_PLASTER = np.array(
    [
        (206, 200, 188), (190, 186, 178), (216, 212, 202), (178, 142, 120), (200, 184, 156),
        (172, 166, 160), (160, 120, 102), (204, 206, 204),
    ],
    np.uint8,
)  # fmt: skip

_DRAW: dict[Use, Callable[[Canvas, np.random.Generator, Block], None]] = {
    Use.CENTRE: draw_centre,
    Use.HOUSES: draw_houses,
    Use.FLATS: draw_flats,
    Use.TRADE: draw_trade,
    Use.PARK: draw_park,
    Use.SPORT: draw_sport,
    Use.FIELD: draw_field,
    Use.WOOD: draw_wood,
}


@dataclass(frozen=True, eq=False)
class World:
    """A place that exists nowhere; row 0 is its north edge.

    Attributes:
        gsd_m: metres a pixel.
        surface_m: float32 [H, W], metres above the river, roofs and crowns included.
        ground_m: float32 [H, W], the bare ground.
        material: uint8 [H, W], a `Material`.
        variant: uint8 [H, W], tells objects of one material apart.
        detail: int8 [H, W], relative brightness engraved in the objects (127 = all of it).
        grain: int8 [H, W], fine texture, 32 = one standard deviation.
        patches: int8 [H, W], coarse texture, likewise.
        slots: float64 [N, 3], x, y (plan metres, y south) and angle of places for cars.
        facades: the walls of its buildings.
    """

    gsd_m: float
    surface_m: Raster
    ground_m: Raster
    material: NDArray[np.uint8]
    variant: NDArray[np.uint8]
    detail: NDArray[np.int8]
    grain: NDArray[np.int8]
    patches: NDArray[np.int8]
    slots: Array
    facades: Facades

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height."""
        height, width = self.material.shape
        return width * self.gsd_m, height * self.gsd_m


def generate_world(
    seed: int, size_m: tuple[float, float] = (800.0, 800.0), gsd_m: float = 0.25
) -> World:
    """Makes a world.

    Args:
        seed: decides everything.
        size_m: width and height, 200 … 4000 m each.
        gsd_m: metres a pixel.

    Raises:
        UsageError: a size or resolution that cannot be meant.
    """
    if not all(_LEAST_M <= side <= _MOST_M for side in size_m):
        raise UsageError(
            f"world size {size_m}", f"not within {_LEAST_M:g} … {_MOST_M:g} m", "choose another"
        )
    if not 0.1 <= gsd_m <= 1.0:
        raise UsageError(f"world gsd {gsd_m}", "not within 0.1 … 1 m", "choose another")
    rng = np.random.default_rng(seed)
    shape = (round(size_m[1] / gsd_m), round(size_m[0] / gsd_m))
    river = draw_course(rng, size_m)
    canvas = Canvas.blank(shape_ground(rng, shape, gsd_m, river), gsd_m)
    layout = plan_layout(rng, size_m)
    reserve_roads(canvas, layout)
    canvas.reserve(river.line, river.width_m + 14)
    for block in layout.blocks:
        _DRAW[block.use](canvas, rng, block)
    draw_river(canvas, rng, river)
    draw_roads(canvas, rng, layout)
    grow_trees(canvas, rng)
    return _finish(canvas, rng)


def _finish(canvas: Canvas, rng: np.random.Generator) -> World:
    import cv2

    shape = (canvas.material.shape[0], canvas.material.shape[1])
    per_m = 1 / canvas.gsd_m
    grain = fractal(rng, shape, {1.0: 0.7, 0.6 * per_m: 0.6, 1.6 * per_m: 0.5})
    waves = {3 * per_m: 0.3, 7 * per_m: 0.4, 18 * per_m: 0.6, 45 * per_m: 0.6, 110 * per_m: 0.5}
    patches = fractal(rng, shape, waves)
    ids = cv2.dilate(canvas.building, np.ones((5, 5), np.uint8))
    frames = np.array(canvas.frames, np.float32).reshape(-1, 5)
    colours = _PLASTER[rng.integers(0, len(_PLASTER), len(frames))]
    return World(
        gsd_m=canvas.gsd_m,
        surface_m=canvas.surface_m,
        ground_m=canvas.ground_m,
        material=canvas.material,
        variant=canvas.variant,
        detail=canvas.detail,
        grain=_quantised(grain),
        patches=_quantised(patches),
        slots=np.array(canvas.slots).reshape(-1, 3),
        facades=Facades(ids, frames, colours),
    )


def _quantised(field: Raster) -> NDArray[np.int8]:
    return np.asarray(np.clip(field * 32, -127, 127), dtype=np.int8)
