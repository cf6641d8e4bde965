"""The user's cache folder: what can be made again, and takes time to make."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache(name: str) -> Path:
    """MobileGeo's place for a kind of cached file; it need not exist.

    `XDG_CACHE_HOME` decides where it is set; else the platform's usual folder.

    Args:
        name: of the file or folder inside.
    """
    home = Path.home()
    usual = {
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"),
        "darwin": home / "Library" / "Caches",
    }.get(sys.platform, home / ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "mobilegeo" / name
