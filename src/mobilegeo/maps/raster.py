"""A raster file as a map: GeoTIFF, COG, VRT, JPEG with a world file, any GDAL format with a CRS."""

from __future__ import annotations

from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MapError, MissingExtraError
from mobilegeo.geo import Bounds, LocalFrame
from mobilegeo.maps.patch import Patch, bounds_around, pixel_side_m

STRETCH_PERCENTILES = (2.0, 98.0)
"""Values of other types than 8 bit are brought to 0 … 255 between these percentiles of each band,
taken once a file over its valid pixels on an overview of at most `STRETCH_SIDE_PX`."""
STRETCH_SIDE_PX = 1024
PALETTE_OVERSAMPLING = 4
"""A palette's indices cannot be averaged: up to 4 × 4 colours are looked up a pixel instead."""
GDAL_CACHE_BYTES = 128 << 20
WARP_MEMORY_MB = 64


def rasterio_for(what: str | PathLike[str]) -> Any:
    """The package rasterio, which is not installed on every drone.

    Raises:
        MissingExtraError: it is not; `what` needs it.
    """
    try:
        import rasterio
    except ImportError as error:
        raise MissingExtraError(
            what,
            "needs rasterio, which is not installed",
            "run: pip install rasterio; a pack that was built elsewhere is used without it",
        ) from error
    return rasterio


