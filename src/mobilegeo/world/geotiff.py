"""Scenes and GeoTIFFs: reading an orthophoto with its surface model, writing rasters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MapError
from mobilegeo.maps.raster import rasterio_for
from mobilegeo.world.scene import Image, Raster, Scene

_WORST_SCALE = 0.01


def load_scene(ortho_path: str | Path, surface_path: str | Path) -> Scene:
    """An orthophoto and a surface model as a scene, in metres of the ortho's projection.

    The surface is warped to the ortho's extent at its own resolution; holes in it are filled from
    their rims. Its heights must be in metres. Lengths are those of the projection: a scale error
    of up to 1 % is accepted.

    Args:
        ortho_path: a raster with three bands or more, north up, in a projected system.
        surface_path: a raster of heights, first band, any system.

    Raises:
        MapError: a file that cannot be read or does not fit.
    """
    with _open(ortho_path) as ortho:
        metres = _metres_per_unit(ortho, ortho_path)
        if ortho.count < 3:
            raise MapError(ortho_path, f"has {ortho.count} band(s)", "give an RGB orthophoto")
        bands = ortho.read([1, 2, 3])
        if bands.dtype != np.uint8:
            raise MapError(
                ortho_path, f"is {bands.dtype}", "convert it with gdal_translate -ot Byte"
            )
        image = np.ascontiguousarray(np.moveaxis(bands, 0, 2))
        surface = _read_surface(surface_path, ortho)
        return Scene(
            image,
            surface,
            gsd_m=ortho.transform.a * metres,
            west_m=ortho.transform.c * metres,
            north_m=ortho.transform.f * metres,
        )


def write_geotiff(
    path: Path, raster: Image | Raster, crs: str, corner: tuple[float, float], gsd_m: float
) -> None:
    """Writes a tiled GeoTIFF with overviews; it appears whole or not at all.

    Args:
        path: of the file.
        raster: uint8 [H, W, 3], stored as JPEG, or float32 [H, W], stored deflated.
        crs: anything rasterio understands, in metres.
        corner: x and y of the upper-left corner.
        gsd_m: metres a pixel.
    """
    rasterio = rasterio_for(path)
    from rasterio.enums import Resampling
    from rasterio.transform import Affine

    partial = path.with_name(f".{path.name}.partial")
    image = raster.ndim == 3
    options: dict[str, Any] = (
        {"compress": "jpeg", "jpeg_quality": 88, "photometric": "ycbcr", "count": 3}
        if image
        else {"compress": "deflate", "predictor": 3, "zlevel": 1, "count": 1}
    )
    with rasterio.open(
        partial,
        "w",
        driver="GTiff",
        height=raster.shape[0],
        width=raster.shape[1],
        dtype=raster.dtype,
        crs=crs,
        transform=Affine(gsd_m, 0, corner[0], 0, -gsd_m, corner[1]),
        tiled=True,
        blockxsize=256,
        blockysize=256,
        **options,
    ) as out:
        if image:
            out.write(np.moveaxis(raster, 2, 0))
            out.build_overviews([2, 4, 8], Resampling.average)
        else:
            out.write(raster, 1)
    partial.replace(path)


def _open(path: str | Path) -> Any:
    rasterio = rasterio_for(path)
    from rasterio.errors import RasterioError

    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise MapError(path, f"cannot be read as a raster ({error})", "give a GeoTIFF") from error


def _metres_per_unit(ortho: Any, path: str | Path) -> float:
    """Length of the projection's unit, after checking that it suits the renderer."""
    from pyproj import Proj

    cure = "reproject it with gdalwarp -t_srs to the UTM zone it lies in"
    if ortho.crs is None or not ortho.crs.is_projected:
        raise MapError(path, f"has no projected coordinate system ({ortho.crs})", cure)
    transform = ortho.transform
    if transform.b or transform.d or transform.a <= 0 or abs(transform.a + transform.e) > 1e-6:
        raise MapError(path, f"is not north up with square pixels ({transform!r})", cure)
    projection = Proj(ortho.crs.to_wkt())
    lon, lat = projection(
        transform.c + transform.a * ortho.width / 2,
        transform.f + transform.e * ortho.height / 2,
        inverse=True,
    )
    factors = projection.get_factors(lon, lat)
    if abs(factors.meridional_scale - 1) > _WORST_SCALE:
        raise MapError(
            path, f"stretches lengths {factors.meridional_scale:.3f} times ({ortho.crs})", cure
        )
    return float(ortho.crs.linear_units_factor[1])


def _read_surface(path: str | Path, ortho: Any) -> Raster:
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.fill import fillnodata
    from rasterio.transform import Affine
    from rasterio.warp import calculate_default_transform, reproject

    with _open(path) as dataset:
        if dataset.crs is None:
            raise MapError(path, "has no coordinate system", "assign it with gdal_translate -a_srs")
        native, _, _ = calculate_default_transform(
            dataset.crs, ortho.crs, dataset.width, dataset.height, *dataset.bounds
        )
        cell = max(native.a, ortho.transform.a)
        width = max(1, round(ortho.width * ortho.transform.a / cell))
        height = max(1, round(ortho.height * ortho.transform.a / cell))
        grid = Affine(
            ortho.transform.a * ortho.width / width, 0, ortho.transform.c,
            0, ortho.transform.e * ortho.height / height, ortho.transform.f,
        )  # fmt: skip
        heights, _ = reproject(
            rasterio.band(dataset, 1),
            np.full((height, width), np.nan, np.float32),
            src_nodata=dataset.nodata,
            dst_nodata=np.nan,
            dst_transform=grid,
            dst_crs=ortho.crs,
            resampling=Resampling.bilinear,
        )
        valid: NDArray[np.bool_] = np.isfinite(heights)
        if not valid.any():
            raise MapError(path, "does not overlap the orthophoto", "give the one of the same area")
        if not valid.all():
            heights = fillnodata(heights, mask=valid, max_search_distance=float(width + height))
    return np.ascontiguousarray(heights, dtype=np.float32)
