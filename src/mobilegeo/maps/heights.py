"""A digital surface model: a raster file of heights, read as metres onto the surface's grid."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MapError, UsageError
from mobilegeo.geo import LocalFrame
from mobilegeo.maps.raster import RasterSource
from mobilegeo.maps.surface import SURFACE_CELL_M, SURFACE_CHUNK_CELLS

UNITS_M = {
    "m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0,
    "ft": 0.3048, "foot": 0.3048, "feet": 0.3048,
    "us-ft": 1200 / 3937, "us survey foot": 1200 / 3937, "us_survey_foot": 1200 / 3937,
}  # fmt: skip
"""Names of units of height, in metres."""

HEIGHTS_ON_EARTH_M = (-500.0, 9000.0)
_OVERVIEW_PX = 512


class HeightSource:
    """One raster of heights, of any coordinate system, resolution and datum.

    Args:
        path: the file; several files make one with gdalbuildvrt.
        unit: unit of its values, a key of `UNITS_M`; what the file says, metres if nothing, when
            `None`.

    Raises:
        MapError: the file is no georeferenced raster of heights.
        UsageError: the unit has another name.
    """

    def __init__(self, path: str | Path, unit: str | None = None) -> None:
        self._path = Path(path)
        if not self._path.exists():
            raise MapError(path, "there is no such file", "check the path of the surface model")
        if unit is not None and unit not in UNITS_M:
            raise UsageError(f"unit {unit}", "is not known", f"give one of {', '.join(UNITS_M)}")
        self._raster = RasterSource(self._path)
        dataset = self._raster.dataset
        _check_band(self._path, dataset)
        step_m = UNITS_M[unit] if unit is not None else _own_unit_m(self._path, dataset)
        self._scale, self._offset = step_m * dataset.scales[0], step_m * dataset.offsets[0]
        self.name = self._path.name
        self.fingerprint = f"{self._raster.fingerprint} {self._scale} {self._offset}"

    @cached_property
    def base_m(self) -> float:
        """A whole number of metres near the middle of its heights."""
        import rasterio

        dataset = self._raster.dataset
        shrink = max(1.0, max(dataset.width, dataset.height) / _OVERVIEW_PX)
        shape = (max(1, round(dataset.height / shrink)), max(1, round(dataset.width / shrink)))
        try:
            values = dataset.read(1, out_shape=shape)
            valid = dataset.dataset_mask(out_shape=shape) > 0
        except rasterio.errors.RasterioError as error:
            raise MapError(self._path, f"cannot be read ({error})", "copy it again") from error
        heights = self._metres(values, valid)
        known = heights[np.isfinite(heights)]
        if not known.size:
            raise MapError(self._path, "holds no height", "give a surface model with data")
        return float(np.round(np.median(known)))

    def chunk(self, frame: LocalFrame, row: int, column: int) -> NDArray[np.float32]:
        """Heights of one chunk of the surface, float32 [256, 256] metres, NaN without data."""
        side_m, cells = SURFACE_CHUNK_CELLS * SURFACE_CELL_M, SURFACE_CHUNK_CELLS
        west_m, north_m = column * side_m, (row + 1) * side_m
        return self.window(frame, west_m, north_m, SURFACE_CELL_M, cells, cells)

    def window(
        self, frame: LocalFrame, x_m: float, y_m: float, cell_m: float, width: int, height: int
    ) -> NDArray[np.float32]:
        """Heights of a window as of `MapSource.read`, float32 [H, W] metres, NaN without data."""
        bands, valid = self._raster.values(frame, x_m, y_m, cell_m, width, height)
        return self._metres(bands[0], valid)

    def _metres(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        heights = np.asarray(values * self._scale + self._offset, dtype=np.float32)
        heights[~(valid & np.isfinite(heights))] = np.nan
        low, high = HEIGHTS_ON_EARTH_M
        wild = heights[(heights < low) | (heights > high)]
        if wild.size:
            raise MapError(
                self._path,
                f"holds a height of {wild[0]:g} m",
                "if that stands for no data, say so with gdal_edit.py -a_nodata VALUE",
            )
        return heights


def _check_band(path: Path, dataset: Any) -> None:
    from rasterio.enums import ColorInterp

    roles = list(dataset.colorinterp)
    if len(roles) - (roles[-1] == ColorInterp.alpha) != 1 or roles[0] == ColorInterp.palette:
        raise MapError(
            path,
            f"holds {len(roles)} bands of {roles[0].name}, not one of heights",
            "give the surface model (DSM), not an image of it",
        )


def _own_unit_m(path: Path, dataset: Any) -> float:
    """The unit that the file names, of the band or of a vertical coordinate system, in metres."""
    from pyproj import CRS

    named = dataset.units[0]
    if named:
        if named.lower() not in UNITS_M:
            raise MapError(
                path, f"gives heights in {named}", "name a known unit with --dsm-unit m or ft"
            )
        return UNITS_M[named.lower()]
    parts = CRS.from_wkt(dataset.crs.to_wkt()).sub_crs_list
    vertical = [part for part in parts if part.is_vertical]
    return float(vertical[0].axis_info[0].unit_conversion_factor) if vertical else 1.0
