"""Places seen from a spiral of views, for `multiview.py`: real scene and generated worlds.

The spiral is University-1652's: 54 views in three rounds, down from 256 m at −60° to 121.5 m at
−45°, all looking at one place. Views are rendered once, without any fault, and kept as files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.encoder.base import Encoder
from mobilegeo.geo import LatLon, LocalFrame
from mobilegeo.learn.datasets.sources import Source, SourceSpec, read_sources
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.world import Appearance, Scene, generate_world, render_ortho, render_view, scene_of
from mobilegeo.world.demo import CRS, NORTH_M, WEST_M, to_latlon
from mobilegeo.world.geotiff import write_geotiff
from oblique_scene import FOOT_M, Site

VIEWS = 54
PHOTO_PX = (400, 300)
HFOV_DEG = 45.0
FOOTPRINTS_M = (80.0, 160.0)
EDGE_M = 130.0

DISTRACTORS = (
    SourceSpec("xyz", "tiles/banepa", zoom=19),
    SourceSpec("xyz", "tiles/kampala", zoom=19),
    SourceSpec("images", "tiles/dubai", gsd_m=0.5),
)
SQUARE_PX, COLUMNS, ROWS = 400, 13, 13
"""Other towns: squares of 122 m, 13 × 13 of them, 2.5 km²."""


@dataclass(frozen=True)
class Place:
    """A place and its spiral.

    Attributes:
        point: where it is.
        views: the true views, heading from true north.
        images: uint8 [N, H, W, 3] RGB, without faults.
    """

    point: LatLon
    views: list[GroundView]
    images: NDArray[np.uint8]


@dataclass(frozen=True)
class Area:
    """A map and the places on it."""

    name: str
    pack: MapPack
    places: list[Place]


def spiral(start_deg: float) -> list[GroundView]:
    """The 54 views, headings from the scene's north."""
    return [
        GroundView(
            *PHOTO_PX,
            HFOV_DEG,
            (start_deg + 3 * 360.0 * t) % 360.0,
            -60.0 + 15.0 * t,
            0.0,
            256.0 + (121.5 - 256.0) * t,
        )
        for t in np.linspace(0.0, 1.0, VIEWS)
    ]


def autzen(data: Path, out: Path, encoder: Encoder, count: int) -> Area:
    """The held-out southern half of `scenes/autzen`, on a map with as much of other towns."""
    rng = np.random.default_rng(12)
    site = Site(data / "scenes" / "autzen")
    if not (out / "map.pack").is_dir():
        out.mkdir(parents=True, exist_ok=True)
        site.write_map(out / "map.tif", np.random.default_rng(11))
        _write_distractors(data, out / "other.tif", site)
        rasters = open_map([out / "map.tif", out / "other.tif"])
        build_pack(rasters, out / "map.pack", encoder, footprints_m=FOOTPRINTS_M, overwrite=True)
    half = site.scene.height_m / 2

    def draw() -> tuple[float, float]:
        x = rng.uniform(EDGE_M, site.scene.width_m - EDGE_M)
        return x, -rng.uniform(half + EDGE_M, site.scene.height_m - EDGE_M)

    def north_deg(x_m: float, y_m: float) -> float:
        return site.grid_heading_deg(x_m, y_m)

    spots = [draw() for _ in range(count)]
    places = _places(site.scene, spots, site.point, north_deg, out / "views", rng)
    return Area("autzen", MapPack.open(out / "map.pack"), places)


