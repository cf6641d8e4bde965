"""The map pack on disk: everything a drone needs to know of an area, in one folder.

```
area.pack/
  pack.json          what it is, how it was made, and the hash of every other file
  tiles.parquet      GeoParquet: one row a tile, for other programs
  grid.npy           int64 [N]: where each tile lies, see `tiletable`
  vectors.npy        float16 [N, D]: the tiles' embeddings, by footprint, then y, then x
  features/R_C.npy   uint8 [64, 64, K / 2]: descriptors of 64 × 64 cells, see `descriptors`
  surface/R_C.npy    int16 [256, 256]: heights of what the map shows, where known, see `surface`
  imagery/R_C.jpg    the map itself, where it was kept, see `imagery`
  preview.jpg        the map at a glance
  index/…            approximate indexes, where `mobilegeo map index` made some
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
from mobilegeo.maps.descriptors import DescriptorBasis, restored
from mobilegeo.maps.imagery import Imagery, ImageryFacts, imagery_chunk_name
from mobilegeo.maps.integrity import EAGER_BYTES, Integrity
from mobilegeo.maps.patch import Patch
from mobilegeo.maps.record import GRID, PREVIEW, RECORD, VECTORS, read_record
from mobilegeo.maps.runs import Runs
from mobilegeo.maps.surface import Surface, SurfaceFacts, surface_chunk_name
from mobilegeo.maps.tilefile import read_grid
from mobilegeo.maps.tiletable import TileLevel, TileTable
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
        basis: how the encoder's features become the descriptors of this map.
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
        self.basis = DescriptorBasis.from_record(record["features"]["basis"])
        self.feature_extent = CellBox(**record["features"]["extent"])
        self.feature_chunks = frozenset((r, c) for r, c in record["features"]["chunks"])
        self.preview_extent = Extent(**record["preview"])
        # Packs made before there were surfaces and imagery have no such entries.
        surface, imagery = record.get("surface"), record.get("imagery")
        self.surface = None if surface is None else self._open_surface(surface)
        self.imagery = None if imagery is None else self._open_imagery(imagery)
        self.tiles = self._open_tiles()
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
        return self.tiles.level(footprint_m).stride_m

    @property
    def vectors(self) -> np.memmap[Any, np.dtype[np.float16]]:
        """Embeddings of all tiles, float16 [N, D], memory-mapped.

        The first access hashes the whole file, about a second a gigabyte, unless opening did;
        `vectors_of` and `read_vectors` hash only what is asked for.
        """
        self._integrity.check(VECTORS)
        return self._vectors

    def vectors_of(self, rows: Runs) -> np.memmap[Any, np.dtype[np.float16]]:
        """`vectors`, of which only those of some rows are known to be unchanged.

        Raises:
            PackError: the file was changed there.
        """
        row_bytes, offset = self._vectors.itemsize * self._vectors.shape[1], self._vectors.offset
        starts, stops = offset + rows.starts * row_bytes, offset + rows.stops * row_bytes
        self._integrity.check_spans(VECTORS, starts, stops)
        return self._vectors

    def read_vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float16]:
        """Embeddings of some tiles, float16 [len(rows), D]."""
        return np.asarray(self.vectors_of(Runs.of_rows(rows))[rows])

    def file(self, name: str) -> Path:
        """The path of one of the pack's files, which is known to be unchanged.

        Raises:
            PackError: it was changed, or the pack does not list it.
        """
        self._integrity.check(name)
        return self.path / name

    def features(
        self, x0_cell: int, y0_cell: int, width: int, height: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Dense descriptors of a window of cells.

        Args:
            x0_cell: westernmost column.
            y0_cell: southernmost row.
            width: columns.
            height: rows.

        Returns:
            float32 [height, width, K], of unit length, row 0 the *northernmost* (y0_cell + height
            − 1); and bool [height, width], False where the map has no data and the descriptor is 0.
        """
        channels = self.basis.channels
        window = np.zeros((height, width, -(-channels // 2)), np.uint8)
        fill_window(window, x0_cell, y0_cell, CHUNK_CELLS, self.feature_chunks, self._chunk)
        return restored(window, channels)

    @property
    def preview_path(self) -> Path:
        """A JPEG of the map, at most 1024 pixels a side; white where it has no data."""
        return self.file(PREVIEW)

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

    def _open_tiles(self) -> TileTable:
        levels, start = [], 0
        for entry in self._record["tiles"]:
            stop = start + int(entry["count"])
            footprint_m, gsd_m = float(entry["footprint_m"]), float(entry["gsd_m"])
            levels.append(TileLevel(footprint_m, gsd_m, float(entry["stride_m"]), start, stop))
            start = stop
        return TileTable(self.frame, levels, read_grid(self.file(GRID), start))

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

    def _load_chunk(self, row: int, column: int) -> NDArray[np.uint8]:
        name = chunk_name(row, column)
        self._integrity.check(name)
        chunk: NDArray[np.uint8] = np.load(self.path / name, mmap_mode="r")
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
        "descriptor_channels": pack.basis.channels,
        "cell_m": pack.spec.cell_m,
        "feature_chunks": len(pack.feature_chunks),
        "surface": None if pack.surface is None else pack.surface.facts.summary(),
        "imagery": None if pack.imagery is None else asdict(pack.imagery.facts),
        "index": record.get("index"),
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
