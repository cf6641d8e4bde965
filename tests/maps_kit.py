"""Maps with a known content, and a small encoder: what the tests of maps and packs share."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.transform import Affine
from rasterio.warp import transform as to_crs

from mobilegeo.encoder.base import Encoded, ImageSpec
from mobilegeo.geo import Bounds, LatLon, LocalFrame
from mobilegeo.maps.patch import Patch
from mobilegeo.maps.xyz import mercator_to_degrees

HERE = LatLon(44.055, -123.07)
UTM = "EPSG:32611"
"""The painted world lies far from the middle of this zone, so that its north turns by 4°."""


def colour_at(lat, lon, wave_m=40.0):
    """The painted world: waves of `wave_m`, a function of the place alone, float [..., 3]."""
    x, y = LocalFrame(HERE).to_metres(lat, lon)
    waves = [np.sin(2 * np.pi * v / wave_m) for v in (x, y, (x + y) / 2)]
    return 127.5 + 100.0 * np.stack(waves, axis=-1)


def painted(crs, affine, width, height, wave_m=40.0):
    """A raster of the painted world, uint8 [3, H, W], exact at the pixel centres."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = affine.a * columns + affine.b * rows + affine.c
    y = affine.d * columns + affine.e * rows + affine.f
    lon, lat = to_crs(crs, "EPSG:4326", x.ravel(), y.ravel())
    colours = colour_at(np.array(lat), np.array(lon), wave_m).reshape(height, width, 3)
    return np.rint(colours).astype(np.uint8).transpose(2, 0, 1)


def affine_around(crs, side_m, pixel, rotation_deg=0.0):
    """A geotransform whose raster of `side_m` is centred about HERE; pixel in units of the CRS."""
    (x,), (y,) = to_crs("EPSG:4326", crs, [HERE.lon], [HERE.lat])
    half = side_m / 2
    return (
        Affine.translation(x, y)
        @ Affine.rotation(rotation_deg)
        @ (Affine.translation(-half, half) @ Affine.scale(pixel, -pixel))
    )


def write_raster(path, pixels, *, mask=None, colormap=None, overviews=(), **profile):
    """Writes [bands, H, W] as a GeoTIFF (or what `driver` says)."""
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", **profile}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", width=width, height=height, count=count, dtype=pixels.dtype, **profile
        ) as dataset,
    ):
        dataset.write(pixels)
        if colormap is not None:
            dataset.write_colormap(1, colormap)
        if mask is not None:
            dataset.write_mask(mask)
        if overviews:
            dataset.build_overviews(list(overviews), rasterio.enums.Resampling.nearest)
    return path


def painted_raster(path, crs=UTM, side_m=300.0, pixel=0.5, rotation_deg=0.0, **options):
    """Writes a square of the painted world; `side_m` and `pixel` in units of the CRS."""
    affine = affine_around(crs, side_m, pixel, rotation_deg)
    size = round(side_m / pixel)
    return write_raster(
        path, painted(crs, affine, size, size), crs=crs, transform=affine, **options
    )


def error_in_patch(patch, frame, x_m, y_m, gsd_m, wave_m=40.0):
    """Difference to the painted world, float [N, 3], at a patch's valid pixels."""
    rows, columns = np.nonzero(patch.valid)
    lat, lon = frame.to_degrees(x_m + (columns + 0.5) * gsd_m, y_m - (rows + 0.5) * gsd_m)
    return patch.image[rows, columns].astype(float) - colour_at(lat, lon, wave_m)


def painted_tile(z, x, y, side=256):
    """One web-mercator tile of the painted world, uint8 [side, side, 3] RGB."""
    step = (np.arange(side) + 0.5) / side
    u, v = np.meshgrid((x + step) / 2**z, (y + step) / 2**z)
    return np.rint(colour_at(*mercator_to_degrees(u, v))).astype(np.uint8)


def tile_address(z, point=HERE):
    """(x, y) of the tile around a point."""
    phi = np.radians(point.lat)
    u, v = point.lon / 360 + 0.5, 0.5 - np.arcsinh(np.tan(phi)) / (2 * np.pi)
    return int(u * 2**z), int(v * 2**z)


