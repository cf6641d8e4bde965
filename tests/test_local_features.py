"""Verification by local features: known motions found, everything degenerate refused."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli_kit import call, small_world
from locate_kit import BlockEncoder, Ground, a_view, build_ground_pack, photo_record
from mobilegeo.camera import GroundView
from mobilegeo.errors import PackError, UsageError
from mobilegeo.geo import distance_m
from mobilegeo.locate.answers import _confidence
from mobilegeo.locate.calibration import shipped
from mobilegeo.locate.local_features import (
    AGREE_M,
    CONFIRMED_ODDS,
    INLIER_M,
    MIN_INLIERS,
    REACH_M,
    Verification,
    agreed_motion,
    verify_place,
)
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.normalise import GroundPatch
from mobilegeo.locate.records import Options
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.patch import Patch

GSD_M = 0.5
PHOTO_PX = 240
MAP_PX = PHOTO_PX + 2 * round(REACH_M / GSD_M)
GRAIN_M = (2.0, 4.0, 8.0)


def everywhere(image):
    return Patch(image, np.ones(image.shape[:2], bool))


def texture(seed):
    """uint8 [MAP_PX, MAP_PX, 3]."""
    return Ground(side_m=MAP_PX * GSD_M, seed=seed, grain_m=GRAIN_M).image


def seen(shown, east_m=0.0, north_m=0.0, scale=1.0, turn_deg=0.0, valid=None):
    """The photo whose middle the map has (east, north) off its own, scaled and turned clockwise."""
    angle = math.radians(turn_deg)
    turn = scale * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    middle = np.array([MAP_PX / 2 + east_m / GSD_M, MAP_PX / 2 - north_m / GSD_M])
    half = np.array([PHOTO_PX / 2, PHOTO_PX / 2])
    # From pixels of the photo to those of the map, whose whole numbers are centres in OpenCV.
    shift = middle - turn @ half + turn @ [0.5, 0.5] - [0.5, 0.5]
    image = cv2.warpAffine(
        shown,
        np.column_stack([turn, shift]),
        (PHOTO_PX, PHOTO_PX),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
    )
    if valid is None:
        valid = np.ones((PHOTO_PX, PHOTO_PX), bool)
    return GroundPatch(np.where(valid[..., None], image, 0), valid, GSD_M, 0.0, 0.0)


def verified(photo, shown):
    half_m = MAP_PX * GSD_M / 2
    return verify_place(photo, shown, (-half_m, half_m))


SHOWN = texture(seed=1)


@pytest.mark.parametrize(
    ("east_m", "north_m", "scale", "turn_deg"),
    [(0, 0, 1, 0), (5.3, -2.1, 1, 0), (-14.0, 12.0, 1, 0), (1.0, 2.0, 1.1, 0), (0, 0, 0.9, 8),
     (-3.0, 4.0, 1.06, -6)],
)  # fmt: skip
def test_a_known_motion_is_found(east_m, north_m, scale, turn_deg):
    found = verified(seen(SHOWN, east_m, north_m, scale, turn_deg), everywhere(SHOWN))
    assert found.inliers > 3 * MIN_INLIERS
    assert found.east_m == pytest.approx(east_m, abs=0.15)
    assert found.north_m == pytest.approx(north_m, abs=0.15)
    assert found.scale == pytest.approx(scale, abs=0.005)
    assert found.turn_deg == pytest.approx(turn_deg, abs=0.3)
    away = math.hypot(east_m, north_m)
    assert found.offset_m == pytest.approx(away, abs=0.2)
    assert found.confirms == (away <= AGREE_M)
    assert found.contradicts == (away > AGREE_M)


def test_another_season_is_still_verified():
    rng = np.random.default_rng(2)
    other = 255 * (seen(SHOWN, 3.0, 1.0).image[..., ::-1] / 255.0) ** 1.6 * 0.7 + 40
    other = cv2.GaussianBlur(other + rng.normal(0, 12, other.shape), (0, 0), 0.8)
    photo = seen(SHOWN)
    image = np.clip(other, 0, 255).astype(np.uint8)
    found = verified(GroundPatch(image, photo.valid, GSD_M, 0.0, 0.0), everywhere(SHOWN))
    assert found.confirms
    assert (found.east_m, found.north_m) == pytest.approx((3.0, 1.0), abs=0.5)


@pytest.mark.parametrize("seed", range(2, 8))
def test_another_place_is_never_verified(seed):
    assert verified(seen(texture(seed)), everywhere(SHOWN)) == Verification()


def stripes(width_px):
    rows = np.arange(MAP_PX)[:, None, None] // width_px % 2 * 140 + 50
    return np.broadcast_to(rows, (MAP_PX, MAP_PX, 3)).astype(np.uint8)


def bricks(period_px):
    rows, columns = np.indices((MAP_PX, MAP_PX))
    shifted = columns + rows // period_px % 2 * period_px // 2
    joints = (shifted % period_px < 3) | (rows % period_px < 3)
    noise = np.random.default_rng(0).normal(0, 4, (MAP_PX, MAP_PX))
    return np.repeat(np.where(joints, 190, 110)[..., None] + noise[..., None], 3, 2).astype(
        np.uint8
    )


@pytest.mark.parametrize(
    "shown",
    [np.full((MAP_PX, MAP_PX, 3), 90, np.uint8), stripes(6), stripes(20), bricks(24), bricks(40)],
    ids=["uniform", "thin stripes", "stripes", "bricks", "large bricks"],
)
def test_repeated_and_empty_ground_is_not_verified(shown):
    # Half a period aside, where a repeated texture fits as well as anywhere.
    photo = seen(shown, 6.0, 6.0)
    noisy = photo.image + np.random.default_rng(1).normal(0, 4, photo.image.shape)
    photo = GroundPatch(np.clip(noisy, 0, 255).astype(np.uint8), photo.valid, GSD_M, 0.0, 0.0)
    assert not verified(photo, everywhere(shown)).confirms


def test_too_large_a_scale_or_turn_is_refused():
    assert verified(seen(SHOWN, scale=1.35), everywhere(SHOWN)) == Verification()
    assert verified(seen(SHOWN, turn_deg=24.0), everywhere(SHOWN)) == Verification()


def test_a_map_without_data_and_a_photo_without_ground():
    nothing = np.zeros((MAP_PX, MAP_PX), bool)
    assert verified(seen(SHOWN), Patch(SHOWN, nothing)) == Verification()
    nowhere = np.zeros((PHOTO_PX, PHOTO_PX), bool)
    assert verified(seen(SHOWN, valid=nowhere), everywhere(SHOWN)) == Verification()


def test_only_ground_with_data_is_compared():
    left = np.zeros((PHOTO_PX, PHOTO_PX), bool)
    left[:, :100] = True
    found = verified(seen(SHOWN, 2.0, 0.0, valid=left), everywhere(SHOWN))
    assert found.confirms
    valid = np.ones((MAP_PX, MAP_PX), bool)
    valid[:, : MAP_PX // 2] = False
    assert verified(seen(SHOWN, 2.0, 0.0, valid=left), Patch(SHOWN, valid)) == Verification()


# The motion alone, from matches that are given.


def scattered(count, side_m=100.0, seed=0):
    return np.random.default_rng(seed).uniform(-side_m / 2, side_m / 2, (count, 2))


def moved(points, shift, scale=1.0, turn_deg=0.0):
    angle = math.radians(-turn_deg)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return scale * points @ turn.T + shift


@settings(max_examples=30)
@given(
    st.floats(-20, 20), st.floats(-20, 20), st.floats(0.85, 1.18), st.floats(-14, 14),
    st.integers(0, 60),
)  # fmt: skip
def test_a_similarity_is_found_among_outliers(east, north, scale, turn_deg, outliers):
    own = scattered(60)
    there = moved(own, (east, north), scale, turn_deg)
    wild = scattered(outliers, seed=1)
    there = np.concatenate([there, wild + scattered(outliers, 40.0, seed=2)])
    found = agreed_motion(np.concatenate([own, wild]), there, 100.0)
    assert found.inliers >= 55
    assert (found.east_m, found.north_m) == pytest.approx((east, north), abs=0.2)
    assert found.scale == pytest.approx(scale, abs=0.01)
    assert found.turn_deg == pytest.approx(turn_deg, abs=0.5)


@pytest.mark.parametrize(
    ("own", "why"),
    [
        (scattered(MIN_INLIERS - 1), "too few"),
        (np.repeat(scattered(3), 20, axis=0), "the same three corners again and again"),
        (scattered(60) * 0.08 + 40.0, "bunched in a corner"),
        (scattered(60) * (1.0, 0.02), "along a line"),
        (scattered(60) * 0.0, "one point"),
    ],
)
def test_degenerate_matches_are_refused(own, why):
    assert agreed_motion(own, own + 1.0, 100.0) == Verification(), why


def test_a_shear_is_no_similarity():
    own = scattered(200)
    there = own @ np.array([[1.0, 0.35], [0.0, 1.0]])
    found = agreed_motion(own, there, 100.0)
    # What is left is the strip in which a similarity is within its tolerance.
    assert found.inliers < 60
    assert not found.contradicts


def test_random_matches_agree_on_nothing():
    for seed in range(20):
        own = scattered(80, seed=seed)
        there = own + scattered(80, 2 * REACH_M, seed=1000 + seed)
        assert agreed_motion(own, there, 100.0) == Verification()


def test_inliers_lie_within_the_tolerance():
    own = scattered(40)
    there = own + 1.0
    there[:10] += (0.0, 3 * INLIER_M)
    assert agreed_motion(own, there, 100.0).inliers <= 30


# In the localizer.


class Shifted:
    """An alignment's evidence, as far as its confidence goes."""

    def __init__(self, score):
        from types import SimpleNamespace

        self.best = SimpleNamespace(score=score, strength=score * 20)
        self.second, self.noise_mean, self.noise_std, self.trials = 3.0, 0.0, 1.0, 1000
        self.agreement = 0.4