def world(out: Path, encoder: Encoder, seed: int, count: int) -> Area:
    """A generated world, mapped in spring and photographed in autumn."""
    rng = np.random.default_rng([seed, 11])
    made = generate_world(seed, (700.0, 700.0))
    if not (out / "map.pack").is_dir():
        out.mkdir(parents=True, exist_ok=True)
        above = Appearance("spring", 155.0, 48.0, 0.1, (0.96, 1.0, 1.05), 0.7, 1.0, 1.2, 2.0)
        write_geotiff(
            out / "map.tif", render_ortho(made, above), CRS, (WEST_M, NORTH_M), made.gsd_m
        )
        build_pack(open_map([out / "map.tif"]), out / "map.pack", encoder,
                   footprints_m=FOOTPRINTS_M, overwrite=True)  # fmt: skip
    below = Appearance("autumn", 230.0, 40.0, saturation=0.8, cars=0.6, seed=seed)
    scene = scene_of(made, below, WEST_M, NORTH_M)
    spots = [(WEST_M + x, NORTH_M - y) for x, y in rng.uniform(EDGE_M, 700.0 - EDGE_M, (count, 2))]

    def north_deg(x_m: float, y_m: float) -> float:
        frame = LocalFrame(to_latlon(x_m, y_m))
        return float(np.degrees(np.arctan2(*frame.xy(to_latlon(x_m, y_m + 50.0)))))

    places = _places(scene, spots, to_latlon, north_deg, out / "views", rng)
    return Area(f"world {seed}", MapPack.open(out / "map.pack"), places)


def _places(
    scene: Scene,
    spots: Sequence[tuple[float, float]],
    point: Callable[[float, float], LatLon],
    north_deg: Callable[[float, float], float],
    folder: Path,
    rng: np.random.Generator,
) -> list[Place]:
    """Renders every spot's spiral, or reads it where that was done before."""
    folder.mkdir(parents=True, exist_ok=True)
    _ = scene.pyramid, scene.crest_m, scene.terrain_m  # made once, before the threads need them
    starts = rng.uniform(0, 360, len(spots))

    def place(number: int) -> Place:
        x, y = spots[number]
        views = spiral(starts[number])
        file = folder / f"{x:.2f}_{y:.2f}_{starts[number]:.2f}.jpg"
        if not file.exists():
            strip = np.concatenate([_seen(scene, view, x, y) for view in views])
            cv2.imwrite(str(file), strip[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        strip = cv2.imread(str(file))[..., ::-1]
        images = strip.reshape(VIEWS, PHOTO_PX[1], PHOTO_PX[0], 3)
        turn = north_deg(x, y)
        true = [
            GroundView(*PHOTO_PX, HFOV_DEG, v.heading_deg + turn, v.pitch_deg, 0.0, v.agl_m)
            for v in views
        ]
        return Place(point(x, y), true, images)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(place, range(len(spots))))


def _seen(scene: Scene, view: GroundView, x_m: float, y_m: float) -> NDArray[np.uint8]:
    """What the camera sees that looks at (x, y)."""
    east, north = view.centre_ground or (0.0, 0.0)
    return render_view(scene, view, x_m - east, y_m - north)


def _write_distractors(data: Path, path: Path, site: Site) -> None:
    """Squares of other towns side by side, 60 m east of the scene, at the scene's resolution."""
    squares = [list(_squares(read_sources(spec, data))) for spec in DISTRACTORS]
    mixed = [square for group in zip_longest(*squares) for square in group if square is not None]
    rows = min(ROWS, len(mixed) // COLUMNS)
    cells = np.array(mixed[: rows * COLUMNS]).reshape(rows, COLUMNS, SQUARE_PX, SQUARE_PX, 3)
    mosaic = cells.transpose(0, 2, 1, 3, 4).reshape(rows * SQUARE_PX, COLUMNS * SQUARE_PX, 3)
    west_ft = site.origin_ft[0] + (site.scene.width_m + 60.0) / FOOT_M
    write_geotiff(path, mosaic, "EPSG:2994", (west_ft, site.origin_ft[1]), 1.0)


def _squares(sources: Sequence[Source]) -> Iterator[NDArray[np.uint8]]:
    """All whole squares of imagery, at one foot a pixel."""
    for source in sources:
        scale = source.gsd_m / FOOT_M
        width, height = (round(side * scale) for side in source.image.shape[1::-1])
        image = cv2.resize(source.image, (width, height), interpolation=cv2.INTER_AREA)
        for top in range(0, height - SQUARE_PX + 1, SQUARE_PX):
            for left in range(0, width - SQUARE_PX + 1, SQUARE_PX):
                yield image[top : top + SQUARE_PX, left : left + SQUARE_PX]
