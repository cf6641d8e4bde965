"""The map pack on disk: everything a drone needs to know of an area, in one folder.

```
area.pack/
  pack.json          what it is, how it was made, and the hash of every other file
  tiles.parquet      GeoParquet: one row a tile
  vectors.npy        float16 [N, D]: the tiles' embeddings, by footprint, then y, then x
  features/R_C.npy   int8 [64, 64, C]: dense descriptors of 64 × 64 cells, see `cells`
  surface/R_C.npy    int16 [256, 256]: heights of what the map shows, where known, see `surface`
  imagery/R_C.jpg    the map itself, where it was kept, see `imagery`
  preview.jpg        the map at a glance
```
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import Encoder, ImageSpec, origin
from mobilegeo.errors import PackError
from mobilegeo.geo import Bounds, LatLon, LocalFrame
from mobilegeo.maps.cells import CHUNK_CELLS, CellBox, chunk_name
from mobilegeo.maps.chunks import fill_window
from mobilegeo.maps.imagery import Imagery, ImageryFacts, imagery_chunk_name
from mobilegeo.maps.integrity import EAGER_BYTES, Integrity
from mobilegeo.maps.patch import Patch
from mobilegeo.maps.record import PREVIEW, RECORD, TILES, VECTORS, read_record
from mobilegeo.maps.surface import Surface, SurfaceFacts, surface_chunk_name
from mobilegeo.maps.tiletable import TileTable, read_tiles
from mobilegeo.maps.tiling import Extent

_CACHED_CHUNKS = 256


class MapPack:
    """An opened pack; made by `MapPack.open`.

    Attributes:
        path: the folder.
        spec: facts about the encoder that made it.
        encoder_id: name and version of the encoder's weights.
        encoder_sha256: hash of the encoder's weights.
        frame: the metric frame of its tiles and cells.
        bounds: the box around the map's imagery, degrees.
        footprints_m: sides of its tiles, metres, ascending.
        tiles: the table of its tiles.
        feature_mean, feature_std: float32 [C] over all cells with data, in the encoder's units.
        feature_extent: the window of cells around all chunks.
        feature_chunks: (row, column) of the chunks that exist.
        preview_extent: what `preview.jpg` shows, in the frame.
        surface: heights of what the map shows; `None` in a pack made without them.
        imagery: the map itself; `None` in a pack made without it.
    """

    def __init__(self, path: Path, record: dict[str, Any], integrity: Integrity) -> None:
        self.path = path
        self._record = record
        self._integrity = integrity
        self.spec = ImageSpec.from_json(json.dumps(record["encoder"]["spec"]), str(path / RECORD))
        self.encoder_id = str(record["encoder"]["id"])
        self.encoder_sha256 = str(record["encoder"]["sha256"])
        self.frame = LocalFrame(LatLon(**record["frame"]["origin"]))
        self.bounds = Bounds(**record["bounds"])
        self.footprints_m = tuple(float(item["footprint_m"]) for item in record["tiles"])
        self.feature_mean = np.array(record["features"]["mean"], dtype=np.float32)
        self.feature_std = np.array(record["features"]["std"], dtype=np.float32)
        self.feature_extent = CellBox(**record["features"]["extent"])
        self.feature_chunks = frozenset((r, c) for r, c in record["features"]["chunks"])
        self.preview_extent = Extent(**record["preview"])
        # Packs made before there were surfaces and imagery have no such entries.
        surface, imagery = record.get("surface"), record.get("imagery")
        self.surface = None if surface is None else self._open_surface(surface)
        self.imagery = None if imagery is None else self._open_imagery(imagery)
        integrity.check(TILES)
        self.tiles: TileTable = read_tiles(path / TILES)
        self._vectors = self._open_vectors()
        self._chunk = lru_cache(maxsize=_CACHED_CHUNKS)(self._load_chunk)

    @classmethod
    def open(cls, path: str | Path, *, encoder: Encoder | None = None) -> MapPack:
        """Opens a pack and checks that it is whole.

        Up to `integrity.EAGER_BYTES` every file is hashed now; in a larger pack each piece of a
        file is hashed when it is first read.

        Args:
            path: the folder.
            encoder: the encoder it will be used with; see `require`.

        Raises:
            PackError: the pack is missing, unfinished, damaged, foreign, of a newer format, or
                was made with another encoder.
        """
        path = Path(path)
        record = read_record(path)
        try:
            integrity = Integrity(path, record["files"])
            integrity.check_sizes()
            if integrity.total_bytes <= EAGER_BYTES:
                integrity.check_all()
            pack = cls(path, record, integrity)
        except (KeyError, TypeError, ValueError) as error:
            raise PackError(
                path / RECORD, f"lacks or garbles an entry ({error!r})", "build the pack again"
            ) from error
        if encoder is not None:
            pack.require(encoder)
        return pack

    def require(self, encoder: Encoder) -> None:
        """Makes sure that an encoder is the one that made the pack, or of the same origin.

        Files of one network in several precisions have one origin, the float32 file.

        Raises:
            PackError: it is another.
        """
        if origin(encoder.sha256, encoder.spec) != origin(self.encoder_sha256, self.spec):
            raise PackError(
                self.path,
                f"was built with encoder {self.encoder_id} ({self.encoder_sha256[:12]}…), not with "
                f"{encoder.spec.model_id} ({encoder.sha256[:12]}…)",
                "use that encoder, or build the map again with this one",
            )

    def stride_m(self, footprint_m: float) -> float:
        """Step from tile to tile of one footprint, metres."""
        steps = {t["footprint_m"]: t["stride_m"] for t in self._record["tiles"]}
        return float(steps[footprint_m])

    @property
    def vectors(self) -> np.memmap[Any, np.dtype[np.float16]]:
        """Embeddings of all tiles, float16 [N, D], memory-mapped.

        The first access hashes the whole file, about a second a gigabyte, unless opening did;
        `read_vectors` hashes only what it reads.
        """
        self._integrity.check(VECTORS)
        return self._vectors

    def read_vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float16]:
        """Embeddings of some tiles, float16 [len(rows), D]."""
        row_bytes = self._vectors.itemsize * self._vectors.shape[1]
        for first, last in _runs(np.unique(rows)):
            start = self._vectors.offset + first * row_bytes
            self._integrity.check(VECTORS, start, start + (last + 1 - first) * row_bytes)
        return np.asarray(self._vectors[rows])

    def features(
        self, x0_cell: int, y0_cell: int, width: int, height: int
    ) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Dense descriptors of a window of cells.

        Args:
            x0_cell: westernmost column.
            y0_cell: southernmost row.
            width: columns.
            height: rows.

        Returns:
            int8 [height, width, C], row 0 the *northernmost* (y0_cell + height − 1), times
            `cells.FEATURE_STEP` in the encoder's units; and bool [height, width], False where the
            map has no data and the descriptor is 0.
        """
        window = np.zeros((height, width, self.spec.feature_dim), np.int8)
        fill_window(window, x0_cell, y0_cell, CHUNK_CELLS, self.feature_chunks, self._chunk)
        return window, np.asarray(window.any(axis=2))

    @property
    def preview_path(self) -> Path:
        """A JPEG of the map, at most 1024 pixels a side; white where it has no data."""
        self._integrity.check(PREVIEW)
        return self.path / PREVIEW

    @property
    def record(self) -> dict[str, Any]:
        """What pack.json says, as read."""
        return self._record

    def verify(self) -> int:
        """Hashes every file that was not hashed before.

        Returns:
            The size of all files, bytes.

        Raises:
            PackError: a file was changed.
        """
        self._integrity.check_all()
        return self._integrity.total_bytes + (self.path / RECORD).stat().st_size

    def _open_vectors(self) -> np.memmap[Any, np.dtype[np.float16]]:
        vectors = np.load(self.path / VECTORS, mmap_mode="r")
        if (
            vectors.shape != (len(self.tiles), self.spec.embedding_dim)
            or vectors.dtype != np.float16
        ):
            raise PackError(
                self.path / VECTORS,
                f"holds {vectors.dtype} {list(vectors.shape)} instead of float16 "
                f"[{len(self.tiles)}, {self.spec.embedding_dim}]",
                "build the pack again",
            )
        assert isinstance(vectors, np.memmap)
        return vectors

    def _open_surface(self, record: dict[str, Any]) -> Surface:
        def load(row: int, column: int) -> NDArray[np.int16]:
            name = surface_chunk_name(row, column)
            self._integrity.check(name)
            chunk: NDArray[np.int16] = np.load(self.path / name)
            return chunk

        return Surface(SurfaceFacts.from_record(record), load)

    def _open_imagery(self, record: dict[str, Any]) -> Imagery:
        def load(row: int, column: int) -> Patch:
            import cv2

            name = imagery_chunk_name(row, column)
            self._integrity.check(name)
            data = np.fromfile(self.path / name, np.uint8)
            image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            stride = self.spec.feature_stride_px
            known = self._chunk(row, column).any(axis=2)
            valid = known.repeat(stride, axis=0).repeat(stride, axis=1)
            return Patch(np.asarray(image, dtype=np.uint8), valid)

        return Imagery(ImageryFacts.from_record(record), self.spec, self.feature_chunks, load)

    def _load_chunk(self, row: int, column: int) -> NDArray[np.int8]:
        name = chunk_name(row, column)
        self._integrity.check(name)
        chunk: NDArray[np.int8] = np.load(self.path / name, mmap_mode="r")
        return chunk


