"""A simulated flight as files: a map, photos with EXIF, and the truth."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from mobilegeo.camera import GroundView
from mobilegeo.geo import LatLon, wrap_deg
from mobilegeo.world.appearance import Appearance, render_ortho, scene_of
from mobilegeo.world.demo import CRS, NORTH_M, SEA_LEVEL_M, WEST_M, Shot, to_latlon, true_heading
from mobilegeo.world.flight import FlightPlan, Moment, fly
from mobilegeo.world.generate import generate_world
from mobilegeo.world.geotiff import write_geotiff
from mobilegeo.world.photo_file import Record, write_photo
from mobilegeo.world.render import render_view
from mobilegeo.world.scene import Image, Scene
from mobilegeo.world.sensor import expose

HFOV_DEG = 70.0
PHOTO_PX = (400, 300)
START = datetime(2026, 5, 4, 14, 0, tzinfo=UTC)

_GSD_M = 0.4
_FOREIGN_SIDE_M = 500.0
_GPS_SIGMA_M = 2.5
_HEADING_SIGMA_DEG = 1.0
_TILT_SIGMA_DEG = 0.3

_SATELLITE = Appearance(
    season="summer",
    sun_azimuth_deg=155.0,
    sun_elevation_deg=50.0,
    haze=0.08,
    gains=(0.97, 1.0, 1.03),
    saturation=0.72,
    blur_px=0.8,
    noise=1.5,
    cars=0.45,
    seed=11,
)
_DRONE = Appearance(
    season="autumn",
    sun_azimuth_deg=225.0,
    sun_elevation_deg=40.0,
    gains=(1.03, 1.0, 0.96),
    saturation=0.80,
    blur_px=0.4,
    cars=0.55,
    seed=12,
)
"""The map is a summer satellite image, the flight an autumn afternoon with another camera."""


@dataclass(frozen=True)
class FlightFiles:
    """What was written.

    Attributes:
        map_tif: the satellite map.
        photos: the photos, in order, with EXIF time, attitude and GPS.
        truth_csv: `photo, time_s, lat, lon, heading_deg, agl_m, fault`: the drone's own position.
        moments: the truth in metres.
    """

    map_tif: Path
    photos: tuple[Path, ...]
    truth_csv: Path
    moments: tuple[Moment, ...]


def write_flight(
    out_dir: str | Path,
    plan: FlightPlan,
    seed: int = 1,
    size_m: tuple[float, float] = (1400.0, 1000.0),
    photo_px: tuple[int, int] = PHOTO_PX,
) -> FlightFiles:
    """Writes `map.tif`, `photos/FLY_0001.jpg` … and `truth.csv`.

    Map and photos show the world in different seasons and light. What the photos say of
    themselves has the plan's biases, and heading, tilt and GPS noise on top.

    Args:
        out_dir: folder, made if need be.
        plan: the flight.
        seed: decides world, gusts and faults.
        size_m: width and height of the map.
        photo_px: width and height of the photos.
    """
    out = Path(out_dir)
    (out / "photos").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 2])
    moments = fly(plan, size_m, rng)
    world = generate_world(seed, size_m, _GSD_M)
    map_tif = out / "map.tif"
    corner = (WEST_M, NORTH_M)
    write_geotiff(map_tif, render_ortho(world, _SATELLITE), CRS, corner, _GSD_M)
    photographer = _Photographer(
        scene_of(world, _DRONE, *corner),
        scene_of(generate_world(seed + 1000, (_FOREIGN_SIDE_M,) * 2, _GSD_M), _DRONE),
        plan,
        photo_px,
    )
    photos = tuple(out / "photos" / f"FLY_{n + 1:04d}.jpg" for n in range(len(moments)))
    seeds = rng.integers(0, 2**31, len(photos))
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(photographer.shoot, photos, moments, seeds))
    _write_truth(out / "truth.csv", photos, moments, photographer)
    return FlightFiles(map_tif, photos, out / "truth.csv", moments)


class _Photographer:
    """Takes the photos of one flight.

    Args:
        scene: the world as the drone sees it.
        foreign: another world, for photos that were not taken here.
        plan: the flight.
        photo_px: width and height of the photos.
    """

    def __init__(
        self, scene: Scene, foreign: Scene, plan: FlightPlan, photo_px: tuple[int, int]
    ) -> None:
        self._scene, self._foreign = scene, foreign
        self._plan, self._photo_px = plan, photo_px
        # Derived views of the scenes are made once, before the threads would each make their own.
        _ = scene.pyramid, scene.crest_m, foreign.pyramid, foreign.crest_m

    def shot(self, moment: Moment) -> Shot:
        """The camera of a moment in the scene's frame."""
        south = self._scene.north_m - self._scene.height_m
        view = GroundView(
            *self._photo_px,
            hfov_deg=HFOV_DEG,
            heading_deg=moment.heading_deg,
            pitch_deg=moment.pitch_deg,
            roll_deg=moment.roll_deg,
            agl_m=moment.agl_m,
        )
        return Shot(view, self._scene.west_m + moment.x_m, south + moment.y_m)

    def shoot(self, path: Path, moment: Moment, seed: int) -> None:
        """Renders one photo and writes it with its telemetry."""
        rng = np.random.default_rng(int(seed))
        image = expose(self._picture(moment, rng), rng)
        write_photo(path, image, self._telemetry(moment, rng))

    def _picture(self, moment: Moment, rng: np.random.Generator) -> Image:
        shot = self.shot(moment)
        height, width = self._photo_px[1], self._photo_px[0]
        if moment.fault == "blank":
            return np.full((height, width, 3), 3, np.uint8)
        if moment.fault == "noise":
            return rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        scene, x_m, y_m = self._scene, shot.x_m, shot.y_m
        if moment.fault == "foreign":
            scene = self._foreign
            middle = rng.uniform(-100.0, 100.0, 2) + _FOREIGN_SIDE_M / 2
            x_m, y_m = scene.west_m + middle[0], scene.north_m - middle[1]
        picture = render_view(scene, shot.view, x_m, y_m, _DRONE.light)
        return np.ascontiguousarray(picture[:, ::-1]) if moment.fault == "mirrored" else picture

    def _telemetry(self, moment: Moment, rng: np.random.Generator) -> Record:
        shot, biases = self.shot(moment), self._plan.biases
        error = rng.normal(0.0, _GPS_SIGMA_M, 2)
        ground_m = self._scene.ground_at(shot.x_m, shot.y_m)
        heading = true_heading(shot) + biases.heading_deg + rng.normal(0.0, _HEADING_SIGMA_DEG)
        tilt = rng.normal(0.0, _TILT_SIGMA_DEG, 2)
        return Record(
            position=to_latlon(shot.x_m + error[0], shot.y_m + error[1]),
            altitude_m=SEA_LEVEL_M + ground_m + moment.agl_m,
            heading_deg=wrap_deg(heading),
            pitch_deg=moment.pitch_deg + biases.pitch_deg + tilt[0],
            roll_deg=moment.roll_deg + biases.roll_deg + tilt[1],
            agl_m=moment.agl_m * biases.height,
            hfov_deg=HFOV_DEG,
            time=START + timedelta(seconds=moment.time_s),
        )


def _write_truth(
    path: Path, photos: Sequence[Path], moments: Sequence[Moment], photographer: _Photographer
) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["photo", "time_s", "lat", "lon", "heading_deg", "agl_m", "fault"])
        for photo, moment in zip(photos, moments, strict=True):
            shot = photographer.shot(moment)
            where: LatLon = to_latlon(shot.x_m, shot.y_m)
            writer.writerow(
                [
                    photo.name,
                    f"{moment.time_s:.3f}",
                    f"{where.lat:.8f}",
                    f"{where.lon:.8f}",
                    f"{true_heading(shot):.3f}",
                    f"{moment.agl_m:.3f}",
                    moment.fault,
                ]
            )
    partial.replace(path)
