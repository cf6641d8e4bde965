"""Hashes of a pack's files: checked whole at opening, or piece by piece when first read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import PackError

PIECE_BYTES = 16 << 20
"""Every file is hashed in pieces of this size; most files have one."""
EAGER_BYTES = 200 << 20
"""Packs up to this size are hashed whole when they are opened, larger ones when read."""

Offsets = NDArray[np.int64]

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

    def check(self, name: str) -> None:
        """Hashes a file, but for the pieces that were hashed before.

        Raises:
            PackError: it was changed, or the pack does not list it.
        """
        self._check_pieces(name, range(len(self._entry(name)["sha256"])))

    def check_spans(self, name: str, starts: Offsets, stops: Offsets) -> None:
        """Hashes the pieces of a file that hold some bytes, unless already done.

        Args:
            name: of the file.
            starts: int64 [n], first byte of every span.
            stops: int64 [n], the byte after it.

        Raises:
            PackError: a piece was changed, or the pack does not list the file.
        """
        self._entry(name)
        if not self._unchecked[name]:
            return
        first, after = starts // PIECE_BYTES, -(-stops // PIECE_BYTES)
        spans = np.unique(np.stack([first, after], axis=1), axis=0).tolist()
        self._check_pieces(name, {piece for low, high in spans for piece in range(low, high)})

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self._manifest:
            raise PackError(self._root / name, "is not listed in pack.json", _CURE)
        return self._manifest[name]

    def _check_pieces(self, name: str, wanted: Iterable[int]) -> None:
        path, entry = self._root / name, self._entry(name)
        pieces = sorted(self._unchecked[name].intersection(wanted))
        if not pieces:
            return
        with path.open("rb") as file:
            for piece in pieces:
                file.seek(piece * PIECE_BYTES)
                digest = hashlib.sha256(file.read(PIECE_BYTES)).hexdigest()
                if digest != entry["sha256"][piece]:
                    raise PackError(
                        path,
                        f"was changed after it was written (between byte {piece * PIECE_BYTES} "
                        f"and {min((piece + 1) * PIECE_BYTES, entry['bytes'])})",
                        _CURE,
                    )
                self._unchecked[name].discard(piece)


_CURE = "copy the pack again from where it was built, or build it again"
