"""Generated worlds as reference imagery: true relief, and the same ground at another season."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.world.appearance import Appearance, render_ortho
from mobilegeo.world.generate import generate_world
from mobilegeo.world.materials import Season

SIDE_M = 800.0
GSD_M = 0.4
_SEASONS: tuple[Season, ...] = ("spring", "summer", "autumn", "winter")


@dataclass(frozen=True, eq=False)
class SeenTwice:
    """One world from straight above on two days.

    Attributes:
        image, later: uint8 [H, W, 3] RGB, of different seasons, suns and cameras.
        surface_m: float32 [H, W], metres.
        gsd_m: metres a pixel.
    """

    image: NDArray[np.uint8]
    later: NDArray[np.uint8]
    surface_m: NDArray[np.float32]
    gsd_m: float


def seen_twice(seed: int) -> SeenTwice:
    """World number `seed`, `SIDE_M` wide, with two appearances drawn from the seed."""
    world = generate_world(seed, (SIDE_M, SIDE_M), GSD_M)
    rng = np.random.default_rng((seed, 1))
    first, second = rng.permutation(len(_SEASONS))[:2]
    image, later = (render_ortho(world, _appearance(_SEASONS[s], rng)) for s in (first, second))
    return SeenTwice(image, later, world.surface_m, world.gsd_m)


def _appearance(season: Season, rng: np.random.Generator) -> Appearance:
    warm = float(rng.normal(0.0, 0.05))
    return Appearance(
        season=season,
        sun_azimuth_deg=float(rng.uniform(90.0, 270.0)),
        sun_elevation_deg=float(rng.uniform(20.0, 65.0)),
        haze=float(rng.uniform(0.0, 0.15)),
        gains=(1.0 + warm, 1.0, 1.0 - warm),
        saturation=float(rng.uniform(0.6, 1.0)),
        contrast=float(rng.uniform(0.85, 1.2)),
        blur_px=float(rng.uniform(0.0, 1.0)),
        noise=float(rng.uniform(0.0, 4.0)),
        cars=float(rng.uniform(0.2, 0.8)),
        seed=int(rng.integers(2**31)),
    )
