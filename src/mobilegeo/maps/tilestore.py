"""Where web-mercator tiles lie: folders of files and MBTiles databases; rows count from the north.

Tiles are addressed as everywhere on the web: zoom z, column x from the west, row y from the north,
2^z of each.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import MapError

EXTENSIONS = ("png", "jpg", "jpeg", "webp", "tif", "tiff")
MAX_ZOOM = 30
_NAME = re.compile(
    rf"(?:^|.*[/-])(\d{{1,10}})[/-](\d{{1,10}})[/-](\d{{1,10}})\.(?:{'|'.join(EXTENSIONS)})",
    re.IGNORECASE,
)

TileKey = tuple[int, int, int]
"""(z, x, y)."""


class TileStore(Protocol):
    """Encoded tiles by address."""

    @property
    def path(self) -> Path:
        """The folder or file."""
        ...

    @property
    def ranges(self) -> dict[int, tuple[int, int, int, int]]:
        """By zoom, the box around the tiles: first and last column, first and last row."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the tiles do."""
        ...

    def load(self, key: TileKey) -> bytes | None:
        """The file's bytes, or `None` where there is no such tile."""
        ...

    def sample(self, zoom: int) -> Iterable[TileKey]:
        """Tiles of a zoom in a fixed order."""
        ...


class FolderTiles:
    """Files named `z/x/y.png` or `anything-x-y-z.png`, at any depth of a folder.

    What a file holds is told from its content, not from its extension.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[TileKey, str] = {}
        for file in _files_below(path):
            key = tile_key(file)
            if key is not None:
                self._files.setdefault(key, file)

    def __len__(self) -> int:
        return len(self._files)

    @cached_property
    def ranges(self) -> dict[int, tuple[int, int, int, int]]:
        """See `TileStore.ranges`."""
        keys = np.array(list(self._files), dtype=np.int64)
        ranges = {}
        for zoom in np.unique(keys[:, 0]):
            x, y = keys[keys[:, 0] == zoom, 1:].T
            ranges[int(zoom)] = (int(x.min()), int(x.max()), int(y.min()), int(y.max()))
        return ranges

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the names, sizes and times of all tiles."""
        digest = hashlib.sha256()
        for file in sorted(self._files.values()):
            stat = (self.path / file).stat()
            digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return f"{self.path.name} {digest.hexdigest()}"

    def load(self, key: TileKey) -> bytes | None:
        """See `TileStore.load`."""
        file = self._files.get(key)
        return None if file is None else (self.path / file).read_bytes()

    def sample(self, zoom: int) -> Iterable[TileKey]:
        """See `TileStore.sample`."""
        return sorted(key for key in self._files if key[0] == zoom)


class MBTiles:
    """An MBTiles database of raster tiles; its rows count from the south and are flipped here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            uri = f"{path.resolve().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._check_format()
            rows = self._db.execute(
                "SELECT zoom_level, MIN(tile_column), MAX(tile_column), MIN(tile_row), "
                "MAX(tile_row) FROM tiles GROUP BY zoom_level"
            ).fetchall()
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        if not rows:
            raise MapError(path, "holds no tiles", "export it again with raster tiles")
        self.ranges = {
            z: (x0, x1, (1 << z) - 1 - y1, (1 << z) - 1 - y0) for z, x0, x1, y0, y1 in rows
        }

    @cached_property
    def fingerprint(self) -> str:
        """Name, size and time of change of the file."""
        stat = self.path.stat()
        return f"{self.path.name} {stat.st_size} {stat.st_mtime_ns}"

    def load(self, key: TileKey) -> bytes | None:
        """See `TileStore.load`."""
        z, x, y = key
        try:
            row = self._db.execute(
                "SELECT tile_data FROM tiles WHERE zoom_level=? AND tile_column=? AND tile_row=?",
                (z, x, (1 << z) - 1 - y),
            ).fetchone()
        except sqlite3.Error as error:
            raise self._damaged(error) from error
        return None if row is None else bytes(row[0])

    def sample(self, zoom: int) -> Iterable[TileKey]:
        """See `TileStore.sample`."""
        rows = self._db.execute(
            "SELECT tile_column, tile_row FROM tiles WHERE zoom_level=? ORDER BY 1, 2", (zoom,)
        )
        return ((zoom, x, (1 << zoom) - 1 - row) for x, row in rows)

    def _check_format(self) -> None:
        first = self._db.execute("SELECT tile_data FROM tiles LIMIT 1").fetchone()
        data = bytes(first[0]) if first else b""
        tables = self._db.execute("SELECT name FROM sqlite_master WHERE name='metadata'").fetchall()
        query = "SELECT value FROM metadata WHERE name='format'"
        named = self._db.execute(query).fetchone() if tables else None
        if data.startswith(b"\x1f\x8b") or (named is not None and named[0] == "pbf"):
            raise MapError(
                self.path,
                "holds vector tiles (pbf), not imagery",
                "give an MBTiles file of raster tiles (png, jpg or webp) made from an orthophoto",
            )

    def _damaged(self, error: Exception) -> MapError:
        return MapError(
            self.path,
            f"is not a readable MBTiles database ({error})",
            "copy it again or export it anew, e.g. with gdal_translate -of MBTiles",
        )


def tile_key(file: str) -> TileKey | None:
    """The address in a relative file name with `/`, or `None` for a file that is no tile.

    `z/x/y.ext` and `text-x-y-z.ext` are told apart by their separators.
    """
    match = _NAME.fullmatch(file)
    if match is None:
        return None
    a, b, c = (int(group) for group in match.groups())
    separators = file[match.end(1)], file[match.end(2)]
    if separators == ("/", "/"):
        z, x, y = a, b, c
    elif separators == ("-", "-"):
        x, y, z = a, b, c
    else:
        return None
    inside = z <= MAX_ZOOM and x < 1 << z and y < 1 << z
    return (z, x, y) if inside else None


def decode_tile(data: bytes) -> NDArray[np.uint8] | str:
    """An encoded tile as uint8 [S, S, 4] RGBA, or in words why it is none."""
    import cv2

    if not _is_whole(data):
        return "is cut short"
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None:
        return "is no readable image"
    if pixels.shape[0] != pixels.shape[1]:
        return f"is not square ({pixels.shape[1]} × {pixels.shape[0]} pixels)"
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        return f"has pixels of type {pixels.dtype}"
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    to_rgba = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
    if channels not in to_rgba:
        return f"has {channels} channels"
    return np.asarray(cv2.cvtColor(pixels, to_rgba[channels]), dtype=np.uint8)


def _is_whole(data: bytes) -> bool:
    """Whether a JPEG or PNG has its end: decoders make grey of what is missing."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in data[-4096:]
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data[-4096:]
    return True


def _files_below(folder: Path) -> Iterable[str]:
    """Relative names with `/` of all files, in a fixed order."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        relative = Path(parent).relative_to(folder).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        for file in sorted(files):
            yield prefix + file
