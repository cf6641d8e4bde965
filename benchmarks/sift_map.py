"""SIFT matching alone on a whole map, without any network: a baseline.

The photo, projected north-up by its pose as for alignment, is matched with all of the map's upright
SIFT features at once, by the functions of `locate --verify`: best matches both ways that pass the
ratio test, `USAC_MAGSAC`, a similarity, at least ten inliers.
"""

from __future__ import annotations

import numpy as np

from mobilegeo.encoder.base import ImageSpec
from mobilegeo.geo import LatLon, LocalFrame
from mobilegeo.locate.hypotheses import hypotheses
from mobilegeo.locate.local_features import agreed_motion, mutual_matches, upright_features
from mobilegeo.locate.obstacles import Obstacle, usable
from mobilegeo.locate.template import template_patch
from mobilegeo.maps.patch import MapSource
from mobilegeo.photo import Photo

MOST_FEATURES = 60_000
"""Of a map; 2,500 of a photo times these are 0.6 GB of likenesses."""


class SiftMap:
    """A map's local features.

    Args:
        source: the map, up to a few square kilometres.
        spec: gives the resolution, as for the encoders' alignment.
    """

    def __init__(self, source: MapSource, spec: ImageSpec) -> None:
        self.spec = spec
        bounds, gsd_m = source.bounds, spec.feature_gsd_m
        self.frame = LocalFrame(bounds.centre)
        west, south = self.frame.xy(LatLon(bounds.south, bounds.west))
        east, north = self.frame.xy(LatLon(bounds.north, bounds.east))
        width, height = (int(np.ceil(side / gsd_m)) for side in (east - west, north - south))
        patch = source.read(self.frame, west, north, gsd_m, width, height)
        self.features = upright_features(
            patch.image, patch.valid, (west, north), gsd_m, MOST_FEATURES
        )

    def locate(self, photo: Photo) -> tuple[LatLon | None, int]:
        """The ground at the photo's centre, where one was found, and the inliers that say so."""
        height, width = photo.image.shape[:2]
        try:
            known = usable(hypotheses(photo.telemetry.pose, photo.camera, width, height))
        except Obstacle:
            return None, 0
        patch = template_patch(photo.image, known.views[0], self.spec)
        half_m = patch.gsd_m * len(patch.valid) / 2
        own = upright_features(patch.image, patch.valid, (-half_m, half_m), patch.gsd_m)
        side_m = patch.gsd_m * float(np.sqrt(patch.valid.sum()))
        found = agreed_motion(*mutual_matches(own, self.features, None), side_m)
        if not found.inliers:
            return None, 0
        return self.frame.point(found.east_m, found.north_m), found.inliers
