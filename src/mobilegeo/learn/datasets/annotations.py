"""GTA-UAV's annotation files: which tiles show how much of a photo's ground."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilegeo.errors import DatasetError
from mobilegeo.learn.datasets.records import PlanePoint
from mobilegeo.learn.datasets.textfile import read_text

MAP_PX = 24_576
"""Side of the game's square map in pixels."""
METRES_PER_PX = 0.45
_TILE_PX = 256
_TILE_NAME = re.compile(r"(\d{1,2})(?:_(\d{1,3}))?_(\d{1,6})_(\d{1,6})\.png", re.IGNORECASE)
_CURE = "get the annotation file again"


@dataclass(frozen=True, slots=True)
class Match:
    """One tile that shows some of a photo's ground.

    Attributes:
        tile: its file name.
        overlap: intersection over union of both footprints, 0 … 1.
        positive: whether it counts as right; otherwise it is semi-positive.
    """

    tile: str
    overlap: float
    positive: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo.

    Attributes:
        photo: its file name.
        position: of the image centre on the ground.
        height_m: above ground, metres; None where not stated.
        matches: positive and semi-positive tiles.
    """

    photo: str
    position: PlanePoint
    height_m: float | None
    matches: tuple[Match, ...]


def read_entries(path: Path) -> list[Entry]:
    """Reads an annotation file.

    Raises:
        DatasetError: it is no such file; names the entry at fault.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(path, f"is not JSON ({error})", _CURE) from error
    if not isinstance(content, list):
        raise DatasetError(path, "is no list of photos", _CURE)
    return [parse_entry(item, f"{path}, entry {number}") for number, item in enumerate(content, 1)]


def parse_entry(item: Any, where: str) -> Entry:
    """Reads one entry of an annotation file, as decoded from JSON.

    Raises:
        DatasetError: a field is missing or of another kind; names it.
    """
    if not isinstance(item, dict):
        raise DatasetError(where, "is no object", _CURE)
    x_m, y_m = _numbers(item, "drone_loc_x_y", where, length=2)
    tiles = _names(item, "pair_pos_semipos_sate_img_list", where)
    overlaps = _numbers(item, "pair_pos_semipos_sate_weight_list", where, length=len(tiles))
    positive = set(_names(item, "pair_pos_sate_img_list", where))
    if beyond := positive - set(tiles):
        raise DatasetError(
            where, f"lists {min(beyond)} as positive but not with the semi-positive ones", _CURE
        )
    if bad := [value for value in overlaps if not 0.0 <= value <= 1.0]:
        raise DatasetError(where, f"has overlap {bad[0]:g}, not within 0 … 1", _CURE)
    for tile in tiles:
        if _TILE_NAME.fullmatch(tile) is None:
            raise DatasetError(where, f"names tile {tile!r}, not zoom_offset_x_y.png", _CURE)
    return Entry(
        _name(item.get("drone_img_name"), "drone_img_name", where),
        PlanePoint(x_m, y_m),
        _height_m(item, where),
        tuple(
            Match(tile, overlap, tile in positive)
            for tile, overlap in zip(tiles, overlaps, strict=True)
        ),
    )


def tile_centre(name: str) -> PlanePoint | None:
    """Centre of a tile, from its name `zoom_offset_x_y.png` or `zoom_x_y.png` (first release).

    At zoom z the map is 2^z tiles wide; the offset shifts the grid, in 1/256 of a tile.

    Returns:
        The centre; None where the name is no tile's.
    """
    match = _TILE_NAME.fullmatch(name)
    if match is None:
        return None
    zoom, offset, x, y = (int(text or 0) for text in match.groups())
    tile_m = MAP_PX / 2**zoom * METRES_PER_PX
    shift = 0.5 + offset / _TILE_PX
    return PlanePoint((x + shift) * tile_m, (y + shift) * tile_m)


def _height_m(item: dict[str, Any], where: str) -> float | None:
    metadata = item.get("drone_metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise DatasetError(where, "drone_metadata is no object", _CURE)
    height = metadata.get("height")
    return None if height is None else _number(height, "height", where)


def _names(item: dict[str, Any], key: str, where: str) -> list[str]:
    return [_name(value, key, where) for value in _list(item, key, where)]


def _numbers(item: dict[str, Any], key: str, where: str, *, length: int) -> list[float]:
    values = [_number(value, key, where) for value in _list(item, key, where)]
    if len(values) != length:
        raise DatasetError(where, f"{key} has {len(values)} values instead of {length}", _CURE)
    return values


def _list(item: dict[str, Any], key: str, where: str) -> list[Any]:
    value = item.get(key)
    if not isinstance(value, list):
        raise DatasetError(where, f"has no list {key}", _CURE)
    return value


def _name(value: Any, key: str, where: str) -> str:
    """A file name; a path would let an annotation reach outside the dataset."""
    if not isinstance(value, str) or not value or "/" in value or "\\" in value:
        raise DatasetError(where, f"{key} holds {value!r}, no file name", _CURE)
    return value


def _number(value: Any, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise DatasetError(where, f"{key} holds {value!r}, no number", _CURE)
    return float(value)


def _finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
