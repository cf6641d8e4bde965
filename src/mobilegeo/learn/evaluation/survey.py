"""A simulated survey of a held-out scene: drone photos to be found on a grid of map tiles.

Harder than the training pairs: the whole map has one look, its tiles overlap at a fixed stride,
so the wrong answers are neighbours, and the photos also take on the colours of real drone photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.learn.datasets import photometry
from mobilegeo.learn.datasets.simulated import draw_query
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.datasets.view import (
    Square,
    ViewError,
    ground_grid,
    leaning_relief,
    pixel_to_ground,
    sample_image,
)

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 [B, S, S, 3] RGB to L2-normalised float32 [B, D]."""


@dataclass(frozen=True)
class Survey:
    """Photos and a map of tiles.

    Attributes:
        tiles: uint8 [N, S, S, 3].
        tile_xy_m: float64 [N, 2], centres.
        queries: uint8 [Q, S, S, 3].
        query_xy_m: float64 [Q, 2], true positions.
    """

    tiles: NDArray[np.uint8]
    tile_xy_m: NDArray[np.float64]
    queries: NDArray[np.uint8]
    query_xy_m: NDArray[np.float64]


def simulate_survey(
    source: Source,
    looks: Sequence[NDArray[np.uint8]],
    seed: int,
    footprint_m: float = 120.0,
    stride_m: float = 20.0,
    photos: int = 100,
    size_px: int = 224,
) -> Survey:
    """One map with one look, and photos at random places of it.

    Args:
        source: the held-out scene.
        looks: real drone photos, uint8 RGB, whose colours the simulated photos take on.
        seed: of the map's look and of all photos.
        footprint_m: side of tiles and photos.
        stride_m: between tile centres.
        photos: number of photos.
        size_px: side of the images.
    """
    half = footprint_m / 2
    xs = np.arange(half, source.width_m - half, stride_m)
    ys = np.arange(half, source.depth_m - half, stride_m)
    centres = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    squares = [Square(float(x), float(y), footprint_m) for x, y in centres]
    tiles = np.stack([_map_tile(source, square, seed, size_px) for square in squares])
    rng = np.random.default_rng((seed, 1))
    low, high = (half, half), (source.width_m - half, source.depth_m - half)
    true_xy = rng.uniform(low, high, (photos, 2))
    queries = []
    for x, y in true_xy:
        photo = draw_query(source, Square(float(x), float(y), footprint_m), size_px, rng)
        queries.append(take_colours(photo, looks[int(rng.integers(len(looks)))]))
    return Survey(tiles, centres, np.stack(queries), true_xy)


def _map_tile(source: Source, square: Square, seed: int, size_px: int) -> NDArray[np.uint8]:
    """One tile; every tile restarts the same random stream, so that the map has one look."""
    rng = np.random.default_rng((seed, 0))
    lean = rng.normal(0.0, 0.12, 2)
    grid = ground_grid(pixel_to_ground(square, ViewError.none(), size_px), size_px)
    grid = leaning_relief(source, grid, (float(lean[0]), float(lean[1])))
    image, _ = sample_image(source, grid)
    return photometry.degrade(image, rng, ((1.0, photometry.season),), photometry.TILE)


def take_colours(image: NDArray[np.uint8], look: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gives an image the mean and spread of another's colours in CIELAB.

    Reinhard et al., "Color transfer between images", 2001. Pure black stays black.

    Args:
        image: uint8 [H, W, 3] RGB, black outside the photo.
        look: uint8 [h, w, 3] RGB.
    """
    seen = image.max(axis=2) > 0
    lab: NDArray[Any] = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    wanted: NDArray[Any] = cv2.cvtColor(look, cv2.COLOR_RGB2LAB).astype(np.float32)
    mean, std = lab[seen].mean(axis=0), lab[seen].std(axis=0) + 1.0
    aim, spread = wanted.mean(axis=(0, 1)), wanted.std(axis=(0, 1)) + 1.0
    moved = np.clip((lab - mean) / std * spread + aim, 0.0, 255.0).astype(np.uint8)
    out = np.clip(cv2.cvtColor(moved, cv2.COLOR_LAB2RGB), 1, 255)
    return np.where(seen[..., None], out, 0).astype(np.uint8)


def position_errors_m(survey: Survey, embed: Embed, batch: int = 32) -> NDArray[np.float64]:
    """Distance from each photo's true position to the centre of its best tile, float64 [Q]."""
    tiles, queries = (
        np.concatenate([embed(part) for part in _batches(images, batch)])
        for images in (survey.tiles, survey.queries)
    )
    best = (queries @ tiles.T).argmax(axis=1)
    errors: NDArray[np.float64] = np.linalg.norm(survey.tile_xy_m[best] - survey.query_xy_m, axis=1)
    return errors


def _batches(images: NDArray[np.uint8], size: int) -> list[NDArray[np.uint8]]:
    return [images[start : start + size] for start in range(0, len(images), size)]
