"""A piece of the map's descriptors, cut out with a margin and ready to be correlated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.geo import LocalFrame
from mobilegeo.locate.correlate import MapSpectrum, Template
from mobilegeo.locate.relief import SurfaceModel
from mobilegeo.locate.scan import Block
from mobilegeo.maps.descriptors import DescriptorBasis

Float32 = NDArray[np.float32]


class FeatureMap(Protocol):
    """The part of a map pack that alignment reads."""

    spec: ImageSpec
    frame: LocalFrame
    basis: DescriptorBasis

    @property
    def surface(self) -> SurfaceModel | None:
        """Heights of what the map shows, or `None`."""
        ...

    def features(
        self, x0_cell: int, y0_cell: int, width: int, height: int
    ) -> tuple[Float32, NDArray[np.bool_]]:
        """Descriptors and validity of cells, see `MapPack.features`."""
        ...


@dataclass(frozen=True)
class Window:
    """A block of the map with a margin, ready to be correlated with templates.

    Attributes:
        block: the block; its corners are the places compared.
        margin: cells around it.
        cells: float32 [H, W, C], unit descriptors of block and margin.
        valid: bool [H, W].
    """

    block: Block
    margin: int
    cells: Float32
    valid: NDArray[np.bool_]

    @cached_property
    def _spectrum(self) -> MapSpectrum:
        """Made when first correlated: a close look at one place does without."""
        return MapSpectrum(self.cells, self.valid, 2 * self.margin)

    def correlate(self, template: Template) -> Float32:
        """Scores at the block's corners, float32 [height + 1, width + 1]."""
        if not self.valid.any():
            return np.full((self.block.height + 1, self.block.width + 1), -1.0, dtype=np.float32)
        rows = slice(self.margin, self.margin + self.block.height + 1)
        columns = slice(self.margin, self.margin + self.block.width + 1)
        return self._spectrum.correlate(template)[rows, columns]


def open_window(feature_map: FeatureMap, block: Block, margin: int) -> Window:
    """Cuts a block with `margin` cells around it out of a map."""
    cells, valid = feature_map.features(
        block.x0 - margin, block.y0 - margin, block.width + 2 * margin, block.height + 2 * margin
    )
    return Window(block, margin, cells, valid)
