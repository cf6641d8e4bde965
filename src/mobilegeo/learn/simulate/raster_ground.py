"""A georeferenced map, with its surface model if there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MapError, UsageError
from mobilegeo.geo import LatLon, LocalFrame
from mobilegeo.learn.simulate.ground import Site, flat, is_place
from mobilegeo.learn.simulate.settings import NOMINAL_FOOTPRINT_M, Settings
from mobilegeo.maps import open_map
from mobilegeo.maps.raster import RasterSource
from mobilegeo.world.scene import Scene

_LOOK_PX = 48
"""Side at which a site is judged to be a place."""
_SURFACE_GSD_M = 0.5
"""Surface models are read at this resolution or the map's, whichever is coarser."""


class RasterGround:
    """Rasters, XYZ folders or MBTiles as one map.

    Places lie on a grid, side by side. The map is cut in two along its longer axis; on either side
    of the cut places are left out as far as views reach, so that no test view shows ground that a
    training view shows.

    Args:
        paths: as for `open_map`.
        dsm: surface model in metres, of any projection; None takes the ground for flat.

    Raises:
        MapError: a file is missing, damaged or has no georeference.
    """

    def __init__(self, paths: Sequence[Path], dsm: Path | None = None) -> None:
        self._map = open_map(paths)
        self._dsm = None if dsm is None else _open_dsm(dsm)
        self._frame = LocalFrame(self._map.bounds.centre)
        self.name = " ".join([*self._map.names, *([dsm.name] if dsm else [])])

    def sites(self, settings: Settings) -> list[Site]:
        """See `Ground.sites`."""
        side_m = settings.footprint_m or NOMINAL_FOOTPRINT_M
        centres = [
            (x, y)
            for x, y in self._grid(side_m, settings.reach * side_m)
            if self._is_place(x, y, side_m)
        ]
        if not centres:
            raise MapError(
                self.name,
                f"has no place of {side_m:g} m: it is too small for the views, empty or without "
                "anything to recognise",
                "give a larger map or a smaller --footprint-m",
            )
        points = np.array(centres)
        along = points[:, int(np.ptp(points[:, 1]) > np.ptp(points[:, 0]))]
        cut = float(np.quantile(along, 1.0 - settings.test_share))
        gap_m = settings.reach * side_m if settings.test_share > 0.0 else 0.0
        return [
            Site(x, y, side_m, 0, test=bool(where > cut))
            for (x, y), where in zip(centres, along, strict=True)
            if settings.test_share == 0.0 or abs(where - cut) >= gap_m
        ]

    def scene(self, site: Site, reach_m: float, gsd_m: float) -> Scene:
        """See `Ground.scene`."""
        gsd_m = max(gsd_m, self._map.gsd_m)
        side = math.ceil(2.0 * reach_m / gsd_m)
        half_m = side * gsd_m / 2.0
        patch = self._map.read(self._frame, site.x_m - half_m, site.y_m + half_m, gsd_m, side, side)
        ortho = patch.image
        if self._dsm is None:
            return flat(ortho, gsd_m, -half_m, half_m)
        cells = max(2, round(2.0 * half_m / max(gsd_m, _SURFACE_GSD_M)))
        surface = self._surface(
            self._dsm, site.x_m - half_m, site.y_m + half_m, 2.0 * half_m / cells, cells
        )
        return Scene(ortho, surface, gsd_m, -half_m, half_m)

    def position(self, site: Site, east_m: float, north_m: float) -> LatLon | None:
        """See `Ground.position`."""
        return self._frame.point(site.x_m + east_m, site.y_m + north_m)

    def convergence_deg(self, site: Site) -> float:
        """See `Ground.convergence_deg`."""
        return self._frame.convergence_deg(self._frame.point(site.x_m, site.y_m))

    def _grid(self, side_m: float, reach_m: float) -> list[tuple[float, float]]:
        """Centres side by side, as far from the map's box as views reach."""
        box = self._map.bounds
        corners = [
            self._frame.xy(LatLon(lat, lon))
            for lat in (box.south, box.north)
            for lon in (box.west, box.east)
        ]
        axes = []
        for values in zip(*corners, strict=True):
            low, high = min(values) + reach_m, max(values) - reach_m
            count = 1 + math.floor((high - low) / side_m) if high >= low else 0
            margin = (high - low - (count - 1) * side_m) / 2.0
            axes.append([low + margin + k * side_m for k in range(count)])
        return [(x, y) for y in reversed(axes[1]) for x in axes[0]]

    def _is_place(self, x_m: float, y_m: float, side_m: float) -> bool:
        patch = self._map.read(
            self._frame, x_m - side_m / 2, y_m + side_m / 2, side_m / _LOOK_PX, _LOOK_PX, _LOOK_PX
        )
        return is_place(patch.image, patch.valid)

    def _surface(
        self, dsm: RasterSource, x_m: float, y_m: float, gsd_m: float, cells: int
    ) -> NDArray[np.float32]:
        """Heights of a window, float32 [cells, cells], holes filled from their rims."""
        bands, valid = dsm.values(self._frame, x_m, y_m, gsd_m, cells, cells)
        heights = np.where(valid, bands[0], np.nan).astype(np.float32)
        if not np.isfinite(heights).any():
            raise UsageError(
                dsm.dataset.name,
                "has no heights where the map has imagery",
                "give that of the same area",
            )
        return without_holes(heights)


def without_holes(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Heights, float32 [H, W], with holes (NaN) filled from their rims."""
    from rasterio.fill import fillnodata

    known = np.isfinite(heights)
    if not known.all():
        heights = fillnodata(heights, mask=known, max_search_distance=2.0 * max(heights.shape))
    return np.ascontiguousarray(heights, np.float32)


def _open_dsm(path: Path) -> RasterSource:
    """Opens a surface model; an image of one in colours would be taken for mountains."""
    source = RasterSource(path)
    if source.dataset.count > 2:  # heights, and perhaps a mask
        raise MapError(
            path,
            f"has {source.dataset.count} bands, a surface model has one of heights",
            "give the surface model itself, not an image",
        )
    return source
