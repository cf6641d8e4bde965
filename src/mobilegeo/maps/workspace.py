"""The unfinished pack: a folder beside the finished one, from which a build can be resumed."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mobilegeo.errors import PackError, ResourceError
from mobilegeo.maps.cells import BLOCKS
from mobilegeo.maps.record import PARTIAL_SUFFIX, RECORD

PROGRESS = "progress.json"
_SAVE_EVERY_S = 2.0


class Workspace:
    """`PACK.partial/` while a pack is being built; becomes PACK by renaming.

    `progress.json` names the blocks that are finished. It is written every two seconds and when the
    build stops; a block that it does not name yet is computed again, to the same bytes.
    """

    def __init__(
        self,
        out: Path,
        fingerprint: str,
        *,
        layers: Sequence[str],
        resume: bool,
        overwrite: bool,
    ) -> None:
        self.out = out
        self.path = out.with_name(out.name + PARTIAL_SUFFIX)
        self._fingerprint = hashlib.sha256(fingerprint.encode()).hexdigest()
        self._saved_at = time.monotonic()
        _check_out(out, overwrite)
        self._done: list[str] = self._previous() if resume and self.path.exists() else []
        if overwrite and not resume and (self.path / PROGRESS).is_file():
            shutil.rmtree(self.path)
        if self.path.exists() and not resume:
            raise PackError(
                self.path,
                "an unfinished build lies there",
                "go on with it with --resume, or delete the folder",
            )
        for folder in (BLOCKS, *layers):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        self._finished = set(self._done)
        self.save()

    def is_done(self, key: str) -> bool:
        """Whether a block was finished, now or before."""
        return key in self._finished

    def done(self, key: str) -> None:
        """Notes that a block's files are written."""
        self._finished.add(key)
        self._done.append(key)
        if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Writes progress.json."""
        text = json.dumps({"fingerprint": self._fingerprint, "done": self._done})
        with self.replacing(PROGRESS) as temporary:
            temporary.write_text(text, encoding="utf-8")
        self._saved_at = time.monotonic()

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A temporary path that takes the name inside the folder once it is written."""
        path = self.path / name
        temporary = path.with_name(f"{path.stem}.tmp{path.suffix}")
        yield temporary
        temporary.replace(path)

    def write_array(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Writes one array as .npy, whole or not at all."""
        content = io.BytesIO()  # given a file, numpy does not say that the disk is full
        np.save(content, array)
        self.write_bytes(name, content.getbuffer())

    def write_bytes(self, name: str, data: bytes | memoryview) -> None:
        """Writes a file, whole or not at all."""
        with self.replacing(name) as temporary:
            temporary.write_bytes(data)

    def publish(self) -> None:
        """Gives the finished folder its name, in place of an older pack."""
        shutil.rmtree(self.path / BLOCKS)
        (self.path / PROGRESS).unlink()
        old = self.out.with_name(self.out.name + ".old")
        if self.out.exists():
            self.out.replace(old)
        self.path.replace(self.out)
        if old.exists():
            shutil.rmtree(old)

    def _previous(self) -> list[str]:
        try:
            progress = json.loads((self.path / PROGRESS).read_text(encoding="utf-8"))
            fingerprint, done = progress["fingerprint"], [str(key) for key in progress["done"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PackError(
                self.path, f"its progress cannot be read ({error!r})", "delete the folder"
            ) from error
        if fingerprint != self._fingerprint:
            raise PackError(
                self.path,
                "was begun with another map, surface model, encoder, footprints or stride, or "
                "with or without imagery",
                "repeat the build as it was begun, or delete the folder",
            )
        return done


def take_room(path: Path) -> None:
    """Fills a file's holes, so that a full disk is an error now and not a crash (SIGBUS) later.

    Where the system cannot do that, a mapped file is written at the risk of the crash.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


@contextmanager
def disk_errors(workspace: Workspace, needed_bytes: float) -> Iterator[None]:
    """Turns a full disk into a `ResourceError` that says how to go on.

    Args:
        workspace: the build.
        needed_bytes: an estimate of what is still to be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ResourceError(
            workspace.path,
            "the disk is full",
            f"free about {max(1, round(needed_bytes / 1e6))} MB and run again with --resume",
        ) from error


def _check_out(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not (out / RECORD).is_file():
        raise PackError(out, "exists and is no map pack", "choose another name for the pack")
    if not overwrite:
        raise PackError(
            out, "exists already", "choose another name, or replace it with --overwrite"
        )
