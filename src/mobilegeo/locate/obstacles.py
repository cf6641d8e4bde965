"""What keeps a photo from being located at all, found before any search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mobilegeo.geo import LatLon, distance_m
from mobilegeo.locate.hypotheses import Hypotheses
from mobilegeo.locate.normalise import GroundPatch
from mobilegeo.locate.prior import CirclePrior, Prior
from mobilegeo.locate.retrieve import Query
from mobilegeo.locate.template import visible_centre
from mobilegeo.maps.pack import MapPack
from mobilegeo.photo import Photo

OWN_GPS_RADIUS_M = 1000.0
"""How far the truth may lie from a GPS position whose spread is not told."""

SPREADS = 4.0
MARGIN_M = 25.0
"""A position is believed to so many standard deviations and metres: maps have errors of their own,
which the best of receivers does not know."""

MIN_COVERAGE = 0.2
"""Views that cover less of every footprint show too little ground."""

MIN_CONTRAST = 2.0
"""Standard deviation of brightness, of 255, under which a photo shows nothing: lens cap, night,
fog, an empty sheet of water."""


class Obstacle(Exception):  # noqa: N818 - an answer, not an error
    """The photo cannot be located; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def own_prior(photo: Photo, pack: MapPack, reach_m: float, *, ignore_gps: bool) -> Prior | None:
    """The prior that follows from the position known with the photo, or `None`.

    Args:
        photo: the photo with its telemetry.
        pack: the map.
        reach_m: how far from the camera the ground that it shows can be.
        ignore_gps: leave the photo's own GPS aside.

    Raises:
        Obstacle: the position and its surroundings lie outside the map.
    """
    position = photo.position(ignore_gps=ignore_gps)
    if position is None:
        return None
    prior = circle_around(position, photo.telemetry.sigma_m)
    away_m = distance_m(position, pack.bounds.nearest(position))
    if away_m > prior.radius_m + reach_m:
        raise Obstacle(
            f"the photo's position lies {away_m / 1000:.1f} km outside the map; "
            "use --ignore-gps if it is not to be trusted"
        )
    return prior


def circle_around(position: LatLon, sigma_m: float | None) -> CirclePrior:
    """Where the camera can be, given a position and its spread along each axis, if that is told."""
    if sigma_m is None:
        return CirclePrior(position, OWN_GPS_RADIUS_M)
    return CirclePrior(position, SPREADS * sigma_m + MARGIN_M)


def usable(known: Hypotheses) -> Hypotheses:
    """The hypotheses that show ground.

    Raises:
        Obstacle: none does.
    """
    views = tuple(view for view in known.views if visible_centre(view) is not None)
    if not views:
        raise Obstacle("the view shows no ground, only what is at or above the horizon")
    return replace(known, views=views)


def nothing_to_match(queries: Sequence[Query]) -> None:
    """Turns away photos whose ground is too small or too plain to be recognised.

    Raises:
        Obstacle: too little ground, or no contrast on it.
    """
    if max(query.patch.coverage for query in queries) < MIN_COVERAGE:
        raise Obstacle("the view shows too little ground to be recognised")
    if max(_contrast(query.patch) for query in queries) < MIN_CONTRAST:
        raise Obstacle("the photo shows nothing to match: it is blank, dark or blurred")


def _contrast(patch: GroundPatch) -> float:
    """Standard deviation of the brightness, the mean of red, green and blue; 0 without ground."""
    import cv2

    red, green, blue = (patch.image[..., channel] for channel in range(3))
    total = red.astype(np.uint16) + green + blue
    _, deviation = cv2.meanStdDev(total, mask=patch.valid.view(np.uint8))
    return float(deviation[0, 0]) / 3
