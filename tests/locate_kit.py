"""What the tests of locating share: a textured ground, photos of it, an encoder and maps.

Photos are rendered by rays written out here in plain trigonometry, so that they do not depend on
the homographies under test.
"""

from __future__ import annotations

import cv2
import numpy as np

from maps_kit import HERE, write_raster
from mobilegeo.camera import CameraModel, GroundView, Pose
from mobilegeo.encoder.base import Encoded, ImageSpec
from mobilegeo.geo import LatLon, LocalFrame
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.descriptors import DescriptorBasis
from mobilegeo.maps.source import open_map
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import Photo

CELL_M = 4.0


def rays(view, u, v):
    """Directions (east, north, up) of pixels, by turning roll, pitch and heading one by one."""
    focal = view.width_px / 2 / np.tan(np.radians(view.hfov_deg) / 2)
    right = (u - view.width_px / 2) / focal
    ahead = np.ones_like(right)
    up = -(v - view.height_px / 2) / focal
    roll, pitch, heading = np.radians([view.roll_deg, view.pitch_deg, view.heading_deg])
    # The camera's right side sinks, its upper side swings to the right.
    right, up = (
        right * np.cos(roll) + up * np.sin(roll),
        up * np.cos(roll) - right * np.sin(roll),
    )
    ahead, up = (
        ahead * np.cos(pitch) - up * np.sin(pitch),
        ahead * np.sin(pitch) + up * np.cos(pitch),
    )
    east = right * np.cos(heading) + ahead * np.sin(heading)
    north = ahead * np.cos(heading) - right * np.sin(heading)
    return east, north, up


def seen_ground(view, u, v):
    """East and north of pixels in metres from the point below the camera, NaN for the sky."""
    east, north, up = rays(view, u, v)
    length = np.where(up < -1e-9, view.agl_m / np.maximum(-up, 1e-9), np.nan)
    return east * length, north * length


def pixel_centres(width, height):
    """u and v of all pixels, float [H, W] each."""
    return np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)


def a_view(**changes):
    """100 m up, straight down, 240 × 180 pixels of 0.5 m."""
    known = {
        "width_px": 240, "height_px": 180, "hfov_deg": 61.93, "heading_deg": 0.0,
        "pitch_deg": -90.0, "roll_deg": 0.0, "agl_m": 100.0,
    }  # fmt: skip
    return GroundView(**(known | changes))


class Ground:
    """A square of smooth coloured noise around (0, 0), row 0 in the north, 0.5 m a pixel."""

    def __init__(self, side_m=400.0, seed=0, grain_m=(5.0, 12.0, 30.0)):
        self.gsd_m = 0.5
        self.half_m = side_m / 2
        size = round(side_m / self.gsd_m)
        rng = np.random.default_rng(seed)
        total = np.zeros((size, size, 3))
        for grain in grain_m:
            coarse = max(2, round(side_m / grain))
            layer = rng.normal(size=(coarse, coarse, 3))
            total += cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC)
        total *= 40.0 / total.std()
        self.image = np.clip(127.5 + total, 0, 255).astype(np.uint8)

    def colours(self, x_m, y_m):
        """Colours at points, float32 [..., 3]; 0 outside."""
        column = (np.nan_to_num(x_m, nan=1e6) + self.half_m) / self.gsd_m - 0.5
        row = (self.half_m - np.nan_to_num(y_m, nan=1e6)) / self.gsd_m - 0.5
        return cv2.remap(
            self.image.astype(np.float32),
            np.atleast_2d(column).astype(np.float32),
            np.atleast_2d(row).astype(np.float32),
            cv2.INTER_LINEAR,
        )

    def photo(self, view, x_m=0.0, y_m=0.0):
        """What a camera above (x, y) sees, uint8 [H, W, 3]."""
        east, north = seen_ground(view, *pixel_centres(view.width_px, view.height_px))
        return np.rint(self.colours(x_m + east, y_m + north)).astype(np.uint8)


