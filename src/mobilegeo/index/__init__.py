"""Search among tile embeddings."""

from mobilegeo.index.base import Found, TileIndex
from mobilegeo.index.exact import ExactIndex
from mobilegeo.index.pack_index import PackIndex

__all__ = ["ExactIndex", "Found", "PackIndex", "TileIndex"]
