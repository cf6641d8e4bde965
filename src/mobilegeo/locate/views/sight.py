"""Photos of one place before the network: which of them are worth a forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.locate.hypotheses import hypotheses
from mobilegeo.locate.obstacles import usable
from mobilegeo.locate.retrieve import best_footprint, query_at
from mobilegeo.locate.template import aimed_at
from mobilegeo.locate.views.glimpse import THUMBNAIL_PX, Glimpse, before_the_network, glimpse
from mobilegeo.locate.views.likeness import Views, pose_distances
from mobilegeo.locate.views.selectors import selector_named
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import read_photo

Float64 = NDArray[np.float64]

DEFAULT_VIEWS = 8
DEFAULT_SELECTION = "msrm"
"""What won in `docs/results/multiview.md`."""

THUMBNAIL_SIDE_PX = 150
"""Thumbnails are decoded at the smallest size whose shorter side has at least this many pixels."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How many views of a place are used, and which.

    Attributes:
        views: how many at most; only these are decoded in full and cost forward passes.
        selection: a name in `views.SELECTORS`.
    """

    views: int = DEFAULT_VIEWS
    selection: str = DEFAULT_SELECTION

    def __post_init__(self) -> None:
        selector_named(self.selection)
        if self.views < 1:
            raise UsageError(
                f"number of views {self.views}", "is not positive", "use one view at least"
            )

    def of(self, known: Views) -> list[int]:
        """Indices of the views to use, the leading one first."""
        return selector_named(self.selection)(known, self.views)


@dataclass(frozen=True, eq=False)
class Sight:
    """A photo as it is known before the network; its pixels are not kept.

    Attributes:
        file: where it is.
        given: what the user and the telemetry file say of it.
        known: what is known of it from all sources.
        certain: whether one hypothesis agrees with that, and no other.
        footprint_m: the tile footprint that suits its first hypothesis.
        glimpses: its ground under that hypothesis, at each of the map's footprints.
    """

    file: Path
    given: Telemetry
    known: Telemetry
    certain: bool
    footprint_m: float
    glimpses: dict[float, Glimpse]


def first_sight(file: Path, given: Telemetry, footprints_m: Sequence[float]) -> Sight:
    """Looks at a photo without the network.

    Args:
        file: the photo.
        given: what the user and the telemetry file say of it.
        footprints_m: sides of the map's tiles.

    Raises:
        PhotoError: the photo cannot be read.
        Obstacle: it shows no ground.
    """
    photo = read_photo(str(file), overrides=given, min_side_px=THUMBNAIL_SIDE_PX)
    height, width = photo.image.shape[:2]
    views = usable(hypotheses(photo.telemetry.pose, photo.camera, width, height)).views
    glimpses = {
        footprint_m: glimpse(query_at(photo.image, views[0], footprint_m, THUMBNAIL_PX).patch)
        for footprint_m in footprints_m
    }
    suits = best_footprint(views[0], aimed_at(views[0]), footprints_m)
    return Sight(file, given, photo.telemetry, len(views) == 1, suits, glimpses)


def common_footprint(sights: Sequence[Sight]) -> float:
    """The tile footprint that suits most photos, metres."""
    return Counter(sight.footprint_m for sight in sights).most_common(1)[0][0]


def known_before(sights: Sequence[Sight]) -> Views:
    """What can be told of photos before the network, all at their common footprint."""
    footprint_m = common_footprint(sights)
    return before_the_network([sight.glimpses[footprint_m] for sight in sights], _apart(sights))


def _apart(sights: Sequence[Sight]) -> Float64 | None:
    """Distances by pose where every photo's is known."""
    agl_m = [s.known.agl_m for s in sights if s.known.agl_m is not None]
    heading_deg = [s.known.heading_deg for s in sights if s.known.heading_deg is not None]
    if len(agl_m) < len(sights) or len(heading_deg) < len(sights):
        return None
    return pose_distances(np.array(agl_m), np.array(heading_deg))