class BlockEncoder:
    """Means and gradients of blocks: deterministic, and covariant to shifts by a cell."""

    def __init__(self, sha256="cd" * 32):
        self.spec = ImageSpec(
            model_id="blocks-1",
            size_px=64,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            embedding_dim=192,
            feature_dim=9,
            feature_stride_px=8,
            feature_halo_px=8,
            feature_gsd_m=CELL_M / 8,
            multiple_px=16,
        )
        self.sha256 = sha256

    def embed(self, images):
        thumbs = np.stack([cv2.resize(i, (8, 8), interpolation=cv2.INTER_AREA) for i in images])
        vectors = thumbs.reshape(len(images), -1).astype(np.float32)
        vectors -= vectors.mean(axis=1, keepdims=True)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)

    def features(self, images):
        count, height, width, _ = images.shape
        blocks = (images.astype(np.float32) / 255 - 0.5).reshape(
            count, height // 8, 8, width // 8, 8, 3
        )
        west, east = blocks[:, :, :, :, :4].mean((2, 4)), blocks[:, :, :, :, 4:].mean((2, 4))
        north, south = blocks[:, :, :4].mean((2, 4)), blocks[:, :, 4:].mean((2, 4))
        parts = [2 * (west + east), 8 * (east - west), 8 * (south - north)]
        return np.concatenate(parts, axis=3)

    def encode(self, images):
        return Encoded(self.embed(images), self.features(images))


def plain_basis(channels):
    """The basis that leaves features as they are."""
    return DescriptorBasis(
        np.zeros(channels, np.float32), np.ones(channels, np.float32),
        np.eye(channels, dtype=np.float32),
    )  # fmt: skip


class MemoryMap:
    """The descriptors of a ground, as a pack would give them."""

    def __init__(self, ground, encoder=None, valid=None):
        encoder = encoder or BlockEncoder()
        self.spec = encoder.spec
        self.surface = None
        self.frame = LocalFrame(HERE)
        features = encoder.features(ground.image[None])[0]
        self.reach = round(ground.half_m / CELL_M)
        known = np.ones(features.shape[:2], bool) if valid is None else valid
        self.basis = DescriptorBasis.of(features[known])
        self.cells = self.basis.unit(features, known)

    def features(self, x0_cell, y0_cell, width, height):
        window = np.zeros((height, width, self.basis.channels), np.float32)
        size = len(self.cells)
        top, left = self.reach - (y0_cell + height), x0_cell + self.reach
        rows = slice(max(0, top), min(size, top + height))
        columns = slice(max(0, left), min(size, left + width))
        if rows.start < rows.stop and columns.start < columns.stop:
            window[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ] = self.cells[rows, columns]
        return window, window.any(axis=2)


def build_ground_pack(folder, ground, footprints_m=(60.0, 120.0), *, imagery=False):
    """Writes a ground as a GeoTIFF around HERE and builds its pack."""
    from rasterio.transform import Affine

    tif = folder / "ground.tif"
    half, gsd = ground.half_m, ground.gsd_m
    write_raster(
        tif,
        ground.image.transpose(2, 0, 1),
        crs=LocalFrame(HERE).crs,
        transform=Affine(gsd, 0.0, -half, 0.0, -gsd, half),
    )
    return build_pack(
        open_map([tif]), folder / "ground.pack", BlockEncoder(), footprints_m=footprints_m,
        imagery=imagery,
    )  # fmt: skip


def place(x_m, y_m) -> LatLon:
    """A point of the ground in degrees."""
    return LocalFrame(HERE).point(x_m, y_m)


def photo_record(image, view=None, *, gps=None, **changes):
    """A decoded photo: with the pose of `view`, its own GPS, and telemetry changed as named."""
    known = {}
    if view is not None:
        names = ("heading_deg", "pitch_deg", "roll_deg", "agl_m", "hfov_deg")
        known = {name: getattr(view, name) for name in names}
    if gps is not None:
        known |= {"lat": gps.lat, "lon": gps.lon}
    telemetry = Telemetry(**(known | changes))
    return Photo(
        source="photo.jpg",
        full_size=(image.shape[1], image.shape[0]),
        gps=gps,
        pose=None if telemetry.pose == Pose() else telemetry.pose,
        camera=None if telemetry.hfov_deg is None else CameraModel(telemetry.hfov_deg),
        telemetry=telemetry,
        image=image,
    )
