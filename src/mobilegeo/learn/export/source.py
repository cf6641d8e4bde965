"""Where an exported encoder lies."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from mobilegeo.encoder import SHIPPED


def model_file(source: str) -> Path:
    """The file of a shipped encoder's name, or of a path."""
    if source in SHIPPED:
        return Path(str(files("mobilegeo.encoder") / "weights" / SHIPPED[source]))
    return Path(source)
