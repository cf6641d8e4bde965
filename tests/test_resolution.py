"""How finely photos are decoded, against what normalising keeps of them."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from locate_kit import BlockEncoder, Ground, a_view, build_ground_pack
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.normalise import FINER, shrink_to
from mobilegeo.locate.records import Options
from mobilegeo.locate.resolution import DECODE_SIDE_PX, decode_side_px
from mobilegeo.locate.retrieve import best_footprint
from mobilegeo.locate.template import visible_centre
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import PhotoMetadata

SPEC = BlockEncoder().spec
FOOTPRINTS_M = (60.0, 120.0)
KNOWN = Telemetry(heading_deg=30.0, pitch_deg=-90.0, roll_deg=0.0, agl_m=100.0, hfov_deg=60.0)


def metadata(**changes):
    known = replace(KNOWN, **changes)
    return PhotoMetadata(
        source="a.jpg", full_size=(4000, 3000), telemetry=known, pose=known.pose,
        camera=known.camera,
    )  # fmt: skip


def side(known, footprints_m=FOOTPRINTS_M, *, retrieval_only=False):
    return decode_side_px(known, SPEC, footprints_m, retrieval_only=retrieval_only)


def test_as_many_pixels_as_the_ground_resolution_needs():
    """A photo straight down shows 2 · 100 m · tan(30°) across 4000 pixels."""
    gsd_m = 200.0 * math.tan(math.radians(30.0)) / 4000
    finest = min(SPEC.feature_gsd_m, 60.0 / SPEC.size_px)
    assert side(metadata(), (60.0,)) == math.ceil(3000 * FINER * gsd_m / finest)
    needed = 60.0 / SPEC.size_px
    retrieved = side(metadata(), (60.0,), retrieval_only=True)
    assert retrieved == math.ceil(3000 * FINER * gsd_m / needed)


def test_only_the_footprint_that_will_be_compared_counts():
    both = side(metadata(), retrieval_only=True)
    assert both == side(metadata(), (60.0,), retrieval_only=True)  # 87 m high: 60 m are covered
    assert both == 2 * side(metadata(agl_m=50.0), (60.0,), retrieval_only=True)


def test_from_twice_as_high_twice_as_many_pixels_up_to_a_limit():
    low, high = side(metadata(agl_m=40.0)), side(metadata(agl_m=80.0))
    assert high == pytest.approx(2 * low, abs=1)
    assert side(metadata(agl_m=3000.0)) == DECODE_SIDE_PX


@pytest.mark.parametrize("unknown", ["agl_m", "hfov_deg"])
def test_an_unknown_scale_counts_as_the_widest_that_is_tried(unknown):
    assert side(metadata(**{unknown: None})) > side(metadata())


def test_a_view_of_the_sky_needs_next_to_nothing():
    assert side(metadata(pitch_deg=40.0)) == 1


@given(
    pitch_deg=st.floats(-90.0, -10.0),
    agl_m=st.floats(30.0, 300.0),
    hfov_deg=st.floats(30.0, 100.0),
    retrieval_only=st.booleans(),
)
def test_nothing_that_normalising_would_keep_is_lost(pitch_deg, agl_m, hfov_deg, retrieval_only):
    view = a_view(width_px=800, height_px=600, pitch_deg=pitch_deg, agl_m=agl_m, hfov_deg=hfov_deg)
    centre = visible_centre(view)
    assume(centre is not None)
    gsd_m = best_footprint(view, centre, FOOTPRINTS_M) / SPEC.size_px
    if not retrieval_only:
        gsd_m = min(gsd_m, SPEC.feature_gsd_m)
    kept, _ = shrink_to(np.zeros((600, 800, 3), np.uint8), view, gsd_m)
    known = metadata(
        heading_deg=view.heading_deg, pitch_deg=pitch_deg, agl_m=agl_m, hfov_deg=hfov_deg
    )
    needed = side(replace(known, full_size=(800, 600)), retrieval_only=retrieval_only)
    assert needed == min(DECODE_SIDE_PX, needed)
    # shrinking by whole pixels alone may leave up to a seventh more than is needed
    assert kept.shape[0] - 2 <= needed / 0.875 or kept.shape[0] <= 8
    assert needed <= kept.shape[0] + 2


def test_a_localizer_decodes_a_known_photo_smaller(tmp_path):
    pack = build_ground_pack(tmp_path, Ground())
    file = tmp_path / "a.jpg"
    cv2.imwrite(str(file), np.full((1200, 1600, 3), 90, np.uint8))
    sides = []
    for options in (Options(), Options(retrieval_only=True)):
        localizer = Localizer(pack, BlockEncoder(), options)
        reading = localizer.read(file, KNOWN)
        assert reading.seconds > 0
        assert reading.photo.full_size == (1600, 1200)
        sides.append(len(reading.photo.image))
        assert len(localizer.read(file).photo.image) >= sides[-1]
    assert sides[1] <= sides[0] < 1200
