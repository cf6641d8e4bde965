"""Opens what a user calls a map: rasters, folders of rasters or tiles, MBTiles, several as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, reduce
from pathlib import Path

from mobilegeo.errors import MapError
from mobilegeo.geo import Bounds, LocalFrame
from mobilegeo.maps.patch import MapSource, Patch, first_valid
from mobilegeo.maps.raster import RasterSource
from mobilegeo.maps.tilestore import FolderTiles, MBTiles
from mobilegeo.maps.xyz import TileSource

RASTER_EXTENSIONS = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".jpg", ".jpeg", ".png", ".webp")
"""Files of a folder that are taken for rasters when the folder holds no tiles."""


class Mosaic:
    """Several maps as one: the first wins where they overlap, later ones fill its holes."""

    def __init__(self, sources: Sequence[MapSource]) -> None:
        self._sources = tuple(sources)
        self.names = tuple(name for source in sources for name in source.names)

    @cached_property
    def bounds(self) -> Bounds:
        """The box around all of them."""
        return reduce(Bounds.union, (source.bounds for source in self._sources))

    @cached_property
    def gsd_m(self) -> float:
        """The finest of them."""
        return min(source.gsd_m for source in self._sources)

    @property
    def warnings(self) -> list[str]:
        """Those of all of them."""
        return [warning for source in self._sources for warning in source.warnings]

    @property
    def fingerprint(self) -> str:
        """Those of all of them."""
        return "\n".join(source.fingerprint for source in self._sources)

    def read(
        self, frame: LocalFrame, x_m: float, y_m: float, gsd_m: float, width: int, height: int
    ) -> Patch:
        """See `MapSource.read`."""
        corners = [
            (x_m + i * width * gsd_m, y_m - j * height * gsd_m) for i in (0, 1) for j in (0, 1)
        ]
        near = [source for source in self._sources if _may_touch(source, frame, corners)]
        layers = (source.read(frame, x_m, y_m, gsd_m, width, height) for source in near)
        return first_valid(layers, width, height)


def open_map(paths: Sequence[str | Path]) -> MapSource:
    """Opens one or several rasters, folders or MBTiles files as one map.

    A folder may hold web-mercator tiles, named `z/x/y.png` or `name-x-y-z.png` at any depth, or
    georeferenced rasters. Where maps overlap, the one listed first wins; later ones fill its holes.

    Raises:
        MapError: a file is missing, damaged or has no georeference.
    """
    sources = [source for path in paths for source in _open(Path(path))]
    if not sources:
        raise MapError("map", "no file was given", "name at least one raster or tile folder")
    return sources[0] if len(sources) == 1 else Mosaic(sources)


def _open(path: Path) -> list[MapSource]:
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise MapError(path, "there is no such file or folder", "check the path")
    if path.suffix.lower() == ".mbtiles":
        return [TileSource(MBTiles(path))]
    return [RasterSource(path)]


def _open_folder(path: Path) -> list[MapSource]:
    tiles = FolderTiles(path)
    if len(tiles):
        return [TileSource(tiles)]
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in RASTER_EXTENSIONS)
    if not files:
        raise MapError(
            path,
            "the folder holds neither rasters nor tiles named z/x/y.png or name-x-y-z.png",
            "give a georeferenced raster, such a folder or an MBTiles file",
        )
    return [RasterSource(file) for file in files]


def _may_touch(source: MapSource, frame: LocalFrame, corners: list[tuple[float, float]]) -> bool:
    """Whether the window's box in degrees touches the map's; a window spans too little to bend."""
    points = [frame.point(*corner) for corner in corners]
    box = source.bounds
    margin = 1e-6
    return not (
        max(p.lat for p in points) < box.south - margin
        or min(p.lat for p in points) > box.north + margin
        or max(p.lon for p in points) < box.west - margin
        or min(p.lon for p in points) > box.east + margin
    )