@pytest.mark.parametrize("score", [0.1, 0.3, 0.5])
def test_only_a_confirmation_raises_the_confidence(score):
    constants = shipped().aligned
    plain = _confidence(Shifted(score), constants, None)
    confirmed = Verification(MIN_INLIERS, 1.0, 1.0)
    elsewhere = Verification(MIN_INLIERS, 2 * AGREE_M, 0.0)
    assert _confidence(Shifted(score), constants, Verification()) == plain
    assert _confidence(Shifted(score), constants, elsewhere) == plain
    raised = _confidence(Shifted(score), constants, confirmed)
    assert raised / (1 - raised) == pytest.approx(CONFIRMED_ODDS * plain / (1 - plain))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A ground with fine detail and its pack, which keeps the imagery."""
    ground = Ground(seed=11, grain_m=(2.0, 4.0, 9.0, 30.0))
    pack = build_ground_pack(tmp_path_factory.mktemp("verify"), ground, imagery=True)
    return ground, pack


VIEW = a_view(width_px=320, height_px=240)


def test_a_photo_of_the_map_is_verified(world):
    ground, pack = world
    photo = photo_record(ground.photo(VIEW, 20.0, -33.0), VIEW)
    plain = Localizer(pack, BlockEncoder()).locate(photo)
    trace = Localizer(pack, BlockEncoder(), Options(verify=True)).trace(photo)
    assert trace.verification.confirms
    assert trace.fix.details["verify_inliers"] == trace.verification.inliers >= MIN_INLIERS
    assert trace.fix.details["verify_offset_m"] == trace.verification.offset_m
    assert trace.fix.confidence > plain.confidence
    assert "verify_inliers" not in plain.details
    assert trace.fix.timing_ms["verify"] > 0.0 == plain.timing_ms["verify"]
    best, second = trace.alignment.best, trace.verification
    found = pack.frame.point(best.x_m + second.east_m, best.y_m + second.north_m)
    assert distance_m(found, pack.frame.point(20.0, -33.0)) < 0.3


def test_a_tilted_photo_is_verified_as_the_ground(world):
    ground, pack = world
    view = GroundView(**{**vars(VIEW), "pitch_deg": -65.0, "heading_deg": 40.0})
    photo = photo_record(ground.photo(view, 0.0, -30.0), view)
    trace = Localizer(pack, BlockEncoder(), Options(verify=True)).trace(photo)
    assert trace.verification.confirms


def test_a_photo_of_elsewhere_is_not_verified(world):
    _, pack = world
    other = Ground(seed=12, grain_m=(2.0, 4.0, 9.0, 30.0)).photo(VIEW)
    fix = Localizer(pack, BlockEncoder(), Options(verify=True)).locate(photo_record(other, VIEW))
    assert fix.details["verify_inliers"] == 0
    assert "verify_offset_m" not in fix.details


def test_another_place_nearby_is_told_and_changes_nothing(world, monkeypatch):
    ground, pack = world
    photo = photo_record(ground.photo(VIEW, 20.0, -33.0), VIEW)
    plain = Localizer(pack, BlockEncoder()).locate(photo)
    monkeypatch.setattr(
        "mobilegeo.locate.localizer.verify_alignment",
        lambda *_: Verification(30, 12.0, -9.0),
    )
    fix = Localizer(pack, BlockEncoder(), Options(verify=True)).locate(photo)
    assert "local features agree on a place 15 m away" in fix.reason
    assert (fix.status, fix.lat, fix.lon) == (plain.status, plain.lat, plain.lon)
    assert fix.confidence == plain.confidence


def test_without_imagery_there_is_no_verification(tmp_path):
    pack = build_ground_pack(tmp_path, Ground(side_m=200.0), footprints_m=(60.0,))
    with pytest.raises(PackError, match=r"holds no imagery .* `mobilegeo map build --imagery`"):
        Localizer(pack, BlockEncoder(), Options(verify=True))


def test_retrieval_alone_has_nothing_to_verify():
    with pytest.raises(UsageError, match="--verify: has no aligned place to verify"):
        Options(verify=True, retrieval_only=True)


def test_the_command_line_asks_for_imagery_and_then_verifies(tmp_path_factory):
    world = small_world(tmp_path_factory.getbasetemp())
    photo = world.photos[0]
    refused = call("locate", photo, "--map", world.pack, "--verify")
    assert refused.code == 3
    assert "map build --imagery" in refused.err
    pack = tmp_path_factory.mktemp("cli") / "map.pack"
    built = call("map", "build", world.map_tif, "-o", pack, "--imagery", "--footprint-m", "120")
    assert built.code == 0
    assert MapPack.open(pack).imagery is not None
    outcome = call("locate", photo, "--map", pack, "--verify", "--json")
    assert outcome.code == 0
    assert "verify_inliers" in json.loads(outcome.out)["details"]
    fused = call("locate", photo, "--map", pack, "--together", "--verify", "--json")
    assert "verify_inliers" in json.loads(fused.out)["details"]
    both = call("locate", photo, "--map", pack, "--verify", "--retrieval-only")
    assert both.code == 2
