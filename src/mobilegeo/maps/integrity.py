"""Hashes of a pack's files: checked whole at opening, or piece by piece when first read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from mobilegeo.errors import PackError

PIECE_BYTES = 16 << 20
"""Every file is hashed in pieces of this size; most files have one."""
EAGER_BYTES = 200 << 20
"""Packs up to this size are hashed whole when they are opened, larger ones when read."""

Manifest = dict[str, dict[str, Any]]
"""By relative path: `bytes` and `sha256`, a list with one hash a piece."""


def file_entry(path: Path) -> dict[str, Any]:
    """The manifest's entry for a file."""
    hashes = []
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            hashes.append(hashlib.sha256(piece).hexdigest())
    return {"bytes": path.stat().st_size, "sha256": hashes}


class Integrity:
    """Compares a pack's files with its manifest; each piece is hashed once."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self._root = root
        self._manifest = manifest
        self._unchecked = {name: set(range(len(e["sha256"]))) for name, e in manifest.items()}

    @property
    def total_bytes(self) -> int:
        """Size of all files."""
        return sum(int(entry["bytes"]) for entry in self._manifest.values())

    def check_sizes(self) -> None:
        """Compares existence and size of every file.

        Raises:
            PackError: a file is missing or has another size.
        """
        for name, entry in self._manifest.items():
            path = self._root / name
            try:
                size = path.stat().st_size
            except OSError as error:
                raise PackError(path, "is missing from the pack", _CURE) from error
            if size != entry["bytes"]:
                raise PackError(path, f"has {size} bytes instead of {entry['bytes']}", _CURE)

    def check_all(self) -> None:
        """Hashes whatever was not hashed before.

        Raises:
            PackError: a file was changed.
        """
        for name in self._manifest:
            self.check(name)

    def check(self, name: str, start: int = 0, stop: int | None = None) -> None:
        """Hashes the pieces of a file that hold bytes [start, stop), unless already done.

        Raises:
            PackError: one of them was changed, or the pack does not list the file.
        """
        path = self._root / name
        if name not in self._manifest:
            raise PackError(path, "is not listed in pack.json", _CURE)
        stop = int(self._manifest[name]["bytes"]) if stop is None else stop
        wanted = set(range(start // PIECE_BYTES, -(-stop // PIECE_BYTES)))
        pieces = sorted(wanted & self._unchecked[name])
        if not pieces:
            return
        with path.open("rb") as file:
            for piece in pieces:
                file.seek(piece * PIECE_BYTES)
                digest = hashlib.sha256(file.read(PIECE_BYTES)).hexdigest()
                if digest != self._manifest[name]["sha256"][piece]:
                    raise PackError(
                        path,
                        f"was changed after it was written (between byte {piece * PIECE_BYTES} "
                        f"and {min((piece + 1) * PIECE_BYTES, self._manifest[name]['bytes'])})",
                        _CURE,
                    )
                self._unchecked[name].discard(piece)


_CURE = "copy the pack again from where it was built, or build it again"
