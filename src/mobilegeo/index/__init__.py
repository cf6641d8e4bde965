"""Search among tile embeddings."""

from mobilegeo.index.base import TileIndex
from mobilegeo.index.exact import ExactIndex

__all__ = ["ExactIndex", "TileIndex"]
