"""Web-mercator tiles (XYZ folders, MBTiles) as a map."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MapError
from mobilegeo.geo import Array, Bounds, LatLon, LocalFrame
from mobilegeo.maps.patch import Patch, bounds_around, first_valid, pixel_side_m
from mobilegeo.maps.tilestore import TileKey, TileStore, decode_tile

CACHE_BYTES = 96 << 20
"""Decoded tiles kept in memory."""
GRID_PX = 32
"""The exact projection is computed every so many pixels of a window and interpolated linearly
between; the curvature that this neglects is below 0.02 px even at 1 km a pixel."""
BLOCK_PX = 2048
"""Windows are warped in blocks of at most this side, which bounds the memory."""


class TileSource:
    """Tiles of a store, warped into the local frame.

    The zoom is the coarsest that is at least as fine as the window; its holes are filled from the
    finer zooms, nearest first, then from the coarser ones. Tiles much finer than the window are
    averaged down by a power of two before they are interpolated linearly. Only transparency counts
    as missing. A tile that cannot be decoded counts as missing too and is named in `warnings`.
    """

    def __init__(self, store: TileStore) -> None:
        self._store = store
        self._cache: OrderedDict[tuple[TileKey, int], NDArray[np.uint8] | None] = OrderedDict()
        self._cached_bytes = 0
        self.names = (store.path.name,)
        self.warnings: list[str] = []
        sides = {zoom: self._side_of_first(zoom) for zoom in sorted(store.ranges)}
        self._side_px = {zoom: side for zoom, side in sides.items() if side is not None}
        if not self._side_px:
            first = self.warnings[0] if self.warnings else "no tile"
            raise MapError(
                store.path,
                f"none of its tiles can be decoded ({first})",
                "fetch or export the tiles again as PNG, JPEG or WebP",
            )

    @property
    def fingerprint(self) -> str:
        """Of the tiles' files."""
        return self._store.fingerprint

    @cached_property
    def bounds(self) -> Bounds:
        """The box around the tiles of all zooms."""
        corners = np.array(
            [
                (x / 2**zoom, y / 2**zoom)
                for zoom in self._side_px
                for x0, x1, y0, y1 in [self._store.ranges[zoom]]
                for x, y in ((x0, y0), (x1 + 1, y1 + 1))
            ]
        )
        return bounds_around(*mercator_to_degrees(*corners.T), str(self._store.path))

    @cached_property
    def gsd_m(self) -> float:
        """Side of a pixel of the finest zoom at the map's centre, true metres."""
        return self._zoom_gsd_m(max(self._side_px), self.bounds.centre)

    def read(
        self, frame: LocalFrame, x_m: float, y_m: float, gsd_m: float, width: int, height: int
    ) -> Patch:
        """See `MapSource.read`."""
        result = Patch.empty(width, height)
        for top in range(0, height, BLOCK_PX):
            for left in range(0, width, BLOCK_PX):
                w, h = min(BLOCK_PX, width - left), min(BLOCK_PX, height - top)
                x, y = x_m + left * gsd_m, y_m - top * gsd_m
                block = first_valid(self._layers(frame, x, y, gsd_m, w, h), w, h)
                result.image[top : top + h, left : left + w] = block.image
                result.valid[top : top + h, left : left + w] = block.valid
        return result

    def _layers(
        self, frame: LocalFrame, x_m: float, y_m: float, gsd_m: float, width: int, height: int
    ) -> Iterator[Patch]:
        """The window from each zoom, the best first."""
        columns, rows = _grid(width), _grid(height)
        x, y = np.meshgrid(x_m + (columns + 0.5) * gsd_m, y_m - (rows + 0.5) * gsd_m)
        u, v = degrees_to_mercator(*frame.to_degrees(x, y))
        centre = frame.point(x_m + width / 2 * gsd_m, y_m - height / 2 * gsd_m)
        zooms = {zoom: self._zoom_gsd_m(zoom, centre) for zoom in self._side_px}
        finer = sorted(zoom for zoom, own in zooms.items() if own <= 1.001 * gsd_m)
        coarser = sorted((zoom for zoom in zooms if zoom not in finer), reverse=True)
        for zoom in finer + coarser:
            shrink = 1 << max(0, int(np.log2(1.001 * gsd_m / zooms[zoom])))
            shrink = min(shrink, 1 << (self._side_px[zoom].bit_length() - 1))
            tile_px = self._side_px[zoom] // shrink
            world_px = tile_px * 2.0**zoom
            canvas, left, top = self._canvas(zoom, shrink, u * world_px, v * world_px)
            if canvas is None:
                continue
            map_x = _interpolated(u * world_px - left - 0.5, rows, columns, height, width)
            map_y = _interpolated(v * world_px - top - 0.5, rows, columns, height, width)
            yield _remapped(canvas, map_x, map_y)

    def _canvas(
        self, zoom: int, shrink: int, u_px: Array, v_px: Array
    ) -> tuple[NDArray[np.uint8] | None, int, int]:
        """The tiles around points of the shrunk world, with the canvas's left and top edge.

        Returns:
            uint8 [H, W, 4] RGBA with colours multiplied by alpha, or `None` where no tile is.
        """
        side = self._side_px[zoom] // shrink
        first_x, last_x, first_y, last_y = self._store.ranges[zoom]
        x0, x1 = _span(u_px, side, first_x, last_x)
        y0, y1 = _span(v_px, side, first_y, last_y)
        canvas = None
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                tile = self._tile((zoom, x, y), shrink)
                if tile is None:
                    continue
                if canvas is None:
                    canvas = np.zeros(((y1 - y0 + 1) * side, (x1 - x0 + 1) * side, 4), np.uint8)
                top, left = (y - y0) * side, (x - x0) * side
                canvas[top : top + side, left : left + side] = tile
        return canvas, x0 * side, y0 * side

    def _tile(self, key: TileKey, shrink: int) -> NDArray[np.uint8] | None:
        """One tile, averaged down, uint8 [s, s, 4] with colours multiplied by alpha; cached."""
        if (key, shrink) in self._cache:
            self._cache.move_to_end((key, shrink))
            return self._cache[key, shrink]
        pixels = self._decoded(key)
        side = self._side_px[key[0]] // shrink
        tile = None if pixels is None else _premultiplied(pixels, side)
        self._cache[key, shrink] = tile
        self._cached_bytes += 0 if tile is None else tile.nbytes
        while self._cached_bytes > CACHE_BYTES:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= 0 if oldest is None else oldest.nbytes
        return tile

    def _decoded(self, key: TileKey) -> NDArray[np.uint8] | None:
        data = self._store.load(key)
        if data is None:
            return None
        pixels = decode_tile(data)
        if not isinstance(pixels, str):
            return pixels
        z, x, y = key
        warning = f"{self._store.path.name}: tile z={z} x={x} y={y} {pixels}; left out"
        if warning not in self.warnings:
            self.warnings.append(warning)
        return None

    def _side_of_first(self, zoom: int) -> int | None:
        """Side in pixels of the first tile of a zoom that can be decoded."""
        for key in self._store.sample(zoom):
            pixels = self._decoded(key)
            if pixels is not None:
                return int(pixels.shape[0])
        return None

    def _zoom_gsd_m(self, zoom: int, at: LatLon) -> float:
        u, v = degrees_to_mercator(np.array(at.lat), np.array(at.lon))
        step = 1.0 / 2**zoom
        lat, lon = mercator_to_degrees(u + np.array([0, step, 0]), v + np.array([0, 0, step]))
        return pixel_side_m(lat, lon) / self._side_px[zoom]


