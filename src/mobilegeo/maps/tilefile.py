"""The tiles of a pack on disk: GeoParquet for everyone, and `grid.npy` to be read at once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import PackError
from mobilegeo.geo import Array
from mobilegeo.maps.tiletable import Tiles, TileTable

_COLUMNS = (
    "lat", "lon", "x_m", "y_m", "footprint_m", "gsd_m", "south", "west", "north", "east",
)  # fmt: skip
_WKB_POINT = np.dtype([("little_endian", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
_BATCH = 65_536


def write_tiles(table: TileTable, path: Path) -> None:
    """Writes the table as GeoParquet 1.1: points in WGS84, and columns of float64.

    The columns are `row`, centres (`lat`, `lon`, `x_m`, `y_m`), `footprint_m`, `gsd_m`, and the
    boxes in degrees around the tiles' corners (`south`, `west`, `north`, `east`).
    """
    from arro3.core import DataType, Field, RecordBatchReader, Schema
    from arro3.io import write_parquet

    fields = [Field("row", DataType.int64(), nullable=False)]
    fields += [Field(name, DataType.float64(), nullable=False) for name in _COLUMNS]
    fields += [Field("geometry", DataType.binary(), nullable=False)]
    metadata = json.dumps(_geo_metadata(table))
    schema = Schema(fields, metadata={"geo": metadata})
    batches = RecordBatchReader.from_batches(schema, _batches(table, schema))
    content = io.BytesIO()  # given a path, arro3 panics when the disk is full
    write_parquet(batches, content, compression="zstd(3)", key_value_metadata={"geo": metadata})
    path.write_bytes(content.getbuffer())


def read_grid(path: Path, count: int) -> NDArray[np.int64]:
    """Opens grid.npy, memory-mapped.

    Raises:
        PackError: it is no such array, or not of `count` tiles.
    """
    try:
        keys = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise PackError(path, f"is no readable array ({error})", "build the pack again") from error
    if keys.shape != (count,) or keys.dtype != np.int64:
        found = f"{keys.dtype} {list(keys.shape)}"
        raise PackError(path, f"holds {found} instead of int64 [{count}]", "build the pack again")
    return np.asarray(keys)


def _batches(table: TileTable, schema: Any) -> Iterator[Any]:
    """The table as record batches, so that its columns are never in memory as a whole."""
    from arro3.core import Array as ArrowArray
    from arro3.core import DataType, RecordBatch

    for rows, tiles in _pieces(table):
        south, west, north, east = tiles.boxes
        columns = [rows, tiles.lat, tiles.lon, tiles.x_m, tiles.y_m]
        columns += [tiles.footprint_m, tiles.gsd_m, south, west, north, east]
        arrays = [ArrowArray.from_numpy(np.ascontiguousarray(column)) for column in columns]
        arrays += [ArrowArray(_wkb(tiles.lon, tiles.lat), type=DataType.binary())]
        yield RecordBatch.from_arrays(arrays, schema=schema)


def _pieces(table: TileTable) -> Iterator[tuple[NDArray[np.int64], Tiles]]:
    for start in range(0, len(table), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(table)))
        yield rows, table.at(rows)


def _wkb(x: Array, y: Array) -> list[bytes]:
    points = np.zeros(len(x), _WKB_POINT)
    points["little_endian"], points["type"], points["x"], points["y"] = 1, 1, x, y
    data = points.tobytes()
    size = _WKB_POINT.itemsize
    return [data[start : start + size] for start in range(0, len(data), size)]


def _geo_metadata(table: TileTable) -> dict[str, Any]:
    """The `geo` entry; without `crs`, GeoParquet means longitude and latitude on WGS84."""
    corners = [(t.lon.min(), t.lat.min(), t.lon.max(), t.lat.max()) for _, t in _pieces(table)]
    west, south, east, north = np.array(corners).T
    column = {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "bbox": [float(v) for v in (west.min(), south.min(), east.max(), north.max())],
    }
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
