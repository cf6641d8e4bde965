"""First sight of a view: what blur, haze, cover and light do to its signature and detail."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locate_kit import Ground
from mobilegeo.locate import views
from mobilegeo.locate.normalise import GroundPatch
from mobilegeo.locate.views.glimpse import THUMBNAIL_PX

GROUND = Ground(side_m=64.0, seed=3, grain_m=(1.5, 4.0, 12.0)).image[:THUMBNAIL_PX, :THUMBNAIL_PX]


def patch(image, valid=None):
    seen = np.ones(image.shape[:2], np.bool_) if valid is None else valid
    return GroundPatch(np.where(seen[..., None], image, 0).astype(np.uint8), seen, 1.0, 0.0, 0.0)


def hazy(image):
    return 0.25 * image.astype(float) + 0.75 * 180


def covered(image):
    image = image.copy()
    image[:, : THUMBNAIL_PX // 2] = (200, 60, 60)
    return image


SPOILT = {
    "blur": lambda image: cv2.GaussianBlur(image, (0, 0), 2.5),
    "haze": hazy,
    "cover": covered,
    "night": lambda image: image // 10,
}


@pytest.mark.parametrize("fault", SPOILT)
def test_every_fault_lowers_the_detail(fault):
    clean, spoilt = views.glimpse(patch(GROUND)), views.glimpse(patch(SPOILT[fault](GROUND)))
    assert spoilt.detail < 0.75 * clean.detail


def test_half_a_view_has_half_the_detail():
    valid = np.zeros((THUMBNAIL_PX, THUMBNAIL_PX), np.bool_)
    valid[:, : THUMBNAIL_PX // 2] = True
    left = views.glimpse(patch(GROUND, valid)).detail
    right = views.glimpse(patch(GROUND, ~valid)).detail
    assert left + right == pytest.approx(views.glimpse(patch(GROUND)).detail, rel=0.05)


@given(gain=st.floats(0.3, 0.9), offset=st.floats(0, 20))
def test_signatures_do_not_depend_on_light(gain, offset):
    plain = views.glimpse(patch(GROUND)).signature
    lit = views.glimpse(patch(gain * GROUND.astype(float) + offset)).signature
    assert float(plain @ lit) > 0.99


def test_signatures_tell_places_apart():
    elsewhere = Ground(side_m=64.0, seed=4, grain_m=(1.5, 4.0, 12.0)).image[
        :THUMBNAIL_PX, :THUMBNAIL_PX
    ]
    one, other = views.glimpse(patch(GROUND)), views.glimpse(patch(elsewhere))
    assert one.signature.shape == (256,)
    assert np.linalg.norm(one.signature) == pytest.approx(1.0, abs=1e-5)
    assert abs(float(one.signature @ other.signature)) < 0.5


@pytest.mark.parametrize("valid", [True, False])
def test_a_blank_view_has_neither_detail_nor_signature(valid):
    blank = np.full((THUMBNAIL_PX, THUMBNAIL_PX, 3), 99, np.uint8)
    seen = views.glimpse(patch(blank, np.full(blank.shape[:2], valid)))
    assert seen.detail == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(seen.signature, 0.0, atol=1e-2)


def test_copies_are_near_by_signature_where_no_pose_is_known():
    seen = [views.glimpse(patch(image)) for image in (GROUND, GROUND, GROUND[::-1])]
    known = views.before_the_network(seen, None)
    assert known.distances[0, 1] == pytest.approx(0.0, abs=1e-5)
    assert known.distances[0, 2] > 0.2
    np.testing.assert_allclose(known.likeness, 1 - known.distances)


def test_poses_stand_before_signatures():
    seen = [views.glimpse(patch(GROUND)), views.glimpse(patch(hazy(GROUND)))]
    distances = np.array([[0.0, 0.7], [0.7, 0.0]])
    known = views.before_the_network(seen, distances)
    np.testing.assert_array_equal(known.distances, distances)
    np.testing.assert_allclose(known.likeness, views.pose_likeness(distances))
    np.testing.assert_allclose(known.importance, [1.0, 0.0])
