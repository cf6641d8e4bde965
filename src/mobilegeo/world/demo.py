"""A complete example out of nothing: a map, a surface model, drone photos and the truth."""

from __future__ import annotations

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from pathlib import Path

import numpy as np
from pyproj import Proj

from mobilegeo.camera import GroundView
from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon
from mobilegeo.world.appearance import Appearance, render_ortho, scene_of
from mobilegeo.world.generate import World, generate_world
from mobilegeo.world.geotiff import write_geotiff
from mobilegeo.world.materials import Season
from mobilegeo.world.photo_file import Record, write_photo
from mobilegeo.world.raycast import cast_rays
from mobilegeo.world.render import Light, render_view
from mobilegeo.world.scene import Image, Raster, Scene
from mobilegeo.world.sensor import expose

CRS = "EPSG:32631"
"""UTM zone 31 north. The world lies in the open North Sea, where no real map will contradict it,
and 180 km east of the zone's meridian, where its scale is 1 to within 2e-5."""

WEST_M, NORTH_M = 680_000.0, 6_098_000.0
SEA_LEVEL_M = 12.0
"""Height of the river above the sea, for the altitude in EXIF."""

PHOTO_PX = (1024, 768)
_SUPERSAMPLE = 1.3
_HEADING_SIGMA_DEG = 2.0
_TILT_SIGMA_DEG = 0.5
_HEIGHT_SIGMA = 0.03
_GPS_SIGMA_M = 2.5
_LEAST_INSIDE = 0.93
_FINEST_GSD_M = 0.11
_SURFACE_GSD_M = 0.5
_MOST_DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What was written.

    Attributes:
        map_tif: the satellite map.
        surface_tif: the surface model, metres.
        photos: the drone photos.
        truth_csv: `photo, lat, lon, heading_deg, agl_m, camera_lat, camera_lon`; lat and lon are
            those of what the image centre shows, where the central ray meets the surface (roofs
            and crowns included); `agl_m` is the height above the ground under the camera.
    """

    map_tif: Path
    surface_tif: Path
    photos: tuple[Path, ...]
    truth_csv: Path


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo that will be taken: the view, its heading from grid north, and where from.

    Attributes:
        view: the camera over the ground of the projection.
        x_m, y_m: easting and northing of the camera.
    """

    view: GroundView
    x_m: float
    y_m: float


def write_demo(
    out_dir: str | Path,
    seed: int = 1,
    photos: int = 24,
    size_m: tuple[float, float] = (800.0, 800.0),
    photo_px: tuple[int, int] = PHOTO_PX,
) -> DemoFiles:
    """Writes `map.tif`, `surface.tif`, `truth.csv` and `photos/SIM_0001.jpg` ….

    Map and photos show the same place in different seasons, light and traffic. What the photos
    say of themselves is wrong as a drone's telemetry is: heading by 2°, pitch and roll by 0.5°,
    height by 3 %, position by 2.5 m along each axis (one standard deviation).

    Args:
        out_dir: folder, made if need be.
        seed: decides everything.
        photos: how many.
        size_m: width and height of the map.
        photo_px: width and height of the photos.

    Raises:
        UsageError: a number that cannot be meant.
    """
    if photos < 1:
        raise UsageError(f"photos {photos}", "not a positive number", "ask for one at least")
    out = Path(out_dir)
    (out / "photos").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 1])
    world = generate_world(seed, size_m)
    above, below = _appearances(rng)
    scene = scene_of(world, below, WEST_M, NORTH_M)
    shots = [_draw_shot(rng, scene, photo_px) for _ in range(photos)]
    files = DemoFiles(
        out / "map.tif",
        out / "surface.tif",
        tuple(out / "photos" / f"SIM_{index + 1:04d}.jpg" for index in range(photos)),
        out / "truth.csv",
    )
    write_geotiff(files.map_tif, render_ortho(world, above), CRS, (WEST_M, NORTH_M), world.gsd_m)
    _write_surface(files.surface_tif, world)
    light = below.light
    # Derived views of the scene are made once, before the threads would each make their own.
    _ = scene.pyramid, scene.crest_m
    seeds = rng.integers(0, 2**31, photos)
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(_shoot, files.photos, shots, seeds, range(photos), repeat((scene, light))))
    _write_truth(files, scene, shots)
    return files


def centre_on_surface(scene: Scene, shot: Shot) -> tuple[float, float]:
    """Easting and northing of what the image centre shows."""
    hits = cast_rays(scene, shot.view.resized(1, 1), shot.x_m, shot.y_m)
    return shot.x_m + float(hits.east_m[0, 0]), shot.y_m + float(hits.north_m[0, 0])


def to_latlon(x_m: float, y_m: float) -> LatLon:
    """Degrees of a point of the demo's projection."""
    lon, lat = Proj(CRS)(x_m, y_m, inverse=True)
    return LatLon(float(lat), float(lon))


def true_heading(shot: Shot) -> float:
    """The camera's heading from true north, 0 … 360."""
    here = to_latlon(shot.x_m, shot.y_m)
    convergence = Proj(CRS).get_factors(here.lon, here.lat).meridian_convergence
    return float((shot.view.heading_deg + convergence) % 360)


