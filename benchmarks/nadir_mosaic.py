"""Photos straight down without attitude: a map of every other one, the rest to be found on it.

`drone/caliterra` records neither heading nor attitude nor height above ground. All frames are taken
as looking straight down; headings, scales and positions follow from the photos themselves: SIFT
matches of overlapping frames give similarities between their images, which are averaged (headings
as the leading eigenvector of the matrix of relative turns, Singer 2011; scales and positions by
least squares) and laid onto the GPS positions by one similarity. The map is the mosaic of every
other frame; the truth of the rest is what the adjustment says, so it is good relative to the map,
and it owes its precision to SIFT, which a comparison with SIFT matching has to bear in mind.

Image points are complex numbers from the image's centre, right + i up; ground points are
east + i north. Frame k shows its point p at aₖ p + bₖ.
"""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mobilegeo.camera import CameraModel
from mobilegeo.errors import ResourceError
from mobilegeo.geo import LatLon, LocalFrame
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import read_photo
from oblique_scene import write_rows
from real_drone import Shot, matched_points, write_mosaic

CALITERRA_HFOV_DEG = 69.1
"""4.5 mm on a sensor 6.20 mm wide: 4000 px at 16,393 px an inch, as EXIF says."""

NEAR_M = 45.0
"""Frames taken farther apart are not compared."""

MAX_RATIO = 1.5
"""Of the scales of two frames that overlap; matches that say more are wrong."""

HEADING_ERROR_DEG, HEIGHT_ERROR = 5.0, 0.1
"""By which the telemetry of the photos to be found is falsified at most."""

Pair = tuple[int, int, complex, complex]
"""Frames i and j, and c, d: point p of i is point c p + d of j."""


