"""Files that are whole or absent, and the folders for them."""

from __future__ import annotations

import uuid
from pathlib import Path

from mobilegeo.errors import UsageError


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where they are not there yet.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            path, f"cannot be made ({error.strerror})", "choose a folder that can be written"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside `path` and renames it.

    Raises:
        UsageError: the folder is missing, not writable or full; `path` is left as it was.
    """
    temporary = path.parent / f".mobilegeo-{uuid.uuid4().hex}.tmp"
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(
            path,
            f"cannot be written ({error.strerror})",
            "choose a folder that can be written and has room",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
