"""Real drone photos on a map mosaicked from other photos of the same flight.

`drone/sheffield_cross` crosses one park twice: once flying east and west, once north and south.
One direction's photos, projected to the ground by their GPS and attitude, become a georeferenced
map; the other direction's are located on it without their GPS. This is drone against drone-built
map: one camera, one day, one season. It shows that the chain works on real lenses, telemetry and
relief; it says nothing of satellite maps.

The height above ground is not recorded. It is estimated from the map's photos alone, as the height
at which matching points of neighbouring photos fall on the same ground given the GPS baseline.

    python benchmarks/real_drone.py ../shared/data/drone/sheffield_cross --out runs/sheffield
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin

from mobilegeo.camera import GroundView
from mobilegeo.encoder.registry import DEFAULT
from mobilegeo.geo import LatLon, LocalFrame, wrap_deg
from mobilegeo.photo import Photo, read_photo

MAP_GSD_M = 0.2
MARGIN_M = 70.0
HEIGHTS_M = np.arange(30.0, 150.0, 1.0)


@dataclass
class Shot:
    """A photo, where it was taken in the frame, and its name."""

    path: Path
    photo: Photo
    x_m: float
    y_m: float

    def view(self, agl_m: float) -> GroundView:
        """Its view from a height above ground, unless its own is known."""
        known = self.photo.telemetry
        agl_m = agl_m if known.agl_m is None else known.agl_m
        height, width = self.photo.image.shape[:2]
        return GroundView(
            width, height, known.hfov_deg, known.heading_deg, known.pitch_deg, known.roll_deg, agl_m
        )


def read_shots(folder: Path) -> tuple[LocalFrame, list[Shot]]:
    """All photos with a position, in one frame."""
    photos = [(path, read_photo(path)) for path in sorted((folder / "images").glob("*.JPG"))]
    lat = float(np.mean([photo.gps.lat for _, photo in photos]))
    lon = float(np.mean([photo.gps.lon for _, photo in photos]))
    frame = LocalFrame(LatLon(lat, lon))
    return frame, [Shot(path, photo, *frame.xy(photo.gps)) for path, photo in photos]


def flying_east_west(shot: Shot) -> bool:
    """Whether the photo belongs to the first of both flight directions."""
    heading = shot.photo.telemetry.heading_deg
    return min(abs(wrap_deg(heading - 90)), abs(wrap_deg(heading + 90))) < 45


def estimate_height(shots: list[Shot]) -> float:
    """Height above ground at which overlapping photos agree best with their GPS baselines."""
    sift = cv2.SIFT_create(1500)
    described = [sift.detectAndCompute(shot.photo.image, None) for shot in shots]
    pairs = []
    for (i, a), (j, b) in itertools.combinations(enumerate(shots), 2):
        if math.hypot(a.x_m - b.x_m, a.y_m - b.y_m) < 25.0:
            points = matched_points(described[i], described[j])
            if points is not None:
                pairs.append((a, b, *points))
    errors = [np.median([_disagreement(*pair, agl_m) for pair in pairs]) for agl_m in HEIGHTS_M]
    return float(HEIGHTS_M[int(np.argmin(errors))])


def matched_points(first: tuple, second: tuple) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels, float64 [N, 2] each, that a homography maps on each other; none when they are few.

    Args:
        first: key points and descriptors of one photo.
        second: of another.
    """
    pairs = cv2.BFMatcher().knnMatch(first[1], second[1], k=2)
    good = [m for m, n in pairs if m.distance < 0.75 * n.distance]
    if len(good) < 20:
        return None
    a = np.float64([first[0][m.queryIdx].pt for m in good])
    b = np.float64([second[0][m.trainIdx].pt for m in good])
    _, inliers = cv2.findHomography(a, b, cv2.USAC_MAGSAC, 2.0)
    keep = inliers.ravel() > 0
    return (a[keep], b[keep]) if keep.sum() >= 15 else None


def _disagreement(a: Shot, b: Shot, in_a: np.ndarray, in_b: np.ndarray, agl_m: float) -> float:
    east_a, north_a = a.view(agl_m).ground_points(*in_a.T)
    east_b, north_b = b.view(agl_m).ground_points(*in_b.T)
    east = a.x_m + east_a.mean() - b.x_m - east_b.mean()
    north = a.y_m + north_a.mean() - b.y_m - north_b.mean()
    return math.hypot(east, north)


