"""Where each pixel's ray meets the surface: a plane sweep from the highest layer down.

A horizontal layer is seen through a homography, so that one warp of the surface model tells for
all pixels at once whether their rays are already below the surface there. The first layer where
they are brackets the hit; bisection along the ray refines it.

Error: with layers `d` apart the hit lies within d / 64 of the surface along the vertical. A thing
is missed where a ray crosses it between two layers, that is if it is thinner along the ray than d
times the ray's horizontal travel per metre of descent. The number of layers is chosen to keep that
travel under four cells of the surface model, as far as `max_layers` allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.world.scene import Array, Raster, Scene

MAX_LAYERS = 64
_MIN_LAYERS = 4
_BISECTIONS = 6
_LEAST_DESCENT = math.sin(math.radians(2.0))
_CLEARANCE_M = 0.5
_FOLD_PX = 1024

Cell = TypeVar("Cell", np.uint8, np.uint16, np.float32)


@dataclass(frozen=True, eq=False)
class Hits:
    """What each pixel of a view sees.

    Attributes:
        east_m, north_m: float32 [h, w], metres from the point straight below the camera.
        height_m: float32 [h, w], the scene's height there.
        depth_m: float32 [h, w], distance along the camera's axis.
        descends: bool [h, w], False where the ray rises or runs within 2° of level; the other
            arrays mean nothing there.
        camera_height_m: height of the camera above the scene's datum.
    """

    east_m: Raster
    north_m: Raster
    height_m: Raster
    depth_m: Raster
    descends: NDArray[np.bool_]
    camera_height_m: float


@dataclass(frozen=True, eq=False)
class _Rays:
    """Rays by their horizontal travel per metre of descent, float32 [h, w]."""

    east: Raster
    north: Raster
    descends: NDArray[np.bool_]


def cast_rays(
    scene: Scene, view: GroundView, x_m: float, y_m: float, max_layers: int = MAX_LAYERS
) -> Hits:
    """Finds what every pixel of a view sees; beyond its edges the scene is mirrored.

    Args:
        scene: the surface.
        view: the camera; `agl_m` is its height above the ground at its own position.
        x_m: the camera's position in the scene's frame, east.
        y_m: and north.
        max_layers: most layers of the sweep.
    """
    camera_m = scene.ground_at(x_m, y_m) + view.agl_m
    rays = _rays(view)
    layers = _layers(scene, rays, x_m, y_m, camera_m, max_layers)
    if len(layers) == 1:
        height = np.full(rays.east.shape, layers[0], np.float32)
    else:
        first = _sweep(scene, view, x_m, y_m, camera_m, layers)
        height = _bisect(scene, rays, (x_m, y_m, camera_m), layers, first)
    drop = np.float32(camera_m) - height
    east, north = rays.east * drop, rays.north * drop
    forward = view.axes[2]
    depth = (forward[0] * east + forward[1] * north - forward[2] * drop).astype(np.float32)
    return Hits(east, north, height, depth, rays.descends, camera_m)


def sample(
    scene: Scene,
    raster: NDArray[Cell],
    x_m: float,
    y_m: float,
    east_m: Raster,
    north_m: Raster,
    *,
    nearest: bool = False,
) -> NDArray[Cell]:
    """Values of one of the scene's arrays at points given from (x_m, y_m), mirrored outside.

    Args:
        scene: gives the extent.
        raster: [h, w] or [h, w, c], covering it.
        x_m: origin of the offsets in the scene's frame, east.
        y_m: and north.
        east_m: float32 [m, n] or [n], offsets from there.
        north_m: likewise.
        nearest: take the nearest cell instead of interpolating.
    """
    import cv2

    to_index = scene.index_matrix(raster.shape)
    column, row, _ = to_index @ (x_m, y_m, 1.0)
    columns = east_m * np.float32(to_index[0, 0]) + np.float32(column)
    rows = north_m * np.float32(to_index[1, 1]) + np.float32(row)
    if columns.ndim == 1:
        # OpenCV takes no image with a side beyond 32 767, so a long list is folded.
        count = len(columns)
        folded = (-(-count // _FOLD_PX), _FOLD_PX)
        columns, rows = np.resize(columns, folded), np.resize(rows, folded)
    mode = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    sampled: NDArray[Cell] = cv2.remap(raster, columns, rows, mode, borderMode=cv2.BORDER_REFLECT)
    if east_m.ndim == 1:
        return sampled.reshape(-1, *raster.shape[2:])[:count]
    return sampled


def _rays(view: GroundView) -> _Rays:
    u = np.arange(view.width_px) + 0.5
    v = np.arange(view.height_px)[:, None] + 0.5
    east, north, up = (row[0] * u + row[1] * v + row[2] for row in view.pixel_rays)
    length = np.sqrt(east**2 + north**2 + up**2)
    descends = -up > _LEAST_DESCENT * length
    down = np.where(descends, -up, _LEAST_DESCENT * length)
    return _Rays((east / down).astype(np.float32), (north / down).astype(np.float32), descends)


def _layers(
    scene: Scene, rays: _Rays, x_m: float, y_m: float, camera_m: float, max_layers: int
) -> Array:
    """Heights of the layers, highest first; one where the surface in view is level."""
    surface = scene.surface_m
    if not rays.descends.any():
        return np.array([camera_m - _CLEARANCE_M])
    travel = camera_m - float(surface.min())
    east, north = rays.east[rays.descends], rays.north[rays.descends]
    corners = scene.index_matrix(surface.shape) @ (
        [x_m + travel * min(0.0, float(east.min())), x_m + travel * max(0.0, float(east.max()))],
        [y_m + travel * max(0.0, float(north.max())), y_m + travel * min(0.0, float(north.min()))],
        [1.0, 1.0],
    )
    margin = np.array([-1, 2])
    left, right = np.clip(np.round(corners[0]).astype(int) + margin, 0, surface.shape[1])
    top, bottom = np.clip(np.round(corners[1]).astype(int) + margin, 0, surface.shape[0])
    part = surface[top:bottom, left:right] if right > left and bottom > top else surface
    low, high = float(part.min()), min(float(part.max()), camera_m - _CLEARANCE_M)
    if high - low < 1e-6:
        return np.array([low])
    slope = float(np.percentile(np.hypot(east[::7], north[::7]), 90))
    cell_m = scene.width_m / surface.shape[1]
    count = math.ceil((high - low) * slope / (4 * cell_m))
    return np.linspace(high, low, min(max(count, _MIN_LAYERS), max_layers))


def _sweep(
    scene: Scene, view: GroundView, x_m: float, y_m: float, camera_m: float, layers: Array
) -> NDArray[np.uint8]:
    """uint8 [h, w]: the first layer at which the ray is at or below the surface."""
    import cv2

    size = (view.width_px, view.height_px)
    to_centre = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    to_camera = np.array([[1.0, 0.0, x_m], [0.0, 1.0, y_m], [0.0, 0.0, 1.0]])
    to_index = scene.index_matrix(scene.surface_m.shape) @ to_camera
    pixel_rays = view.pixel_rays @ to_centre
    under = np.zeros(size[::-1], np.bool_)
    layers_under = np.zeros(size[::-1], np.uint8)
    for height in layers:
        drop = camera_m - height
        seen = cv2.warpPerspective(
            scene.surface_m,
            to_index @ np.diag([drop, drop, -1.0]) @ pixel_rays,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        under |= seen >= np.float32(height)
        layers_under += under
    return np.asarray(len(layers) - layers_under, dtype=np.uint8)


def _bisect(
    scene: Scene,
    rays: _Rays,
    camera: tuple[float, float, float],
    layers: Array,
    first: NDArray[np.uint8],
) -> Raster:
    """float32 [h, w]: height of the hit, between the layer of the first hit and the one above."""
    heights = layers.astype(np.float32)
    x_m, y_m, camera_m = camera
    above = heights[np.maximum(first.astype(np.int32) - 1, 0)]
    below = heights[np.minimum(first, len(heights) - 1)]
    for _ in range(_BISECTIONS):
        middle = 0.5 * (above + below)
        drop = np.float32(camera_m) - middle
        surface = sample(scene, scene.surface_m, x_m, y_m, rays.east * drop, rays.north * drop)
        inside = surface >= middle
        below = np.where(inside, middle, below)
        above = np.where(inside, above, middle)
    return np.asarray(0.5 * (above + below), dtype=np.float32)