def adjust(count: int, pairs: list[Pair], gps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places frames that overlap.

    Args:
        count: N, frames.
        pairs: similarities between frames.
        gps: complex128 [N], where the frames were taken, east + i north, metres.

    Returns:
        a and b, complex128 [N] each.

    Raises:
        ResourceError: the frames do not hang together.
    """
    first, second = (np.array([pair[k] for pair in pairs], dtype=int) for k in (0, 1))
    c, d = (np.array([pair[k] for pair in pairs], dtype=np.complex128) for k in (2, 3))
    steps = np.zeros((len(pairs), count))
    steps[np.arange(len(pairs)), first], steps[np.arange(len(pairs)), second] = 1.0, -1.0
    if np.linalg.matrix_rank(steps) < count - 1:
        raise ResourceError("frames", "do not all overlap", "leave out those that stand alone")
    # aᵢ = aⱼ c
    turns = np.zeros((count, count), np.complex128)
    turns[first, second] = c / np.abs(c)
    turns[second, first] = np.conj(c / np.abs(c))
    heading = np.linalg.eigh(turns)[1][:, -1]
    scale = np.exp(np.linalg.lstsq(steps, np.log(np.abs(c)), rcond=None)[0])
    a = scale * heading / np.abs(heading)
    # bᵢ − bⱼ = aⱼ d
    b = np.linalg.lstsq(steps.astype(np.complex128), a[second] * d, rcond=None)[0]
    centred = b - b.mean()
    factor = np.vdot(centred, gps) / np.vdot(centred, centred)
    return factor * a, factor * centred + gps.mean()


def read_frames(folder: Path, hfov_deg: float) -> tuple[LocalFrame, list[Shot]]:
    """Frames with their positions from `images.csv`, pointing straight down."""
    with (folder / "images.csv").open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if (folder / "images" / row["filename"]).exists()
        ]
    lat, lon = (np.array([float(row[key]) for row in rows]) for key in ("latitude", "longitude"))
    frame = LocalFrame(LatLon(float(lat.mean()), float(lon.mean())))
    down = Telemetry(pitch_deg=-90.0, roll_deg=0.0, hfov_deg=hfov_deg)
    shots = []
    for row, x, y in zip(rows, *frame.to_metres(lat, lon), strict=True):
        path = folder / "images" / row["filename"]
        shots.append(Shot(path, read_photo(path, overrides=down), float(x), float(y)))
    return frame, shots


def overlaps(shots: list[Shot]) -> list[Pair]:
    """Similarities between frames taken near each other, by least squares over SIFT matches."""
    sift = cv2.SIFT_create(1500)
    described = [sift.detectAndCompute(shot.photo.image, None) for shot in shots]
    pairs = []
    for (i, a), (j, b) in itertools.combinations(enumerate(shots), 2):
        if abs(complex(a.x_m - b.x_m, a.y_m - b.y_m)) < NEAR_M:
            points = matched_points(described[i], described[j])
            if points is not None:
                p, q = (_from_centre(own, s) for own, s in zip(points, (a, b), strict=True))
                design = np.column_stack([p, np.ones(len(p))])
                c, d = np.linalg.lstsq(design, q, rcond=None)[0]
                if 1 / MAX_RATIO < abs(c) < MAX_RATIO:
                    pairs.append((i, j, complex(c), complex(d)))
    return pairs


def _from_centre(points: np.ndarray, shot: Shot) -> np.ndarray:
    height, width = shot.photo.image.shape[:2]
    return (points[:, 0] - width / 2) - 1j * (points[:, 1] - height / 2)


def placed(shot: Shot, a: complex, b: complex) -> Shot:
    """A frame where the adjustment puts it, with the heading and height that follow."""
    width = shot.photo.image.shape[1]
    lens = CameraModel(shot.photo.telemetry.hfov_deg)
    known = replace(
        shot.photo.telemetry,
        heading_deg=float(-np.degrees(np.angle(a)) % 360),
        agl_m=float(abs(a) * lens.focal_px(width)),
    )
    return Shot(shot.path, replace(shot.photo, telemetry=known), b.real, b.imag)


def prepare(data: Path, out: Path, seed: int) -> None:
    """Writes map.tif of every other frame, telemetry.csv and truth.csv of the rest.

    Args:
        data: folder with `images/` and `images.csv`.
        out: folder that exists.
        seed: of the telemetry's errors.
    """
    frame, shots = read_frames(data, CALITERRA_HFOV_DEG)
    gps = np.array([complex(shot.x_m, shot.y_m) for shot in shots])
    pairs = overlaps(shots)
    a, b = adjust(len(shots), pairs, gps)
    apart = [abs(b[i] - b[j] - a[j] * d) for i, j, _, d in pairs]
    shots = [placed(*each) for each in zip(shots, a, b, strict=True)]
    heights = [shot.photo.telemetry.agl_m for shot in shots]
    off = np.abs(b - gps)
    print(
        f"{len(shots)} frames from {min(heights):.0f} to {max(heights):.0f} m;"
        f" {len(pairs)} overlaps agree to {np.median(apart):.1f} m in the median,"
        f" {np.quantile(apart, 0.98):.1f} m for 98 %;"
        f" off their GPS by {np.median(off):.1f} m in the median, {off.max():.1f} m at most"
    )
    write_mosaic(shots[::2], 0.0, frame, out / "map.tif")
    rng = np.random.default_rng(seed)
    telemetry, truth = [], []
    for shot in shots[1::2]:
        known, seen = shot.photo.telemetry, frame.point(shot.x_m, shot.y_m)
        heading = known.heading_deg + rng.uniform(-HEADING_ERROR_DEG, HEADING_ERROR_DEG)
        height = known.agl_m * rng.uniform(1 - HEIGHT_ERROR, 1 + HEIGHT_ERROR)
        telemetry.append([shot.path.name, heading % 360, -90, 0, height, known.hfov_deg])
        truth.append([shot.path.name, seen.lat, seen.lon, known.heading_deg])
    columns = "photo,heading_deg,pitch_deg,roll_deg,agl_m,hfov_deg"
    write_rows(out / "telemetry.csv", columns, telemetry)
    write_rows(out / "truth.csv", "photo,lat,lon,heading_deg", truth)
