"""A second opinion by local features: do corners of the photo lie where the map has the same ones?

Only in a pack that keeps its imagery (`map build --imagery`). Photo and map are compared as the
alignment left them: both north-up, at one scale, the photo over the map's relief where that is
known, so that SIFT descriptors need not be turned (upright) and a match may be sought near its
place only. Matches pass the ratio test both ways; `USAC_MAGSAC` finds the largest group that
moves together by an affine map, and a similarity is fitted to it in closed form. OpenCV has no
MAGSAC for similarities; an affine map that does not resemble one is refused with the rest:

- few inliers, counted by squares of `APART_M`, as one corner is often found at several sizes;
- a scale or turn that the alignment could not have missed;
- inliers on a line or bunched together, which hold neither turn nor scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.locate.normalise import GroundPatch
from mobilegeo.locate.scan import Mode
from mobilegeo.locate.template import aimed_at, template_patch
from mobilegeo.maps.imagery import Imagery
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.patch import Patch
from mobilegeo.maps.tiling import Extent

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

REACH_M = 24.0
"""A match is sought within this distance of where the alignment puts it."""

AGREE_M = 8.0
"""Places within this distance confirm each other: one cell of the descriptors."""

MIN_INLIERS = 10
"""Of photos of elsewhere none reached it (`docs/results/verification.md`)."""

INLIER_M = 1.5
"""Three pixels of 0.5 m: a map's distortion and the relief that it does not know of."""

CONFIRMED_ODDS = 20.0
"""A right place is at least so many times likelier to be confirmed than a wrong one: 96 % against
less than 1.6 %, and a third of that, as the photos counted are not independent
(`docs/results/verification.md`)."""

APART_M = 2.0
"""Inliers in one square of this side count once."""

MIN_SPREAD = 0.06
"""Least standard deviation of the inliers across their narrowest direction, as a share of the
visible ground's side; ground that is covered evenly has 0.29."""

MAX_SCALE = 1.25
MAX_TURN_DEG = 15.0
"""Alignment finds scale and heading to a few hundredths and degrees, or is wrong."""

RATIO = 0.85
"""A match has to be this much closer than the next best place within reach."""

MAX_FEATURES = 2500
CONTRAST = 0.02
"""Half of SIFT's usual threshold: maps are often hazy."""

EDGE_PX = 9
"""Features nearer than half of this to ground without data are edges of the data."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What local features say of an aligned place.

    Attributes:
        inliers: matches that move together, counted by squares; 0 when no model was acceptable.
        east_m, north_m: from the alignment's place to the one that they agree on; 0 without
            inliers.
        scale, turn_deg: of the map against the photo, clockwise; 1 and 0 without inliers.
    """

    inliers: int = 0
    east_m: float = 0.0
    north_m: float = 0.0
    scale: float = 1.0
    turn_deg: float = 0.0

    @property
    def offset_m(self) -> float:
        """Distance between both places."""
        return math.hypot(self.east_m, self.north_m)

    @property
    def confirms(self) -> bool:
        """Whether the local features agree with the alignment."""
        return self.inliers >= MIN_INLIERS and self.offset_m <= AGREE_M

    @property
    def contradicts(self) -> bool:
        """Whether the local features agree on another place nearby."""
        return self.inliers >= MIN_INLIERS and self.offset_m > AGREE_M


@dataclass(frozen=True)
class UprightFeatures:
    """Upright local features of a patch.

    Attributes:
        places: float64 [N, 2], east and north of where the patch's corner counts from, metres.
        descriptors: float32 [N, 128], unit length.
    """

    places: Float64
    descriptors: Float32


def verify_alignment(
    image: NDArray[np.uint8], best: Mode, pack: MapPack, imagery: Imagery
) -> Verification:
    """Compares a photo with the map around the place that alignment found.

    Args:
        image: uint8 [H, W, 3] RGB.
        best: the place, and the view of it.
        pack: the map.
        imagery: of that map.
    """
    east, north = aimed_at(best.view)
    camera = best.x_m - east, best.y_m - north
    photo = template_patch(image, best.view, pack.spec, pack.surface, camera)
    reach = photo.gsd_m * len(photo.valid) / 2 + REACH_M
    x, y = best.x_m, best.y_m
    shown, box = imagery.patch(Extent(x - reach, y - reach, x + reach, y + reach))
    return verify_place(photo, shown, (box.west_m - x, box.north_m - y))


def verify_place(photo: GroundPatch, shown: Patch, corner: tuple[float, float]) -> Verification:
    """Compares a photo with the map around the place where an alignment puts it.

    Args:
        photo: the photo as the ground, its centre on the aligned place.
        shown: the map at the same resolution, `REACH_M` wider on all sides.
        corner: the upper-left corner of `shown`, east and north of the aligned place, metres.
    """
    half_m = photo.gsd_m * len(photo.valid) / 2
    own = upright_features(photo.image, photo.valid, (-half_m, half_m), photo.gsd_m)
    there = upright_features(shown.image, shown.valid, corner, photo.gsd_m)
    side_m = photo.gsd_m * math.sqrt(float(photo.valid.sum()))
    return agreed_motion(*mutual_matches(own, there, REACH_M), side_m)


