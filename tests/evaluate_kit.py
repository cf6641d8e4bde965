"""Twins whose places can be told apart, and a network small enough to check by hand."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from dataset_twins import WRITERS

SIDE_PX = 24
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".tif"})


def textured_twin(name: str, root: Path, noise: float = 45.0) -> Path:
    """A dataset's twin with a pattern a place, and noise of its own in each image.

    Args:
        name: key of the catalogue.
        root: where to write.
        noise: standard deviation, of 255; the larger, the harder the search.
    """
    WRITERS[name](root)
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in IMAGES):
        if path.stat().st_size < 20_000:
            paint(path, place_of(path), str(path.relative_to(root)), noise)
    return root


def place_of(path: Path) -> str:
    """The folder of an image, which is its place in datasets of folders."""
    return path.parent.name


def paint(path: Path, place: str, view: str, noise: float) -> None:
    """Overwrites an image with its place's pattern and the view's noise."""
    with Image.open(path) as old:
        side = max(old.size) if max(old.size) > 100 else SIDE_PX
    pattern = np.random.default_rng(zlib.crc32(place.encode())).integers(40, 215, (6, 6, 3))
    image = np.kron(pattern, np.ones((side // 6, side // 6, 1)))
    image = image + noise * np.random.default_rng(zlib.crc32(view.encode())).normal(
        size=image.shape
    )
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    quality = {"quality": 95} if path.suffix.lower() in {".jpg", ".jpeg"} else {}
    Image.fromarray(pixels).save(path, **quality)


class TinyNetwork:
    """A fixed random projection of the pixels, which counts what it is asked."""

    id = "tiny"
    device = "CPU, by hand"

    def __init__(self, size_px: int = 12, dim: int = 16, stop_after: int | None = None) -> None:
        self.size_px = size_px
        self.sha256 = hashlib.sha256(f"{size_px} {dim}".encode()).hexdigest()
        self.images = 0
        self.stop_after = stop_after
        self._weights = np.random.default_rng(7).normal(size=(size_px * size_px * 3, dim))

    def embed(self, images: np.ndarray) -> np.ndarray:
        if self.stop_after is not None and self.images >= self.stop_after:
            raise KeyboardInterrupt
        assert images.dtype == np.uint8
        assert images.shape[1:] == (self.size_px, self.size_px, 3)
        self.images += len(images)
        vectors = (images.reshape(len(images), -1) / 127.5 - 1.0) @ self._weights
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


Embed = Callable[[Path], np.ndarray]


def embed_by_hand(network: TinyNetwork, path: Path) -> np.ndarray:
    """The embedding of a file, with Pillow and the network alone."""
    with Image.open(path) as image:
        size = (network.size_px, network.size_px)
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    return TinyNetwork(network.size_px).embed(pixels[None])[0]
