"""One photo on one map, judged: where a contestant puts it, and how sure that looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from mobilegeo.encoder.base import Encoder, ImageSpec
from mobilegeo.evaluation import Truth
from mobilegeo.geo import distance_m
from mobilegeo.locate.calibration import NEUTRAL, calibration_for
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.maps import open_map
from mobilegeo.photo import Photo
from outside import TOP, Case, chances, trial
from sift_map import SiftMap
from suite_sites import Site


@dataclass(frozen=True)
class Look:
    """What a contestant made of a photo.

    Attributes:
        photo, group: the photo and its kind.
        inside: whether it shows ground of the map.
        milliseconds: from decoded photo to answer.
        evidence: that the place is right, higher is surer. Of encoders the probability with
            neutral constants, so that all are judged alike; of SIFT the inliers.
        fix: whether the answer is a fix, with the encoder's own constants where it has any.
        error_m: of the best place; `None` without a place, and for photos of elsewhere.
        tiles_error_m: of the position from tiles alone.
        top5_error_m: of the best of the five best tiles' centres.
        lat, lon: the best place.
    """

    photo: str
    group: str
    inside: bool
    milliseconds: float
    evidence: float
    fix: bool
    error_m: float | None = None
    tiles_error_m: float | None = None
    top5_error_m: float | None = None
    lat: float | None = None
    lon: float | None = None


class EncoderJudge:
    """Retrieval and alignment with an encoder on a map."""

    def __init__(self, site: Site, encoder: Encoder) -> None:
        options = Options(ignore_gps=True, top=TOP)
        self.case = Case(site.name, Localizer(site.pack(encoder), encoder, options), [])
        self.constants = calibration_for(encoder).aligned

    def look(self, photo: Photo, truth: Truth | None, group: str) -> Look:
        """Locates a photo; `truth` is `None` for one of elsewhere."""
        tried = trial(self.case, photo, truth, group, "known", bad=False)
        own, neutral = (chances([tried], c)[0] for c in (self.constants, NEUTRAL.aligned))
        return Look(
            photo=tried.photo,
            group=group,
            inside=truth is not None,
            milliseconds=tried.milliseconds,
            evidence=float(neutral),
            fix=bool(own >= self.constants.accept),
            error_m=tried.error_m,
            tiles_error_m=tried.retrieval_error_m,
            top5_error_m=tried.top5_error_m,
            lat=tried.lat,
            lon=tried.lon,
        )


class SiftJudge:
    """SIFT matching alone."""

    def __init__(self, site: Site, spec: ImageSpec) -> None:
        self.map = SiftMap(open_map([site.folder / "map.tif"]), spec)

    def look(self, photo: Photo, truth: Truth | None, group: str) -> Look:
        """Locates a photo; `truth` is `None` for one of elsewhere."""
        start = perf_counter()
        place, inliers = self.map.locate(photo)
        spent = 1000 * (perf_counter() - start)
        look = Look(
            Path(photo.source).name, group, truth is not None, spent, inliers, place is not None
        )
        if place is None:
            return look
        error = None if truth is None else distance_m(truth.position, place)
        return replace(look, error_m=error, lat=place.lat, lon=place.lon)
