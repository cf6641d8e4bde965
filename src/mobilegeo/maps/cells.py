"""The encoder's dense features of the ground: a regular metric grid of cells, in chunks.

While a pack is built they lie in its blocks, quantised to int8; what it keeps of them in the end is
told in `descriptors`.

Cell (cx, cy) covers x in [cx · cell_m, (cx + 1) · cell_m) and y in [cy · cell_m, (cy + 1) · cell_m)
of the frame: indices grow to the east and to the *north*. Arrays of cells are images: row 0 is the
northernmost. Chunk (row, col) holds the cells with cy // 64 = row and cx // 64 = col.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import Encoder, ImageSpec
from mobilegeo.geo import LocalFrame
from mobilegeo.maps.patch import MapSource, Patch
from mobilegeo.maps.tiling import MIN_VALID, Extent

CHUNK_CELLS = 64
"""Cells along a side of a chunk."""
FEATURE_RANGE = 4.0
"""Descriptors are standardised; what lies beyond this many deviations is clipped."""
FEATURE_STEP = FEATURE_RANGE / 127
"""An int8 value times this is the encoder's value, to ± half of it."""
BLOCKS = "blocks"
"""Folder of a build's unfinished parts."""


@dataclass(frozen=True, slots=True)
class CellBox:
    """A window of cells.

    Attributes:
        x0: westernmost column.
        y0: southernmost row.
        width: columns.
        height: rows.
    """

    x0: int
    y0: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class FeatureBlock:
    """A square of cells that is computed at once, with a margin so that no seam shows.

    Attributes:
        spec: the encoder's facts.
        x0, y0: the south-western cell.
        side: cells along a side; `side` · stride is a multiple of `spec.multiple_px`.
    """

    spec: ImageSpec
    x0: int
    y0: int
    side: int = CHUNK_CELLS

    @property
    def raw_name(self) -> str:
        """Path of its features in the workspace of a build."""
        row, column = self.chunk
        return f"{BLOCKS}/{row}_{column}.npy"

    @property
    def chunk(self) -> tuple[int, int]:
        """Row and column of the chunk with this block's south-western cell."""
        return self.y0 // CHUNK_CELLS, self.x0 // CHUNK_CELLS

    @property
    def halo_px(self) -> int:
        """The margin read on every side.

        At least `spec.feature_halo_px`, rounded up so that the encoder's own grid lies alike in
        every block.
        """
        unit = math.lcm(self.spec.multiple_px, self.spec.feature_stride_px)
        return math.ceil(self.spec.feature_halo_px / unit) * unit

    def read(self, source: MapSource, frame: LocalFrame) -> Patch:
        """The block's pixels with the margin, row 0 in the north."""
        gsd_m, cell_m = self.spec.feature_gsd_m, self.spec.cell_m
        size = self.side * self.spec.feature_stride_px + 2 * self.halo_px
        x_m = self.x0 * cell_m - self.halo_px * gsd_m
        y_m = (self.y0 + self.side) * cell_m + self.halo_px * gsd_m
        return source.read(frame, x_m, y_m, gsd_m, size, size)

    def inner(self, patch: Patch) -> Patch:
        """The block's pixels without the margin."""
        own = slice(self.halo_px, len(patch.valid) - self.halo_px)
        return Patch(patch.image[own, own], patch.valid[own, own])

    def valid_cells(self, patch: Patch) -> NDArray[np.bool_]:
        """Which cells have enough valid pixels, bool [side, side]."""
        stride = self.spec.feature_stride_px
        inner = self.inner(patch).valid
        share = inner.reshape(self.side, stride, self.side, stride).mean(axis=(1, 3))
        valid: NDArray[np.bool_] = share >= MIN_VALID
        return valid

    def encode(self, patch: Patch, encoder: Encoder) -> NDArray[np.int8]:
        """The block's features, int8 [side, side, C]; all zero where a cell has no data."""
        features = encoder.features(self.spec.fill(patch.image, patch.valid)[None])[0]
        halo = self.halo_px // self.spec.feature_stride_px
        inner = features[halo : halo + self.side, halo : halo + self.side]
        stored = quantised(inner)
        stored[~self.valid_cells(patch)] = 0
        return stored


def feature_blocks(spec: ImageSpec, extent: Extent) -> Iterator[FeatureBlock]:
    """One block a chunk for every chunk that overlaps the extent, south-west first."""
    side_m = CHUNK_CELLS * spec.cell_m
    for row in range(math.floor(extent.south_m / side_m), math.ceil(extent.north_m / side_m)):
        for column in range(math.floor(extent.west_m / side_m), math.ceil(extent.east_m / side_m)):
            yield FeatureBlock(spec, column * CHUNK_CELLS, row * CHUNK_CELLS)


def chunk_name(row: int, column: int) -> str:
    """Path of a chunk inside the pack."""
    return f"features/{row}_{column}.npy"


def quantised(features: NDArray[np.float32]) -> NDArray[np.int8]:
    """Features as a build keeps them: round(clip(f, ±`FEATURE_RANGE`) / `FEATURE_STEP`), int8."""
    clipped = np.clip(features, -FEATURE_RANGE, FEATURE_RANGE)
    return np.asarray(np.rint(clipped / FEATURE_STEP), dtype=np.int8)