class RasterSource:
    """One raster file, warped on demand by GDAL.

    The transformation is GDAL's approximation with an error of at most 0.125 pixel of the window.
    An overview serves where it is at least twice as fine as the window, so that overviews made
    without averaging do no harm. Pixels are averaged where the window is coarser by 2 or more,
    otherwise interpolated linearly.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._levels: dict[int | None, Any] = {}
        self.names = (path.name,)
        self.warnings: list[str] = []
        dataset = self._dataset(None)
        self._check(dataset)
        self._factors = [1, *dataset.overviews(1)]
        self._bands, self._has_alpha = _colour_bands(dataset)
        self._palette = _palette(dataset)

    @property
    def dataset(self) -> Any:
        """The open file, a rasterio dataset."""
        return self._dataset(None)

    @cached_property
    def fingerprint(self) -> str:
        """Name, size and time of change of the file."""
        stat = self._path.stat()
        return f"{self._path.name} {stat.st_size} {stat.st_mtime_ns}"

    @cached_property
    def bounds(self) -> Bounds:
        """The box around the raster's edge, 33 points a side."""
        dataset = self._dataset(None)
        t = np.linspace(0.0, 1.0, 33)
        zero, one = np.zeros_like(t), np.ones_like(t)
        columns = np.concatenate([t, t, zero, one]) * dataset.width
        rows = np.concatenate([zero, one, t, t]) * dataset.height
        return bounds_around(*self._degrees(columns, rows), str(self._path))

    @cached_property
    def gsd_m(self) -> float:
        """Side of a pixel at the raster's centre, true metres."""
        dataset = self._dataset(None)
        step = max(dataset.width, dataset.height) / 100
        columns = dataset.width / 2 + step * np.array([0.0, 1.0, 0.0])
        rows = dataset.height / 2 + step * np.array([0.0, 0.0, 1.0])
        return float(pixel_side_m(*self._degrees(columns, rows)) / step)

    def read(
        self, frame: LocalFrame, x_m: float, y_m: float, gsd_m: float, width: int, height: int
    ) -> Patch:
        """See `MapSource.read`."""
        if self._palette is not None:
            return self._read_palette(frame, x_m, y_m, gsd_m, width, height)
        bands, alpha = self.values(frame, x_m, y_m, gsd_m, width, height)
        return _patch(self._to_8_bit(bands), alpha)

    def _read_palette(
        self, frame: LocalFrame, x_m: float, y_m: float, gsd_m: float, width: int, height: int
    ) -> Patch:
        import cv2

        assert self._palette is not None
        k = int(np.clip(np.ceil(gsd_m / self.gsd_m), 1, PALETTE_OVERSAMPLING))
        bands, alpha = self.values(frame, x_m, y_m, gsd_m / k, width * k, height * k)
        colours = self._palette[bands[0].astype(np.intp)].astype(np.float32)
        opaque = (colours[..., 3:] > 0) & alpha[..., None]
        colours = np.where(opaque, colours[..., :3], 0.0)
        weight = cv2.resize(
            opaque.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
        )
        image = cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA)
        image = image / np.maximum(weight, 1e-6)[..., None]
        return _patch(np.rint(image).astype(np.uint8), weight >= 0.5)

    def values(
        self, frame: LocalFrame, x_m: float, y_m: float, gsd_m: float, width: int, height: int
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """A window's bands [bands, H, W] in the file's own type, and validity, bool [H, W].

        The bands are red, green and blue or the only one; the window is that of `read`.
        """
        import rasterio
        from rasterio.enums import Resampling
        from rasterio.transform import Affine
        from rasterio.vrt import WarpedVRT

        level, factor = self._level_for(gsd_m)
        resampling = Resampling.average if gsd_m >= 2 * factor * self.gsd_m else Resampling.bilinear
        if self._palette is not None:
            resampling = Resampling.nearest
        try:
            with (
                rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES),
                WarpedVRT(
                    self._dataset(level),
                    crs=frame.crs,
                    transform=Affine(gsd_m, 0.0, x_m, 0.0, -gsd_m, y_m),
                    width=width,
                    height=height,
                    resampling=resampling,
                    add_alpha=not self._has_alpha,
                    warp_mem_limit=WARP_MEMORY_MB,
                ) as window,
            ):
                stack = window.read([*self._bands, window.count])
        except rasterio.errors.RasterioError as error:
            raise self._damaged(error) from error
        return stack[:-1], stack[-1] >= 0.5 * _opaque(stack.dtype)

    def _level_for(self, gsd_m: float) -> tuple[int | None, int]:
        """The coarsest overview at least twice as fine as `gsd_m`, and its shrinking factor."""
        fitting = [i for i, f in enumerate(self._factors) if 2 * f * self.gsd_m <= gsd_m]
        index = max(fitting, key=lambda i: self._factors[i], default=0)
        return (index - 1 if index else None), self._factors[index]

    def _to_8_bit(self, bands: NDArray[Any]) -> NDArray[np.uint8]:
        if bands.dtype != np.uint8:
            low, high = self._stretch
            scaled = (bands.astype(np.float32) - low) * (255.0 / np.maximum(high - low, 1e-12))
            bands = np.rint(np.nan_to_num(np.clip(scaled, 0.0, 255.0))).astype(np.uint8)
        return np.ascontiguousarray(
            np.broadcast_to(bands, (3, *bands.shape[1:])).transpose(1, 2, 0)
        )

    @cached_property
    def _stretch(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values that become 0 and 255, float32 [bands, 1, 1] each."""
        import rasterio

        dataset = self._dataset(None)
        shrink = max(1.0, max(dataset.width, dataset.height) / STRETCH_SIDE_PX)
        shape = (max(1, round(dataset.height / shrink)), max(1, round(dataset.width / shrink)))
        try:
            bands = dataset.read(self._bands, out_shape=(len(self._bands), *shape))
            valid = dataset.dataset_mask(out_shape=shape) > 0
        except rasterio.errors.RasterioError as error:
            raise self._damaged(error) from error
        values = [b[valid & np.isfinite(b)].astype(np.float32) for b in bands]
        limits = [np.percentile(v, STRETCH_PERCENTILES) if v.size else (0.0, 1.0) for v in values]
        low, high = np.array(limits, dtype=np.float32).T[..., None, None]
        return low, high

    def _degrees(
        self, columns: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import rasterio
        from rasterio.warp import transform

        dataset = self._dataset(None)
        t = dataset.transform
        x, y = t.a * columns + t.b * rows + t.c, t.d * columns + t.e * rows + t.f
        try:
            lon, lat = transform(dataset.crs, "EPSG:4326", x, y)
        except rasterio.errors.RasterioError as error:
            raise MapError(
                self._path,
                f"its coordinate system cannot be related to the earth ({error})",
                "name the right one with gdal_translate -a_srs EPSG:NUMBER IN OUT.tif",
            ) from error
        return np.asarray(lat), np.asarray(lon)

    def _dataset(self, level: int | None) -> Any:
        """The open file, or one of its overviews (0 is the finest)."""
        import warnings

        rasterio = rasterio_for(self._path)
        if level not in self._levels:
            options = {} if level is None else {"overview_level": level}
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                    self._levels[level] = rasterio.open(self._path, **options)
            except rasterio.errors.RasterioError as error:
                raise self._damaged(error) from error
        return self._levels[level]

    def _check(self, dataset: Any) -> None:
        if dataset.gcps[0] and dataset.transform.is_identity:
            raise MapError(
                self._path,
                "is georeferenced by ground control points only",
                "rectify it first with gdalwarp -t_srs EPSG:4326 IN OUT.tif",
            )
        if dataset.transform.is_identity:
            raise MapError(
                self._path,
                "has no georeference (no geotransform and no world file)",
                "add it with gdal_translate -a_srs EPSG:NUMBER -a_ullr WEST NORTH EAST SOUTH "
                "IN OUT.tif",
            )
        if dataset.crs is None:
            raise MapError(
                self._path,
                "has a geotransform but names no coordinate system",
                "name it with gdal_translate -a_srs EPSG:NUMBER IN OUT.tif",
            )
        if dataset.count == 0:
            raise MapError(
                self._path, "holds no raster band", "give one of its subdatasets (gdalinfo)"
            )
        if np.dtype(dataset.dtypes[0]).kind == "c":
            raise MapError(
                self._path, "holds complex numbers", "give an image for the eye, e.g. an orthophoto"
            )

    def _damaged(self, error: Exception) -> MapError:
        reason = " ".join(str(error.__cause__ or error).split())
        return MapError(
            self._path,
            f"cannot be read as a raster ({reason})",
            "copy it again, or convert what is readable with gdal_translate",
        )


def _colour_bands(dataset: Any) -> tuple[list[int], bool]:
    """Indices (from 1) of red, green and blue or of the grey band, and whether there is alpha."""
    from rasterio.enums import ColorInterp

    roles = list(dataset.colorinterp)
    has_alpha = roles[-1] == ColorInterp.alpha
    rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(role in roles for role in rgb):
        return [roles.index(role) + 1 for role in rgb], has_alpha
    return ([1, 2, 3] if dataset.count - has_alpha >= 3 else [1]), has_alpha


def _palette(dataset: Any) -> NDArray[np.uint8] | None:
    """uint8 [256 or 65536, 4] RGBA by index, or `None` for a raster without a palette."""
    from rasterio.enums import ColorInterp

    if dataset.colorinterp[0] != ColorInterp.palette:
        return None
    table = np.zeros((1 << (8 * np.dtype(dataset.dtypes[0]).itemsize), 4), np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[index] = colour
    return table


def _opaque(dtype: np.dtype[Any]) -> float:
    """The alpha that GDAL's warper writes for a fully valid pixel of this type."""
    return {"uint16": 65535.0, "int16": 32767.0}.get(dtype.name, 255.0)


def _patch(image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Patch:
    image[~valid] = 0
    return Patch(image, valid)