def encode_tile(rgb_or_rgba, extension="png"):
    """The bytes of an image file."""
    channels = rgb_or_rgba.shape[2]
    code = cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA
    quality = [cv2.IMWRITE_JPEG_QUALITY, 98] if extension == "jpg" else []
    return cv2.imencode(f".{extension}", cv2.cvtColor(rgb_or_rgba, code), quality)[1].tobytes()


def write_mbtiles(path, tiles, image_format="png"):
    """Writes {(z, x, y): bytes}, y from the north, as an MBTiles database."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE metadata (name text, value text)")
        db.execute("INSERT INTO metadata VALUES ('format', ?)", (image_format,))
        db.execute(
            "CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, "
            "tile_data blob)"
        )
        rows = [(z, x, 2**z - 1 - y, data) for (z, x, y), data in tiles.items()]
        db.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
    db.close()
    return path


class PlainSource:
    """A map without files: fixed noise on square cells of 2 m, with an optional hole."""

    def __init__(self, width_m=300.0, height_m=200.0, hole=None):
        self.frame = LocalFrame(HERE)
        south, west = self.frame.to_degrees(-width_m / 2, -height_m / 2)
        north, east = self.frame.to_degrees(width_m / 2, height_m / 2)
        self.bounds = Bounds(float(south), float(west), float(north), float(east))
        self.half = (width_m / 2, height_m / 2)
        self.hole = hole
        self.names = ("plain",)
        self.gsd_m = 2.0
        self.warnings = []
        self.fingerprint = f"{width_m} {height_m} {hole}"
        self.noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)

    def read(self, frame, x_m, y_m, gsd_m, width, height):
        columns = x_m + (np.arange(width) + 0.5) * gsd_m
        rows = y_m - (np.arange(height) + 0.5) * gsd_m
        x, y = np.meshgrid(columns, rows)
        valid = (np.abs(x) < self.half[0]) & (np.abs(y) < self.half[1])
        if self.hole is not None:
            x0, y0, x1, y1 = self.hole
            valid &= ~((x > x0) & (x < x1) & (y > y0) & (y < y1))
        image = self.noise[(np.floor(y / 2).astype(int)) % 512, (np.floor(x / 2).astype(int)) % 512]
        return Patch(np.where(valid[..., None], image, 0).astype(np.uint8), valid)


class FakeEncoder:
    """A deterministic stand-in: the embedding is an 8 × 8 thumbnail, features are blurred means.

    Like those of a real network its features see beyond their cell and depend on where the
    input's 16-pixel blocks begin.
    """

    def __init__(self, sha256="ab" * 32, fail_after=None, error=KeyboardInterrupt):
        self.spec = ImageSpec(
            model_id="fake-1",
            size_px=32,
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            embedding_dim=192,
            feature_dim=6,
            feature_stride_px=4,
            feature_halo_px=18,
            feature_gsd_m=0.5,
            multiple_px=16,
        )
        self.sha256 = sha256
        self.calls = 0
        self.batches = []
        self._fail_after = fail_after
        self._error = error

    def embed(self, images):
        self._count(images)
        thumbs = np.stack([cv2.resize(i, (8, 8), interpolation=cv2.INTER_AREA) for i in images])
        vectors = thumbs.reshape(len(images), -1).astype(np.float32) - 127.5
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)

    def features(self, images):
        self._count(images)
        scaled = (images.astype(np.float32) / 255 - 0.5) / 0.25
        fine = np.stack([_mean_pool(cv2.blur(image, (15, 15)), 4) for image in scaled])
        coarse = np.stack([_mean_pool(image, 16) for image in scaled])
        return np.concatenate([3 * fine, coarse.repeat(4, axis=1).repeat(4, axis=2)], axis=3)

    def encode(self, images):
        return Encoded(self.embed(images), self.features(images))

    def _count(self, images):
        self.calls += 1
        self.batches.append(images.shape)
        if self._fail_after is not None and self.calls > self._fail_after:
            raise self._error


def _mean_pool(image, side):
    height, width = image.shape[:2]
    return image.reshape(height // side, side, width // side, side, -1).mean(axis=(1, 3))


def folder_hashes(folder: Path):
    """The bytes of every file below a folder but pack.json, which holds the time."""
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != "pack.json"]
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}
