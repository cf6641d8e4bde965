"""How finely a photo needs to be decoded: no finer than what will be made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mobilegeo.camera import GroundView
from mobilegeo.encoder.base import ImageSpec
from mobilegeo.locate.hypotheses import hypotheses
from mobilegeo.locate.normalise import needed_share
from mobilegeo.locate.retrieve import best_footprint
from mobilegeo.locate.template import visible_centre
from mobilegeo.photo import PhotoMetadata

DECODE_SIDE_PX = 1000
"""Photos are decoded at the smallest size whose shorter side has at least this many pixels, or
fewer where the height above the ground tells that fewer do."""


def decode_side_px(
    metadata: PhotoMetadata,
    spec: ImageSpec,
    footprints_m: Sequence[float],
    *,
    retrieval_only: bool,
) -> int:
    """The shorter side that a photo must have at least for all that is asked of it, pixels.

    Every hypothesis is projected to a tile's footprint at the encoder's input size and, for
    alignment, to the resolution of the map's descriptors. Normalising averages the photo down to
    a little finer than that (`needed_share`); pixels beyond are not worth decoding. Where height
    or lens are unknown, the widest ground tried is what counts.

    Args:
        metadata: what is known of the photo.
        spec: the encoder's facts.
        footprints_m: sides of the tiles with which the photo may be compared, metres.
        retrieval_only: whether alignment is left out.
    """
    width, height = metadata.full_size
    known = hypotheses(metadata.telemetry.pose, metadata.camera, width, height)
    gsd_m = math.inf if retrieval_only else spec.feature_gsd_m
    share = max(_share(view, spec.size_px, footprints_m, gsd_m) for view in known.views)
    return min(DECODE_SIDE_PX, max(1, math.ceil(share * min(width, height))))


def _share(
    view: GroundView, size_px: int, footprints_m: Sequence[float], aligned_gsd_m: float
) -> float:
    """Share of the photo's full resolution that one hypothesis needs, 0 … 1."""
    centre = visible_centre(view)
    if centre is None:
        return 0.0
    retrieved_gsd_m = best_footprint(view, centre, footprints_m) / size_px
    return needed_share(view, min(retrieved_gsd_m, aligned_gsd_m))
