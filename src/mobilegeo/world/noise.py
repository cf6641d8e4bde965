"""Aperiodic texture at every scale, from Gaussian noise on coarse grids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mobilegeo.world.scene import Raster

_COARSE_FROM_PX = 16.0


def fractal(
    rng: np.random.Generator, shape: tuple[int, int], weights: Mapping[float, float]
) -> Raster:
    """A sum of smooth random fields.

    Args:
        rng: source of randomness.
        shape: (H, W) of the result.
        weights: wavelength in pixels → standard deviation of that field.

    Returns:
        float32 [H, W].
    """
    import cv2

    fine = {px: weight for px, weight in weights.items() if px < _COARSE_FROM_PX}
    coarse = {px: weight for px, weight in weights.items() if px >= _COARSE_FROM_PX}
    total = np.zeros(shape, np.float32)
    if coarse:
        # Long waves are summed at a quarter of the resolution, where they cost a sixteenth.
        small = (shape[0] // 4 + 2, shape[1] // 4 + 2)
        field = _sum(rng, small, {px / 4: weight for px, weight in coarse.items()})
        total += cv2.resize(field, shape[::-1], interpolation=cv2.INTER_LINEAR)
    if fine:
        total += _sum(rng, shape, fine)
    return total


def _sum(
    rng: np.random.Generator, shape: tuple[int, int], weights: Mapping[float, float]
) -> Raster:
    import cv2

    total = np.zeros(shape, np.float32)
    for wavelength, weight in weights.items():
        grid = [max(4, round(2 * side / wavelength) + 3) for side in shape]
        grid = [min(side, cells) for side, cells in zip(shape, grid, strict=True)]
        field = rng.standard_normal(grid, dtype=np.float32)
        # Interpolating shrinks the variance; 1.4 restores it to about one.
        gain = weight * (1.4 if grid[0] < shape[0] else 1.0)
        total += gain * cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return total
