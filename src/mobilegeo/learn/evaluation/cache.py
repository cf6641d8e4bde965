"""Embeddings that are kept on disk, found again by what the image file holds.

```
CACHE/
└── 3f0c…/                 a network and its input size
    ├── 5d1e….npy          a shard: up to some thousand rows of (key, vector)
    └── …
```

A shard is written whole under a temporary name and renamed, and never changed. Processes may
share a cache; what two of them embed at once is stored twice and does no harm.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import chain, groupby
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import ResourceError
from mobilegeo.output.atomic import make_folder, write_atomically

KEY_BYTES = 20
SHARD_ROWS = 1024
"""New rows after which a shard is written: what an interrupted run may lose."""
_MOST_ROWS = 1 << 20
"""More than a shard ever holds."""
_NAME_CHARACTERS = 32

Row = NDArray[np.float32]


class EmbeddingCache:
    """Embeddings of one network by key; a context manager that writes what is new at its end.

    With a folder, memory holds the keys and at most some thousand new vectors, and no file stays
    open, so that a cache of millions can be read.

    Args:
        folder: where caches of all networks lie; None keeps everything in memory.
        network: hash of the network and its input, hexadecimal.

    Raises:
        UsageError: the folder cannot be made.
        ResourceError: a file in it is damaged.
    """

    def __init__(self, folder: Path | None, network: str) -> None:
        self.folder = None if folder is None else folder / network[:_NAME_CHARACTERS]
        self._shards: list[Path] = []
        self._places: dict[bytes, int] = {}
        """Shard and row of what is on disk, as one number."""
        self._new: dict[bytes, Row] = {}
        if self.folder is not None:
            make_folder(self.folder)
            for path in sorted(self.folder.glob("*.npy")):
                self._index(path, [key.tobytes() for key in _read_shard(path)["key"]])

    def __len__(self) -> int:
        return len(self._places.keys() | self._new.keys())

    def __contains__(self, key: bytes) -> bool:
        return key in self._new or key in self._places

    def vectors(self, keys: Sequence[bytes]) -> NDArray[np.float32]:
        """The vectors of keys that are there, float32 [N, D]; [0, 0] of none.

        Raises:
            ResourceError: a shard was changed or deleted since the cache was opened.
        """
        at = [self._places.get(key, -1) for key in keys]
        vectors = np.zeros((0, 0), np.float32)
        for rows, values in chain(self._from_memory(keys, at), self._from_disk(at)):
            if not len(vectors):
                vectors = np.empty((len(keys), values.shape[1]), np.float32)
            vectors[rows] = values
        return vectors

    def add(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Takes new embeddings, float32 [N, D]; writes a shard when enough have come together."""
        self._new.update(zip(keys, vectors, strict=True))
        if len(self._new) >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes what is not on disk yet.

        Raises:
            UsageError: the folder cannot be written.
        """
        if self.folder is None or not self._new:
            return
        keys = list(self._new)
        stream = BytesIO()
        np.save(stream, _shard(keys, np.stack(list(self._new.values()))))
        path = self.folder / f"{uuid.uuid4().hex}.npy"
        write_atomically(path, stream.getvalue())
        self._index(path, keys)
        self._new.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()

    def _index(self, path: Path, keys: Sequence[bytes]) -> None:
        first = len(self._shards) * _MOST_ROWS
        self._shards.append(path)
        self._places.update((key, first + row) for row, key in enumerate(keys))

    def _from_disk(self, at: Sequence[int]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Shard by shard, which of the numbers in `at` lie in it, and their vectors."""
        order = sorted((row for row, place in enumerate(at) if place >= 0), key=at.__getitem__)
        for shard, group in groupby(order, lambda row: at[row] // _MOST_ROWS):
            rows = list(group)
            stored = _read_shard(self._shards[shard])["vector"]
            yield rows, np.asarray(stored[[at[row] % _MOST_ROWS for row in rows]])

    def _from_memory(
        self, keys: Sequence[bytes], at: Sequence[int]
    ) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """The same of those that are on no disk."""
        rows = [row for row, place in enumerate(at) if place < 0]
        if rows:
            yield rows, np.stack([self._new[keys[row]] for row in rows])


def _shard(keys: list[bytes], vectors: NDArray[np.float32]) -> NDArray[np.void]:
    """Rows of a shard: structured [N] with `key` (bytes) and `vector` (float32 [D])."""
    row = np.dtype([("key", f"V{KEY_BYTES}"), ("vector", np.float32, vectors.shape[1:])])
    shard = np.zeros(len(keys), dtype=row)
    shard["key"] = np.frombuffer(b"".join(keys), dtype=f"V{KEY_BYTES}")
    shard["vector"] = vectors
    return shard


def _read_shard(path: Path) -> NDArray[np.void]:
    """A shard as `_shard` made it, memory-mapped as long as the caller holds it."""
    try:
        shard: NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
        if (shard.ndim, shard.dtype.names) != (1, ("key", "vector")) or len(shard) > _MOST_ROWS:
            raise ValueError("other content")
    except (EOFError, OSError, ValueError) as error:
        raise ResourceError(
            path,
            f"is not a readable part of an embedding cache ({error})",
            "delete it: its images are embedded again",
        ) from error
    return shard