def pack_info(pack: MapPack) -> dict[str, Any]:
    """Facts for `mobilegeo map info --json`; hashes all files.

    Raises:
        PackError: a file was changed.
    """
    size = pack.verify()
    record, box = pack.record, pack.bounds
    return {
        "path": str(pack.path),
        "bounds": {"south": box.south, "west": box.west, "north": box.north, "east": box.east},
        "footprints_m": list(pack.footprints_m),
        "tiles": len(pack.tiles),
        "tiles_per_footprint": {f"{t['footprint_m']:g}": t["count"] for t in record["tiles"]},
        "encoder": {"id": pack.encoder_id, "sha256": pack.encoder_sha256},
        "embedding_dim": pack.spec.embedding_dim,
        "feature_dim": pack.spec.feature_dim,
        "cell_m": pack.spec.cell_m,
        "feature_chunks": len(pack.feature_chunks),
        "surface": None if pack.surface is None else pack.surface.facts.summary(),
        "imagery": None if pack.imagery is None else asdict(pack.imagery.facts),
        "area_km2": record["area_km2"],
        "bytes": size,
        "bytes_per_km2": round(size / record["area_km2"]),
        "hashes_verified": True,
        "format_version": record["format_version"],
        "created": record["created"],
        "created_by": record["created_by"],
        "sources": record["sources"],
        "notes": record["notes"],
    }


def _runs(rows: NDArray[np.integer[Any]]) -> list[tuple[int, int]]:
    """First and last of every run of neighbouring numbers in an ascending array."""
    breaks = np.flatnonzero(np.diff(rows) > 1)
    first = np.concatenate([rows[:1], rows[breaks + 1]])
    last = np.concatenate([rows[breaks], rows[-1:]])
    return list(zip(first.tolist(), last.tolist(), strict=True))
