"""What a build will do: the frame, the grids of tiles and the blocks of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobilegeo.encoder.base import Encoder
from mobilegeo.geo import LocalFrame
from mobilegeo.maps.cells import FeatureBlock, feature_blocks
from mobilegeo.maps.patch import MapSource
from mobilegeo.maps.tiling import Extent, TileBlock, TileGrid, extent_of, tile_grids


@dataclass(frozen=True)
class Plan:
    """What a build will do.

    Attributes:
        frame: the metric frame, its origin the middle of the map.
        extent: of the map in the frame.
        grids: of tiles, smallest footprint first.
        tile_blocks: to be embedded.
        feature_blocks: to be described.
        notes: what was left out.
    """

    frame: LocalFrame
    extent: Extent
    grids: tuple[TileGrid, ...]
    tile_blocks: tuple[TileBlock, ...]
    feature_blocks: tuple[FeatureBlock, ...]
    notes: tuple[str, ...]


def plan_build(
    source: MapSource, encoder: Encoder, footprints_m: Sequence[float], stride: float
) -> Plan:
    """Lays out the blocks of a build; see `build_pack` for arguments and errors."""
    frame = LocalFrame(source.bounds.centre)
    extent = extent_of(source, frame)
    where = ", ".join(source.names)
    sides_m = tuple(float(side) for side in footprints_m)
    grids, notes = tile_grids(sides_m, stride, encoder.spec.size_px, extent, where)
    return Plan(
        frame=frame,
        extent=extent,
        grids=tuple(grids),
        tile_blocks=tuple(block for grid in grids for block in grid.blocks(extent)),
        feature_blocks=tuple(feature_blocks(encoder.spec, extent)),
        notes=tuple(notes),
    )