def _appearances(rng: np.random.Generator) -> tuple[Appearance, Appearance]:
    """The satellite's day and the drone's: another season, another sun, other cars."""
    seasons: list[Season] = ["summer", "spring", "autumn", "winter"]
    first, second = rng.choice(len(seasons), 2, replace=False, p=[0.4, 0.25, 0.25, 0.1])
    satellite = Appearance(
        season=seasons[first],
        sun_azimuth_deg=rng.uniform(145, 170),
        sun_elevation_deg=rng.uniform(42, 55),
        haze=rng.uniform(0.04, 0.12),
        gains=(0.97, 1.0, 1.03),
        saturation=0.72,
        blur_px=1.0,
        noise=1.5,
        cars=0.45,
        seed=int(rng.integers(2**31)),
    )
    drone = Appearance(
        season=seasons[second],
        sun_azimuth_deg=rng.uniform(200, 255),
        sun_elevation_deg=rng.uniform(35, 58),
        gains=(1.03, 1.0, 0.96),
        saturation=0.80,
        blur_px=0.5,
        contrast=rng.uniform(0.92, 1.05),
        cars=0.55,
        seed=int(rng.integers(2**31)),
    )
    return satellite, drone


def _draw_shot(rng: np.random.Generator, scene: Scene, photo_px: tuple[int, int]) -> Shot:
    """A random view that shows little beyond the map, and nothing finer than the world has."""
    for _ in range(_MOST_DRAWS):
        pitch = -90.0 + (rng.uniform(0, 8) if rng.random() < 0.45 else rng.uniform(8, 40))
        view = GroundView(
            *photo_px,
            hfov_deg=rng.uniform(60, 84),
            heading_deg=rng.uniform(0, 360),
            pitch_deg=pitch,
            roll_deg=float(np.clip(rng.normal(0, 1.2), -4, 4)),
            agl_m=rng.uniform(60, 250),
        )
        if (view.centre_gsd_m or 0.0) < _FINEST_GSD_M:
            continue
        x = scene.west_m + rng.uniform(0, scene.width_m)
        y = scene.north_m - rng.uniform(0, scene.height_m)
        shot = Shot(view, x, y)
        if _share_inside(scene, shot) >= _LEAST_INSIDE:
            return shot
    raise UsageError(
        f"photos of {photo_px[0]} × {photo_px[1]} px",
        f"show more than the map of {scene.width_m:g} × {scene.height_m:g} m",
        "ask for a larger map or smaller photos",
    )


def _share_inside(scene: Scene, shot: Shot) -> float:
    """Share of the image that shows the map; 0 where the image centre does not."""
    u, v = np.meshgrid(
        np.linspace(0, shot.view.width_px, 13), np.linspace(0, shot.view.height_px, 11)
    )
    east, north = shot.view.ground_points(u.ravel(), v.ravel())
    column = shot.x_m + east - scene.west_m
    row = scene.north_m - shot.y_m - north
    inside = (column > 0) & (column < scene.width_m) & (row > 0) & (row < scene.height_m)
    return float(inside.mean()) if inside[len(inside) // 2] else 0.0


def _shoot(path: Path, shot: Shot, seed: int, index: int, scene: tuple[Scene, Light]) -> None:
    import cv2

    rng = np.random.default_rng([int(seed), index])
    width, height = shot.view.width_px, shot.view.height_px
    large = shot.view.resized(round(width * _SUPERSAMPLE), round(height * _SUPERSAMPLE))
    image: Image = render_view(scene[0], large, shot.x_m, shot.y_m, scene[1])
    image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    write_photo(path, expose(image, rng), _telemetry(rng, scene[0], shot, index))


def _telemetry(rng: np.random.Generator, scene: Scene, shot: Shot, index: int) -> Record:
    error = np.clip(rng.normal(0, _GPS_SIGMA_M, 2), -3 * _GPS_SIGMA_M, 3 * _GPS_SIGMA_M)
    ground_m = scene.ground_at(shot.x_m, shot.y_m)
    return Record(
        position=to_latlon(shot.x_m + error[0], shot.y_m + error[1]),
        altitude_m=SEA_LEVEL_M + ground_m + shot.view.agl_m + rng.normal(0, 2 * _GPS_SIGMA_M),
        heading_deg=true_heading(shot) + rng.normal(0, _HEADING_SIGMA_DEG),
        pitch_deg=shot.view.pitch_deg + rng.normal(0, _TILT_SIGMA_DEG),
        roll_deg=shot.view.roll_deg + rng.normal(0, _TILT_SIGMA_DEG),
        agl_m=shot.view.agl_m * (1 + rng.normal(0, _HEIGHT_SIGMA)),
        hfov_deg=shot.view.hfov_deg,
        time=datetime(2026, 5, 4, 14, 0) + timedelta(seconds=20 * index),
    )


def _write_surface(path: Path, world: World) -> None:
    import cv2

    size = tuple(round(side / _SURFACE_GSD_M) for side in world.size_m)
    surface: Raster = np.asarray(
        cv2.resize(world.surface_m, size, interpolation=cv2.INTER_AREA), dtype=np.float32
    )
    write_geotiff(path, surface, CRS, (WEST_M, NORTH_M), _SURFACE_GSD_M)


def _write_truth(files: DemoFiles, scene: Scene, shots: list[Shot]) -> None:
    partial = files.truth_csv.with_name(f".{files.truth_csv.name}.partial")
    with partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["photo", "lat", "lon", "heading_deg", "agl_m", "camera_lat", "camera_lon"])
        for path, shot in zip(files.photos, shots, strict=True):
            seen, camera = to_latlon(*centre_on_surface(scene, shot)), to_latlon(shot.x_m, shot.y_m)
            degrees = [f"{value:.8f}" for value in (seen.lat, seen.lon)]
            own = [f"{value:.8f}" for value in (camera.lat, camera.lon)]
            pose = [f"{true_heading(shot):.3f}", f"{shot.view.agl_m:.3f}"]
            writer.writerow([path.name, *degrees, *pose, *own])
    partial.replace(files.truth_csv)
