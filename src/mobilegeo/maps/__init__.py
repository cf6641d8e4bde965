"""Maps: from georeferenced imagery to a pack of tiles, embeddings and dense descriptors."""

from mobilegeo.maps.patch import MapSource, Patch
from mobilegeo.maps.source import open_map

__all__ = ["MapSource", "Patch", "open_map"]