def write_mosaic(shots: list[Shot], agl_m: float, frame: LocalFrame, path: Path) -> None:
    """Projects photos to the ground; each place is shown by the photo taken nearest to it."""
    xs, ys = [s.x_m for s in shots], [s.y_m for s in shots]
    west, north = min(xs) - MARGIN_M, max(ys) + MARGIN_M
    width = round((max(xs) + MARGIN_M - west) / MAP_GSD_M)
    height = round((north - min(ys) + MARGIN_M) / MAP_GSD_M)
    east_m = west + (np.arange(width) + 0.5) * MAP_GSD_M
    north_m = north - (np.arange(height) + 0.5) * MAP_GSD_M
    mosaic = np.zeros((height, width, 3), np.uint8)
    nearest = np.full((height, width), np.inf)
    for shot in shots:
        to_image = shot.view(agl_m).ground_to_image @ np.array(
            [
                [MAP_GSD_M, 0, east_m[0] - shot.x_m],
                [0, -MAP_GSD_M, north_m[0] - shot.y_m],
                [0, 0, 1],
            ]
        )
        centre = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        size, flags = (width, height), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(shot.photo.image, centre @ to_image, size, flags=flags)
        inside = np.full(shot.photo.image.shape[:2], 255, np.uint8)
        inside = cv2.warpPerspective(inside, centre @ to_image, size, flags=flags) == 255
        away = np.hypot(east_m[None] - shot.x_m, north_m[:, None] - shot.y_m)
        closer = inside & (away < nearest)
        mosaic[closer], nearest[closer] = warped[closer], away[closer]
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": 4, "dtype": "uint8",
        "crs": frame.crs, "transform": from_origin(west, north, MAP_GSD_M, MAP_GSD_M),
        "compress": "deflate", "tiled": True,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.moveaxis(mosaic, 2, 0), [1, 2, 3])
        file.write(np.where(np.isfinite(nearest), 255, 0).astype(np.uint8), 4)


def write_tables(
    shots: list[Shot], agl_m: float, frame: LocalFrame, out: Path, unknown: Collection[str]
) -> None:
    """The estimated height as telemetry.csv, the ground at the image centre as truth.csv."""
    with (out / "telemetry.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "agl_m"])
        writer.writerows([s.path.name, "" if "agl" in unknown else agl_m] for s in shots)
    with (out / "truth.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "lat", "lon", "heading_deg"])
        for shot in shots:
            east, north = shot.view(agl_m).centre_ground
            point = frame.point(shot.x_m + east, shot.y_m + north)
            writer.writerow(
                [shot.path.name, point.lat, point.lon, shot.photo.telemetry.heading_deg]
            )


def prepare(data: Path, out: Path, swap: bool = False, unknown: Collection[str] = ()) -> list[Shot]:
    """Writes map.tif of one flight direction, telemetry.csv and truth.csv of the other's photos.

    Args:
        data: folder with `images/`.
        out: folder that exists.
        swap: make the map of the photos flown north and south.
        unknown: what telemetry.csv leaves out.

    Returns:
        The photos to be located.
    """
    frame, shots = read_shots(data)
    on_map = [s for s in shots if flying_east_west(s) != swap]
    queries = [s for s in shots if flying_east_west(s) == swap]
    agl_m = estimate_height(on_map)
    print(f"{len(on_map)} photos make the map, {len(queries)} are located; height {agl_m:.0f} m")
    write_mosaic(on_map, agl_m, frame, out / "map.tif")
    write_tables(queries, agl_m, frame, out, unknown)
    return queries


def mobilegeo(*arguments: str) -> str:
    """Runs the command line as a user would."""
    command = [sys.executable, "-m", "mobilegeo", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Builds the map, locates the photos, prints the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--swap", action="store_true", help="map from the north-south photos")
    parser.add_argument("--unknown", nargs="*", choices=["agl"], default=[])
    parser.add_argument("--build", nargs="*", default=[], help="further options of map build")
    parser.add_argument("--locate", nargs="*", default=[], help="further options of locate")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)

    queries = prepare(options.data, out, options.swap, set(options.unknown))
    pack = out / "map.pack"
    build = [f"--{o}" for o in options.build]
    mobilegeo("map", "build", out / "map.tif", "-o", pack, "--overwrite", "--encoder",
              options.encoder, *build)  # fmt: skip
    lines = mobilegeo(
        "locate", *(s.path for s in queries), "--map", pack, "--telemetry", out / "telemetry.csv",
        "--ignore-gps", "--json", "--report", out, "--encoder", options.encoder,
        *(f"--{o}" for o in options.locate),
    )  # fmt: skip
    (out / "fixes.jsonl").write_text(lines)
    evaluation = ("evaluate", "--fixes", out / "fixes.jsonl", "--truth", out / "truth.csv")
    print(mobilegeo(*evaluation))
    times = [json.loads(line)["timing_ms"]["total"] for line in lines.splitlines()]
    print(f"median time {np.median(times):.0f} ms a photo")


if __name__ == "__main__":
    main()
