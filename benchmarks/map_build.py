"""What building a pack costs beyond the bare encoder, how busy the cores are, and the memory.

A GeoTIFF of noise is built into a pack while the shapes of all calls to the encoder are noted; the
same calls are then repeated on arrays in memory, one after another, as "bare". The halo around the
chunks of features is counted as the encoder's work. `cores_busy` is the processor time of the build
over its wall-clock time on all cores; `encoder_share` is the part of that processor time that the
bare encoder takes. On a shared machine the first falls with what others take; the second does not.

    python benchmarks/map_build.py --encoder first --side-m 1500 --footprint-m 60
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from mobilegeo.bench.machine import cores
from mobilegeo.encoder.base import Encoded, Encoder, ImageSpec
from mobilegeo.encoder.registry import load_encoder
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.source import open_map

BAND_ROWS = 512


@dataclass
class Noted:
    """An encoder that notes what it is asked.

    Attributes:
        inner: the encoder that does the work.
        calls: how often each method was called with each shape.
    """

    inner: Encoder
    calls: Counter[tuple[str, tuple[int, ...]]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def spec(self) -> ImageSpec:
        """The inner encoder's facts."""
        return self.inner.spec

    @property
    def sha256(self) -> str:
        """The inner encoder's hash."""
        return self.inner.sha256

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings by the inner encoder."""
        self._note("embed", images)
        return self.inner.embed(images)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Descriptors by the inner encoder."""
        self._note("features", images)
        return self.inner.features(images)

    def encode(self, images: NDArray[np.uint8]) -> Encoded:
        """Both, by the inner encoder; not noted, since a build does not use it."""
        return self.inner.encode(images)

    def _note(self, method: str, images: NDArray[np.uint8]) -> None:
        with self.lock:
            self.calls[method, images.shape] += 1


@dataclass(frozen=True)
class Spent:
    """Wall-clock and processor time of this process, seconds."""

    wall_s: float
    cpu_s: float

    @classmethod
    def so_far(cls) -> Spent:
        """Since any zero."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(time.perf_counter(), usage.ru_utime + usage.ru_stime)

    def since(self, before: Spent) -> Spent:
        """What was spent after an earlier reading."""
        return Spent(self.wall_s - before.wall_s, self.cpu_s - before.cpu_s)


def write_noise(path: Path, side_m: float, gsd_m: float) -> None:
    """A square GeoTIFF of noise, written in bands so that it may be of any size."""
    side = round(side_m / gsd_m)
    random = np.random.default_rng(0)
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", tiled=True,
        crs="EPSG:32632", transform=from_origin(500_000, 5_000_000, gsd_m, gsd_m),
    ) as dataset:  # fmt: skip
        for top in range(0, side, BAND_ROWS):
            rows = min(BAND_ROWS, side - top)
            band = random.integers(0, 256, (3, rows, side), dtype=np.uint8)
            dataset.write(band, window=((top, top + rows), (0, side)))


def bare(noted: Noted) -> Spent:
    """What all noted calls take on arrays in memory."""
    random = np.random.default_rng(0)
    images = {call: random.integers(0, 256, call[1], dtype=np.uint8) for call in noted.calls}
    start = Spent.so_far()
    for (method, shape), count in noted.calls.items():
        for _ in range(count):
            getattr(noted.inner, method)(images[method, shape])
    return Spent.so_far().since(start)


def peak_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Builds, repeats and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="first", help="shipped name or path of an .onnx file")
    parser.add_argument("--side-m", type=float, default=1500.0)
    parser.add_argument("--gsd-m", type=float, default=0.25)
    parser.add_argument("--footprint-m", default="60")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--runtime", default=None)
    options = parser.parse_args()
    footprints = tuple(float(side) for side in options.footprint_m.split(","))
    encoder = load_encoder(options.encoder, threads=options.threads, runtime=options.runtime)
    encoder.embed(np.zeros((1, encoder.spec.size_px, encoder.spec.size_px, 3), np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        raster = Path(folder) / "noise.tif"
        write_noise(raster, options.side_m, options.gsd_m)
        before_mb = peak_mb()
        noted = Noted(encoder)
        start = Spent.so_far()
        pack = build_pack(open_map([raster]), Path(folder) / "p", noted, footprints_m=footprints)
        build = Spent.so_far().since(start)
        build_mb = peak_mb()
        start = Spent.so_far()
        MapPack.open(pack.path)
        opening = Spent.so_far().since(start)
        alone = bare(noted)
    print(
        json.dumps(
            {
                "encoder": encoder.spec.model_id,
                "tiles": len(pack.tiles),
                "feature_chunks": len(pack.feature_chunks),
                "build_s": round(build.wall_s, 2),
                "bare_encoder_s": round(alone.wall_s, 2),
                "ratio": round(build.wall_s / alone.wall_s, 3),
                "cores_busy": round(build.cpu_s / build.wall_s / cores(), 3),
                "encoder_share": round(alone.cpu_s / build.cpu_s, 3),
                "open_s": round(opening.wall_s, 4),
                "peak_mb_before_build": round(before_mb),
                "peak_mb": round(build_mb),
            }
        )
    )


if __name__ == "__main__":
    main()