def degrees_to_mercator(lat: Array, lon: Array) -> tuple[Array, Array]:
    """Degrees to the web-mercator square, 0 … 1 from the west and from the north.

    Web mercator projects WGS84 latitudes as if the earth were a sphere; that is its definition
    (EPSG:3857), so the formulas are exact.
    """
    phi = np.radians(np.clip(lat, -89.9, 89.9))
    return np.asarray(lon) / 360.0 + 0.5, 0.5 - np.arcsinh(np.tan(phi)) / (2.0 * np.pi)


def mercator_to_degrees(u: Array, v: Array) -> tuple[Array, Array]:
    """The inverse of `degrees_to_mercator`: (lat, lon) in degrees."""
    lat = np.degrees(np.arctan(np.sinh((0.5 - np.asarray(v)) * 2.0 * np.pi)))
    return lat, (np.asarray(u) - 0.5) * 360.0


def _span(position_px: Array, side: int, first: int, last: int) -> tuple[int, int]:
    """First and last tile that interpolation at these positions touches, within what exists."""
    low, high = np.floor((position_px.min() - 1) / side), np.floor((position_px.max() + 1) / side)
    return max(first, int(low)), min(last, int(high))


def _premultiplied(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import cv2

    if not pixels[..., 3].all():
        pixels = np.where(pixels[..., 3:] > 0, pixels, 0)
    pixels[..., 3] = np.where(pixels[..., 3] > 0, 255, 0)
    if pixels.shape[0] != side:
        shrinks = pixels.shape[0] > side
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, (side, side), interpolation=method)
    return pixels


def _remapped(canvas: NDArray[np.uint8], map_x: Array, map_y: Array) -> Patch:
    import cv2

    warped = cv2.remap(canvas, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR)
    alpha = warped[..., 3]
    valid = alpha >= 128
    image = np.where(valid[..., None], warped[..., :3], 0)
    edge = valid & (alpha < 255)
    image[edge] = np.minimum(255, image[edge] * (255.0 / alpha[edge, None])).astype(np.uint8)
    return Patch(image, valid)


def _grid(size: int) -> Array:
    """Pixel indices from the first to the last at most `GRID_PX` apart, at least two."""
    return np.linspace(0.0, max(size - 1, 1), 2 + (max(size - 1, 1) - 1) // GRID_PX)


def _interpolated(coarse: Array, rows: Array, columns: Array, height: int, width: int) -> Array:
    """Bilinear interpolation from grid points to every pixel, float64 [height, width]."""
    down = np.stack([np.interp(np.arange(height), rows, row) for row in np.eye(len(rows))])
    across = np.stack([np.interp(np.arange(width), columns, row) for row in np.eye(len(columns))])
    return np.asarray(down.T @ coarse @ across)
