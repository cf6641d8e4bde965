"""pack.json: what a pack is, and how to tell that a folder is none."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mobilegeo.errors import PackError

FORMAT_VERSION = 2
RECORD = "pack.json"
TILES = "tiles.parquet"
GRID = "grid.npy"
VECTORS = "vectors.npy"
PREVIEW = "preview.jpg"
PARTIAL_SUFFIX = ".partial"
_COPY_AGAIN = "copy the pack again from where it was built, or build it again"


def record_hash(record: dict[str, Any]) -> str:
    """Hash of everything in pack.json but the hash itself."""
    rest = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_record(record: dict[str, Any], file: Path) -> None:
    """Writes pack.json, with its hash, in one piece."""
    record = record | {"record_sha256": record_hash(record)}
    temporary = file.with_name(f"{file.stem}.tmp{file.suffix}")
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    temporary.replace(file)


def read_record(path: Path) -> dict[str, Any]:
    """Reads pack.json of a pack.

    Raises:
        PackError: the folder is no pack, unfinished, of another format, or its record is damaged.
    """
    file = path / RECORD
    if path.name.endswith(PARTIAL_SUFFIX):
        raise PackError(
            path,
            "is an unfinished build",
            "run the same `mobilegeo map build` again with --resume",
        )
    if not file.is_file():
        raise PackError(path, *_why_no_record(path))
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PackError(file, f"is not readable JSON ({error})", _COPY_AGAIN) from error
    if not isinstance(record, dict) or "format_version" not in record:
        raise PackError(file, "does not describe a map pack", "name a folder made by map build")
    if record["format_version"] != FORMAT_VERSION:
        raise PackError(
            path,
            f"has format {record['format_version']} (made by {record.get('created_by', '?')}), "
            f"this version reads {FORMAT_VERSION}",
            "update mobilegeo, or build the map again with this version",
        )
    if record.get("record_sha256") != record_hash(record):
        raise PackError(file, "was changed after it was written", _COPY_AGAIN)
    return record


def _why_no_record(path: Path) -> tuple[str, str]:
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    if not path.exists():
        if partial.is_dir():
            return "its build was not finished", "run the same build again with --resume"
        return "there is no such pack", "check the path, or make it with `mobilegeo map build`"
    if not path.is_dir():
        return "is a file, not a pack", "make a pack of it with `mobilegeo map build`"
    return "is a folder without pack.json", "name a folder made by `mobilegeo map build`"
