"""What a map looks like, as an optional layer of a pack: JPEG chunks beside the descriptors.

Pixel (px, py) covers x in [px · gsd_m, (px + 1) · gsd_m) and y likewise, at the resolution at which
descriptors are made. A chunk shows the ground of one chunk of descriptors, and a pixel counts as
data where its descriptor does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.maps.cells import CHUNK_CELLS
from mobilegeo.maps.chunks import fill_window
from mobilegeo.maps.patch import Patch
from mobilegeo.maps.tiling import Extent

JPEG_QUALITY = 80
"""Local features found at 80 are those found at 95, in less than half the room."""

_CACHED_CHUNKS = 16
"""Four megabytes each: a flight stays on them, a country does not fill the memory."""

BYTES_PER_PIXEL = 1.0
"""Of a chunk at most, about; for telling how much room a build may need."""


@dataclass(frozen=True)
class ImageryFacts:
    """What pack.json says of the imagery.

    Attributes:
        gsd_m: metres a pixel.
        quality: of the JPEG files, 1 … 100.
        bytes: of all files.
    """

    gsd_m: float
    quality: int
    bytes: int

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> ImageryFacts:
        """Reads the entry back."""
        return cls(float(record["gsd_m"]), int(record["quality"]), int(record["bytes"]))


class Imagery:
    """The imagery of a pack, read chunk by chunk.

    Args:
        facts: what pack.json says of it.
        spec: the encoder's facts, which give the size of a chunk.
        chunks: (row, column) of the chunks that exist.
        load: reads one chunk by row and column.
    """

    def __init__(
        self,
        facts: ImageryFacts,
        spec: ImageSpec,
        chunks: Collection[tuple[int, int]],
        load: Callable[[int, int], Patch],
    ) -> None:
        self.facts = facts
        self._side_px = imagery_side_px(spec)
        self._chunks = chunks
        self._load = load
        self._chunk = lru_cache(maxsize=_CACHED_CHUNKS)(self._with_alpha)

    def patch(self, box: Extent) -> tuple[Patch, Extent]:
        """The pixels that touch a box of the frame.

        Returns:
            The pixels, not valid where the map has no data; and the box that they cover exactly.
        """
        gsd_m = self.facts.gsd_m
        west, south = math.floor(box.west_m / gsd_m), math.floor(box.south_m / gsd_m)
        east, north = math.ceil(box.east_m / gsd_m), math.ceil(box.north_m / gsd_m)
        window = np.zeros((north - south, east - west, 4), np.uint8)
        fill_window(window, west, south, self._side_px, self._chunks, self._chunk)
        covered = Extent(west * gsd_m, south * gsd_m, east * gsd_m, north * gsd_m)
        return Patch(np.ascontiguousarray(window[..., :3]), window[..., 3] > 0), covered

    def _with_alpha(self, row: int, column: int) -> NDArray[np.uint8]:
        patch = self._load(row, column)
        return np.dstack([patch.image, patch.valid.astype(np.uint8)])


def imagery_side_px(spec: ImageSpec) -> int:
    """Pixels along a side of a chunk."""
    return CHUNK_CELLS * spec.feature_stride_px


def imagery_chunk_name(row: int, column: int) -> str:
    """Path of a chunk inside the pack."""
    return f"imagery/{row}_{column}.jpg"


def jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """An image, uint8 [H, W, 3] RGB, as a JPEG file."""
    import cv2

    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)
