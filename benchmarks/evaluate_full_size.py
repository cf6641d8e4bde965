"""Time and memory of `learn evaluate` at University-1652's size, without a real network.

A twin with the official numbers of places and views (tiny images, each with its own content) is
written into FOLDER, embedded by a random projection and evaluated twice: first everything passes
the network, then everything comes from the cache.

    python benchmarks/evaluate_full_size.py FOLDER
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mobilegeo.learn.evaluation.benchmark_run import Settings, evaluate_dataset
from mobilegeo.learn.evaluation.embedding import ViewEmbedder

PLACES, ASKED, VIEWS = 951, 701, 54
NAMES = {"drone": [f"image-{n + 1:02d}.jpeg" for n in range(VIEWS)], "satellite": ["tile.jpg"]}


class Projection:
    """A random projection of 12 × 12 pixels to 512 numbers."""

    id, sha256, size_px, device = "projection", "0" * 64, 12, "CPU, NumPy"

    def __init__(self) -> None:
        self._weights = np.random.default_rng(7).normal(size=(432, 512))

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Float32 [B, 512] of uint8 [B, 12, 12, 3]."""
        vectors = (images.reshape(len(images), -1) / 127.5 - 1.0) @ self._weights
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(unit, dtype=np.float32)


def write_twin(root: Path) -> None:
    """The test part in full, and one training place."""
    rng = np.random.default_rng(0)
    for place in range(PLACES):
        stream = BytesIO()
        pattern = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(np.kron(pattern, np.ones((4, 4, 1), np.uint8))).save(stream, "JPEG")
        for kind, names in NAMES.items():
            for name in names:
                image = root / f"test/gallery_{kind}/{place:04d}/{name}"
                image.parent.mkdir(parents=True, exist_ok=True)
                image.write_bytes(stream.getvalue() + f"{kind} {place} {name}".encode())
                if place < ASKED:
                    query = root / f"test/query_{kind}/{place:04d}/{name}"
                    query.parent.mkdir(parents=True, exist_ok=True)
                    os.link(image, query)
    for kind, names in NAMES.items():
        folder = root / f"train/{kind}/9999"
        folder.mkdir(parents=True)
        os.link(root / f"test/gallery_{kind}/0000/{names[0]}", folder / names[0])


def main() -> None:
    """Writes the twin if it is not there, and evaluates twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    if not (folder / "twin").exists():
        write_twin(folder / "twin")
    for _ in range(2):
        start = time.perf_counter()
        embedder = ViewEmbedder(Projection(), folder / "cache", batch=64)
        evaluate_dataset(embedder, "university1652", folder / "twin", Settings())
        seconds = time.perf_counter() - start
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{embedder.passed} images embedded, {seconds:.0f} s, peak {peak_mb} MB")


if __name__ == "__main__":
    main()
