"""The table of a pack's tiles: columns as arrays in memory, GeoParquet on disk."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mobilegeo.errors import PackError
from mobilegeo.geo import Array, Bounds, LatLon, LocalFrame
from mobilegeo.maps.tiling import Tile

_COLUMNS = (
    "lat", "lon", "x_m", "y_m", "footprint_m", "gsd_m", "south", "west", "north", "east",
)  # fmt: skip
_WKB_POINT = np.dtype([("little_endian", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


@dataclass(frozen=True)
class TileTable:
    """All tiles of a pack, one row each, in the order of its vectors; float64 [N] each.

    Attributes:
        lat, lon: centres, degrees.
        x_m, y_m: centres in the pack's frame, metres.
        footprint_m: sides, metres.
        gsd_m: metres a pixel at which they were embedded.
        south, west, north, east: boxes in degrees around their corners.
    """

    lat: Array
    lon: Array
    x_m: Array
    y_m: Array
    footprint_m: Array
    gsd_m: Array
    south: Array
    west: Array
    north: Array
    east: Array

    @classmethod
    def from_centres(
        cls, frame: LocalFrame, x_m: Array, y_m: Array, footprint_m: Array, gsd_m: Array
    ) -> TileTable:
        """The table of tiles with these centres and sides in the frame, float64 [N] each."""
        lat, lon = frame.to_degrees(x_m, y_m)
        signs = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])
        corners = [frame.to_degrees(x_m + i * footprint_m, y_m + j * footprint_m) for i, j in signs]
        lats, lons = (np.stack(values) for values in zip(*corners, strict=True))
        box = (lats.min(0), lons.min(0), lats.max(0), lons.max(0))
        return cls(lat, lon, x_m, y_m, footprint_m, gsd_m, *box)

    def __len__(self) -> int:
        return len(self.lat)

    @cached_property
    def bounds(self) -> Bounds:
        """The box around all tiles."""
        return Bounds(
            float(self.south.min()),
            float(self.west.min()),
            float(self.north.max()),
            float(self.east.max()),
        )

    def tile(self, row: int) -> Tile:
        """One row as a record."""
        box = (float(column[row]) for column in (self.south, self.west, self.north, self.east))
        return Tile(
            bounds=Bounds(*box),
            centre=LatLon(float(self.lat[row]), float(self.lon[row])),
            footprint_m=float(self.footprint_m[row]),
            gsd_m=float(self.gsd_m[row]),
            row=int(row),
        )


def write_tiles(table: TileTable, path: Path) -> None:
    """Writes the table as GeoParquet 1.1: points in WGS84 and the columns of `TileTable`."""
    from arro3.core import Array as ArrowArray
    from arro3.core import DataType, Field, Schema, Table
    from arro3.io import write_parquet

    columns = {"row": np.arange(len(table), dtype=np.int64)}
    columns |= {name: np.ascontiguousarray(getattr(table, name)) for name in _COLUMNS}
    fields = [Field("row", DataType.int64(), nullable=False)]
    fields += [Field(name, DataType.float64(), nullable=False) for name in _COLUMNS]
    fields += [Field("geometry", DataType.binary(), nullable=False)]
    arrays = [ArrowArray.from_numpy(values) for values in columns.values()]
    arrays += [ArrowArray(_wkb(table.lon, table.lat), type=DataType.binary())]
    metadata = json.dumps(_geo_metadata(table))
    arrow = Table.from_arrays(arrays, schema=Schema(fields, metadata={"geo": metadata}))
    content = io.BytesIO()  # given a path, arro3 panics when the disk is full
    write_parquet(arrow, content, compression="zstd(3)", key_value_metadata={"geo": metadata})
    path.write_bytes(content.getbuffer())


def read_tiles(path: Path) -> TileTable:
    """Reads a table back.

    Raises:
        PackError: the file is no Parquet file or lacks a column.
    """
    from arro3.io import read_parquet

    try:
        arrow = read_parquet(path, batch_size=65536).read_all()
        columns = [np.array(arrow.column(name).to_numpy(), dtype=np.float64) for name in _COLUMNS]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # arro3 panics on garbage: a BaseException without public name
        raise PackError(
            path, f"is no readable table of tiles ({error})", "build the pack again"
        ) from error
    return TileTable(*columns)


def _wkb(x: Array, y: Array) -> list[bytes]:
    points = np.zeros(len(x), _WKB_POINT)
    points["little_endian"], points["type"], points["x"], points["y"] = 1, 1, x, y
    data = points.tobytes()
    size = _WKB_POINT.itemsize
    return [data[start : start + size] for start in range(0, len(data), size)]


def _geo_metadata(table: TileTable) -> dict[str, Any]:
    """The `geo` entry; without `crs`, GeoParquet means longitude and latitude on WGS84."""
    lon, lat = table.lon, table.lat
    column = {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "bbox": [float(v) for v in (lon.min(), lat.min(), lon.max(), lat.max())],
    }
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
