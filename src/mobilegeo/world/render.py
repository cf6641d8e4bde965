"""A drone's view of a scene, with true relief: things hide one another and lean outwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import CameraModel, GroundView
from mobilegeo.world.raycast import Hits, cast_rays, sample
from mobilegeo.world.scene import Array, Facades, Image, Raster, Scene

_WALL_RISE_M = 0.9
"""A hit this far below the crest of its neighbourhood is the side of something."""

_SURE_RISE_M = 2.0
_SIDE_BLUR_M = 1.5

_SKY_RGB = (168.0, 192.0, 218.0)
_HAZE_RGB = (196.0, 205.0, 214.0)
_WINDOW_RGB = (62.0, 70.0, 80.0)


@dataclass(frozen=True, slots=True)
class Light:
    """Sun and air of a view.

    Attributes:
        sun_azimuth_deg: where the sun stands, clockwise from the frame's north.
        sun_elevation_deg: its height above the horizon.
        visibility_m: distance at which about a third of the contrast is left.
    """

    sun_azimuth_deg: float = 150.0
    sun_elevation_deg: float = 45.0
    visibility_m: float = 6000.0

    @property
    def direction(self) -> Array:
        """float64 [3]: unit vector (east, north, up) towards the sun."""
        azimuth, elevation = np.radians([self.sun_azimuth_deg, self.sun_elevation_deg])
        level = math.cos(elevation)
        return np.array([level * math.sin(azimuth), level * math.cos(azimuth), math.sin(elevation)])


def render_view(
    scene: Scene, view: GroundView, x_m: float, y_m: float, light: Light | None = None
) -> Image:
    """What the camera sees.

    Beyond its edges the scene is mirrored; `cast_rays` tells where that happened. Shadows and the
    shading of roofs are those of the ortho; only walls are lit here.

    Args:
        scene: the ortho and its surface.
        view: the camera; `agl_m` is its height above the ground at its own position.
        x_m: the camera's position in the scene's frame, east.
        y_m: and north.
        light: sun for the walls, and haze; the default suits a clear day.

    Returns:
        uint8 [height_px, width_px, 3] RGB.
    """
    light = light or Light()
    hits = cast_rays(scene, view, x_m, y_m)
    colour = _ground_colour(scene, view, x_m, y_m, hits)
    _paint_walls(colour, scene, x_m, y_m, hits, light)
    _paint_air(colour, view, hits, light)
    return np.asarray(np.clip(colour + 0.5, 0, 255), dtype=np.uint8)


def _ground_colour(scene: Scene, view: GroundView, x_m: float, y_m: float, hits: Hits) -> Raster:
    """float32 [h, w, 3]: the ortho at the hits, averaged over what a pixel covers."""
    focal = CameraModel(view.hfov_deg).focal_px(view.width_px)
    drop = hits.camera_height_m - hits.height_m
    distance = np.sqrt(hits.east_m**2 + hits.north_m**2 + drop**2)
    footprint_px = hits.depth_m / (focal * scene.gsd_m) * np.sqrt(distance / drop)
    top = len(scene.pyramid) - 1
    level = np.clip(np.log2(np.maximum(footprint_px, 1e-6)), 0, top).astype(np.float32)
    level[~hits.descends] = 0
    colour = np.zeros((*level.shape, 3), np.float32)
    for index in range(int(level.min()), math.ceil(float(level.max())) + 1):
        share = np.maximum(0.0, 1.0 - np.abs(level - index))
        image = sample(scene, scene.pyramid[index], x_m, y_m, hits.east_m, hits.north_m)
        colour += share[..., None] * image
    return colour


def _paint_walls(
    colour: Raster, scene: Scene, x_m: float, y_m: float, hits: Hits, light: Light
) -> None:
    """Replaces the smeared edge of a roof by its wall, and darkens the sides of other things."""
    crest = sample(scene, scene.crest_m, x_m, y_m, hits.east_m, hits.north_m)
    rise = crest - hits.height_m
    rows, columns = np.nonzero((rise > _WALL_RISE_M) & hits.descends)
    if not len(rows):
        return
    east, north = (array[rows, columns] for array in (hits.east_m, hits.north_m))
    shade = _side_light(scene, x_m, y_m, east, north, light)
    # From a coarse level of the pyramid, so that the rim of a crown is not drawn out in streaks.
    level = max(0, round(math.log2(_SIDE_BLUR_M / scene.gsd_m)))
    coarse = scene.pyramid[min(level, len(scene.pyramid) - 1)]
    blurred = sample(scene, coarse, x_m, y_m, east, north)
    plain = colour[rows, columns]
    side = (0.3 * plain + 0.7 * blurred) * (0.6 + 0.35 * shade)[:, None]
    # Low steps are as often noise of the surface model as sides of things.
    certain = np.clip((rise[rows, columns] - _WALL_RISE_M) / _SURE_RISE_M, 0, 1)[:, None]
    wall = plain + certain * (side - plain)
    if scene.facades is not None:
        ids = sample(scene, scene.facades.ids, x_m, y_m, east, north, nearest=True)
        known = ids.astype(np.int64) > 0
        x = x_m - scene.west_m + east[known].astype(np.float64)
        y = scene.north_m - y_m - north[known].astype(np.float64)
        height = hits.height_m[rows, columns][known]
        paint = facade_colour(scene.facades, ids[known].astype(np.int64) - 1, x, y, height)
        wall[known] = paint * (0.5 + 0.5 * shade[known])[:, None]
    colour[rows, columns] = wall


def _side_light(
    scene: Scene, x_m: float, y_m: float, east: Raster, north: Raster, light: Light
) -> Raster:
    """float32 [N]: how squarely the sun meets the sides at some hits, 0 … 1."""
    reach = np.float32(1.5 * scene.width_m / scene.surface_m.shape[1])

    def surface(d_east: float, d_north: float) -> Raster:
        points = (east + reach * np.float32(d_east), north + reach * np.float32(d_north))
        return sample(scene, scene.surface_m, x_m, y_m, *points)

    outward = np.stack([surface(-1, 0) - surface(1, 0), surface(0, -1) - surface(0, 1)])
    outward /= np.maximum(np.hypot(*outward), 1e-6)
    sun = light.direction[:2]
    return np.asarray(np.maximum(0.0, sun[0] * outward[0] + sun[1] * outward[1]), np.float32)


def facade_colour(
    facades: Facades, row: NDArray[np.int64], x_m: Array, y_m: Array, height_m: Raster
) -> Raster:
    """Plaster with rows of windows.

    Args:
        facades: the walls.
        row: int64 [N], the building.
        x_m: float64 [N], metres east of the scene's upper-left corner.
        y_m: float64 [N], metres south of it.
        height_m: float32 [N], height above the datum.

    Returns:
        float32 [N, 3] RGB before lighting.
    """
    centre_x, centre_y, angle, floor_m, storey_m = facades.frames[row].T
    dx, dy = x_m - centre_x, y_m - centre_y
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = -dx * np.sin(angle) + dy * np.cos(angle)
    # Along either face one of the two coordinates runs and the other stands still, so that
    # their sum steps through the windows of both.
    bay = (along + across) % 3.0
    rise = (height_m - floor_m) % storey_m
    window = (np.abs(bay - 1.5) < 0.65) & (rise > 0.3 * storey_m) & (rise < 0.75 * storey_m)
    colour = facades.colours[row].astype(np.float32)
    colour[window] = _WINDOW_RGB
    return colour


def _paint_air(colour: Raster, view: GroundView, hits: Hits, light: Light) -> None:
    """Haze over the distance and sky above the horizon."""
    drop = hits.camera_height_m - hits.height_m
    distance = np.sqrt(hits.east_m**2 + hits.north_m**2 + drop**2)
    clear = np.exp(-distance / np.float32(light.visibility_m))[..., None]
    colour *= clear
    colour += (1 - clear) * np.array(_HAZE_RGB, np.float32)
    if hits.descends.all():
        return
    rows, columns = np.nonzero(~hits.descends)
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
    rays = view.pixel_rays @ pixels
    up = np.clip(rays[2] / np.linalg.norm(rays, axis=0) / 0.35, 0, 1)[:, None]
    colour[rows, columns] = (1 - up) * np.array(_HAZE_RGB) + up * np.array(_SKY_RGB)
