"""Files that are whole or absent."""

from __future__ import annotations

import uuid
from pathlib import Path

from mobilegeo.errors import UsageError


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
