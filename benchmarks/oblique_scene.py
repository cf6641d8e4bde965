"""Real imagery with real relief: simulated drone views of an orthophoto with a surface model.

`scenes/autzen` (0.3 m orthophoto and lidar surface model of 1.0 × 1.3 km) becomes a map with a
satellite's look (blurred, hazy, bluish, noisy). Drone views are rendered from the clean pair with
true relief, then given another look (gamma, contrast, colour, greens turned towards yellow, noise),
and their telemetry is falsified: heading by up to 5°, height by up to 10 %, pitch by 0.5° (one
sigma). Prints errors in metres by pitch: aligned on a plane, aligned over the surface model, and by
retrieval alone. `camera` is the error of the camera's own position, which does not depend on what
is taken for the height of the ground.

    python benchmarks/oblique_scene.py ../shared/data/scenes/autzen --out runs/autzen
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.transform import from_origin

from mobilegeo.camera import GroundView
from mobilegeo.encoder import load_encoder
from mobilegeo.encoder.registry import DEFAULT
from mobilegeo.evaluation import evaluate, read_truth_csv
from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, LocalFrame, distance_m
from mobilegeo.locate.batch import locate_photos
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.heights import HeightSource
from mobilegeo.maps.pack import MapPack
from mobilegeo.metadata.telemetry import Telemetry, read_telemetry_csv
from mobilegeo.world.render import render_view
from mobilegeo.world.scene import Scene

FOOT_M = 0.3048
PITCHES_DEG = (-90, -75, -60, -50)
EDGE_M = 120.0


class Site:
    """The scene in metres from its upper-left corner, and where that is on earth."""

    def __init__(self, folder: Path) -> None:
        meta = json.loads((folder / "meta.json").read_text())
        self.ortho = cv2.imread(str(folder / "autzen.jpg"))[..., ::-1]
        surface = cv2.imread(str(folder / meta["dsm"]), cv2.IMREAD_UNCHANGED)
        self.scene = Scene(self.ortho, surface.astype(np.float32) / 100 + 120, FOOT_M)
        self.origin_ft = meta["origin_ft"]
        self.to_degrees = Transformer.from_crs("EPSG:2994", "EPSG:4326", always_xy=True)

    def point(self, x_m: float, y_m: float) -> LatLon:
        """A point of the scene, y northwards from its upper edge, in degrees."""
        west, north = self.origin_ft
        lon, lat = self.to_degrees.transform(west + x_m / FOOT_M, north + y_m / FOOT_M)
        return LatLon(lat, lon)

    def grid_heading_deg(self, x_m: float, y_m: float) -> float:
        """Direction of the scene's north, clockwise from true north."""
        frame = LocalFrame(self.point(x_m, y_m))
        east, north = frame.xy(self.point(x_m, y_m + 50.0))
        return float(np.degrees(np.arctan2(east, north)))

    def write_map(self, path: Path, rng: np.random.Generator) -> None:
        """The orthophoto as a satellite might show it."""
        image = cv2.GaussianBlur(self.ortho, (0, 0), 1.2).astype(np.float32)
        image = (0.8 * image + 0.2 * 200) * np.array([0.95, 1.0, 1.08])
        image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        height, width = image.shape[:2]
        profile = {
            "driver": "GTiff", "width": width, "height": height, "count": 3, "dtype": "uint8",
            "crs": "EPSG:2994", "transform": from_origin(*self.origin_ft, 1.0, 1.0),
            "tiled": True, "compress": "deflate",
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.moveaxis(image, 2, 0))

    def write_surface(self, path: Path) -> None:
        """The surface model, in metres."""
        height, width = self.scene.surface_m.shape
        side_ft = self.scene.width_m / width / FOOT_M
        profile = {
            "driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": "float32",
            "crs": "EPSG:2994", "transform": from_origin(*self.origin_ft, side_ft, side_ft),
            "compress": "deflate",
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as file:
            file.write(self.scene.surface_m, 1)

    def shots(
        self, count: int, rng: np.random.Generator
    ) -> Iterator[tuple[GroundView, float, float]]:
        """Views at all pitches, with camera positions, that look at the inside of the map."""
        for pitch in PITCHES_DEG:
            for _ in range(count):
                view = GroundView(
                    800, 600, rng.uniform(65, 84), rng.uniform(0, 360),
                    pitch + (0 if pitch == -90 else rng.uniform(-2.5, 2.5)),
                    rng.normal(0, 1), rng.uniform(70, 160),
                )  # fmt: skip
                east, north = view.centre_ground
                x = rng.uniform(EDGE_M, self.scene.width_m - EDGE_M)
                y = -rng.uniform(EDGE_M, self.scene.height_m - EDGE_M)
                yield view, x - east, y - north


def drone_look(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another camera, another season."""
    look = 255 * (image.astype(np.float32) / 255) ** rng.uniform(0.7, 1.5)
    look = ((look - 128) * rng.uniform(0.8, 1.2) + 128) * rng.uniform(0.85, 1.15, 3)
    hsv = cv2.cvtColor(np.clip(look, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
    green = (hsv[..., 0] > 30) & (hsv[..., 0] < 90)
    hsv[..., 0][green] -= 15
    look = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) + rng.normal(0, 6, image.shape)
    return np.clip(look, 0, 255).astype(np.uint8)


def write_photos(
    site: Site, out: Path, count: int, rng: np.random.Generator
) -> tuple[list[Path], list[LatLon]]:
    """Photos, telemetry.csv and truth.csv; gives the files and the cameras' positions."""
    files, cameras, telemetry, truth = [], [], [], []
    for number, (view, x_m, y_m) in enumerate(site.shots(count, rng)):
        name = f"{-PITCHES_DEG[number // count]}_{number % count:03}.jpg"
        image = drone_look(render_view(site.scene, view, x_m, y_m), rng)
        cv2.imwrite(str(out / name), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        heading = view.heading_deg + site.grid_heading_deg(x_m, y_m)
        telemetry.append([
            name, (heading + rng.uniform(-5, 5)) % 360, view.pitch_deg + rng.normal(0, 0.5),
            view.roll_deg, view.agl_m * rng.uniform(0.9, 1.1), view.hfov_deg,
        ])  # fmt: skip
        east, north = view.centre_ground
        seen = site.point(x_m + east, y_m + north)
        truth.append([name, seen.lat, seen.lon, heading % 360])
        files.append(out / name)
        cameras.append(site.point(x_m, y_m))
    write_rows(
        out / "telemetry.csv", "photo,heading_deg,pitch_deg,roll_deg,agl_m,hfov_deg", telemetry
    )
    write_rows(out / "truth.csv", "photo,lat,lon,heading_deg", truth)
    return files, cameras


def write_rows(path: Path, header: str, rows: list[list[object]]) -> None:
    """A CSV; the header's names are separated by commas."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)


def prepare(scene: Path, out: Path, count: int, seed: int) -> tuple[list[Path], list[LatLon]]:
    """Writes map.tif, surface.tif, photos, telemetry.csv and truth.csv.

    Args:
        scene: folder of the orthophoto with its surface model.
        out: folder, made if need be.
        count: photos at each pitch.
        seed: of everything random.

    Returns:
        The photos and the positions of their cameras.
    """
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    site = Site(scene)
    site.write_map(out / "map.tif", rng)
    site.write_surface(out / "surface.tif")
    return write_photos(site, out, count, rng)


def main() -> None:
    """Writes map and photos, locates them, prints a table by pitch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=25, help="at each pitch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--footprints-m", type=float, nargs="*", default=[80.0, 160.0])
    options = parser.parse_args()
    out: Path = options.out
    files, cameras = prepare(options.scene, out, options.photos, options.seed)

    encoder = load_encoder(options.encoder)
    heights = HeightSource(out / "surface.tif")
    pack = build_pack(open_map([out / "map.tif"]), out / "map.pack", encoder, heights=heights,
                      footprints_m=options.footprints_m, stride=0.25, overwrite=True)  # fmt: skip
    plane = MapPack.open(pack.path)
    plane.surface = None
    table = read_telemetry_csv(out / "telemetry.csv")
    truth = read_truth_csv(out / "truth.csv")
    print(
        "| pitch | method | photos | fixes | median | 90 % within | within 25 m | within 50 m "
        "| camera median | camera 90 % within | align |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for method, map_pack in (("plane", plane), ("surface", pack), ("retrieval", pack)):
        only_tiles = method == "retrieval"
        localizer = Localizer(
            map_pack, encoder, Options(ignore_gps=True, retrieval_only=only_tiles)
        )
        fixes = [t.fix for t in locate_photos(localizer, files, table, Telemetry())]
        for number, pitch in enumerate(PITCHES_DEG):
            chosen = slice(number * options.photos, (number + 1) * options.photos)
            found = evaluate(fixes[chosen], truth[chosen]).to_record()
            print(
                f"| {pitch}° | {method} | {found['photos']} | "
                f"{found['fixes']} | {found['median_error_m']:.1f} m | {found['p90_error_m']:.1f} m"
                f" | {100 * found['within_25m']:.0f} % | {100 * found['within_50m']:.0f} % "
                f"| {_of_cameras(fixes[chosen], cameras[chosen])} |"
            )


def _of_cameras(fixes: list[Fix], cameras: list[LatLon]) -> str:
    """Errors of the camera's position over the fixes, and the time that alignment took."""
    errors = [
        distance_m(LatLon(fix.camera_lat, fix.camera_lon), camera)
        for fix, camera in zip(fixes, cameras, strict=True)
        if fix.camera_lat is not None
    ]
    align_ms = np.median([fix.timing_ms.get("align", 0.0) for fix in fixes])
    if not errors:
        return f"– | – | {align_ms:.0f} ms"
    median, most = np.percentile(errors, [50, 90])
    return f"{median:.1f} m | {most:.1f} m | {align_ms:.0f} ms"


if __name__ == "__main__":
    main()