def agreed_motion(own: Float64, there: Float64, side_m: float) -> Verification:
    """The similarity that most of some matches agree on.

    Args:
        own: float64 [N, 2], east and north of the photo's points from its centre, metres.
        there: float64 [N, 2], of the map's points from the aligned place.
        side_m: side of a square as large as the ground that the photo shows.
    """
    import cv2

    if len(own) < MIN_INLIERS:
        return Verification()
    model, chosen = cv2.estimateAffine2D(
        own, there, method=cv2.USAC_MAGSAC, ransacReprojThreshold=INLIER_M, maxIters=5000
    )
    if model is None:
        return Verification()
    inliers = chosen.ravel() > 0
    if inliers.sum() < MIN_INLIERS:
        return Verification()
    # Points as complex numbers, east + i north: a similarity is a multiplication and a shift.
    points, images = own @ _COMPLEX, there @ _COMPLEX
    factor, shift = _similarity(points[inliers], images[inliers])
    inliers = np.abs(factor * points + shift - images) <= INLIER_M
    scale, turn_deg = float(abs(factor)), -math.degrees(math.atan2(factor.imag, factor.real))
    squares = len(np.unique(np.floor(own[inliers] / APART_M), axis=0))
    if (
        squares < MIN_INLIERS
        or not 1 / MAX_SCALE <= scale <= MAX_SCALE
        or abs(turn_deg) > MAX_TURN_DEG
        or _narrowest(own[inliers]) < MIN_SPREAD * side_m
    ):
        return Verification()
    return Verification(squares, float(shift.real), float(shift.imag), scale, turn_deg)


_COMPLEX = np.array([1.0, 1.0j])


def _similarity(
    points: NDArray[np.complex128], images: NDArray[np.complex128]
) -> tuple[complex, complex]:
    """Factor and shift of the least-squares similarity from points to their images."""
    middle, target = points.mean(), images.mean()
    centred = points - middle
    length = float((np.abs(centred) ** 2).sum())
    factor = complex(np.vdot(centred, images - target)) / max(length, 1e-12)
    return factor, complex(target - factor * middle)


def _narrowest(points: Float64) -> float:
    """Standard deviation of points, float64 [N, 2], across their narrowest direction."""
    variance = float(np.linalg.eigvalsh(np.cov(points.T))[0])
    return math.sqrt(max(0.0, variance))


def upright_features(
    image: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    corner: tuple[float, float],
    gsd_m: float,
    most: int = MAX_FEATURES,
) -> UprightFeatures:
    """Upright RootSIFT (Arandjelović and Zisserman 2012) features of a patch.

    Args:
        image: uint8 [H, W, 3] RGB.
        valid: bool [H, W].
        corner: the upper-left corner, east and north of where places count from, metres.
        gsd_m: metres a pixel.
        most: features, the strongest.
    """
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    kernel = np.ones((EDGE_PX, EDGE_PX), np.uint8)
    inside = cv2.erode(
        valid.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    sift = cv2.SIFT_create(most, contrastThreshold=CONTRAST)
    found = {(point.pt, point.size): point for point in sift.detect(grey, inside)}
    for point in found.values():
        point.angle = 0.0
    points, raw = sift.compute(grey, list(found.values()))
    if not points:
        return UprightFeatures(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    # OpenCV's whole numbers are pixel centres.
    pixels = np.array([point.pt for point in points]) + 0.5
    places = np.array(corner) + pixels * (gsd_m, -gsd_m)
    share = raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)
    return UprightFeatures(places, np.sqrt(share).astype(np.float32))


def mutual_matches(
    own: UprightFeatures, there: UprightFeatures, reach_m: float | None
) -> tuple[Float64, Float64]:
    """Places of features that are each other's best match and clearly so, float64 [N, 2] each.

    Args:
        own: of one patch.
        there: of another.
        reach_m: how far apart the places of a match may be; any distance when `None`.
    """
    if len(own.places) == 0 or len(there.places) < 2:
        return np.zeros((0, 2)), np.zeros((0, 2))
    likeness = own.descriptors @ there.descriptors.T
    if reach_m is not None:
        away = np.abs((own.places @ _COMPLEX)[:, None] - (there.places @ _COMPLEX)[None])
        likeness[away > reach_m] = -1.0
    first = likeness.argmax(axis=1)
    rows = np.arange(len(first))
    mutual = (likeness.argmax(axis=0)[first] == rows) & (likeness[rows, first] > -1.0)
    best = likeness[rows, first]
    likeness[rows, first] = -1.0
    second = likeness.max(axis=1)
    # Squared distances of unit vectors are 2 − 2 likeness.
    clear = 1.0 - best < RATIO**2 * (1.0 - second)
    chosen = mutual & clear
    return own.places[chosen], there.places[first[chosen]]
