"""What is searched over when something is not known."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locate_kit import BlockEncoder, plain_basis
from mobilegeo.camera import CameraModel, GroundView, Pose
from mobilegeo.locate.hypotheses import (
    GROUND_WIDTH_M,
    HEADING_STEP_DEG,
    LENSES_DEG,
    SCALE_RATIO,
    TYPICAL_HFOV_DEG,
    hypotheses,
    with_neighbours,
)
from mobilegeo.locate.template import (
    ENCODE_BATCH,
    make_templates,
    template_patch,
    view_templates,
)

LENS = CameraModel(70.0)


def widths_m(known):
    """Ground widths of views straight down, in order and each once."""
    widths = [2 * v.agl_m * math.tan(math.radians(v.hfov_deg) / 2) for v in known.views]
    return sorted({round(w, 6) for w in widths})


@settings(deadline=None)
@given(st.floats(0, 360), st.floats(-90, 0), st.floats(-180, 180), st.floats(1, 5000))
def test_a_known_pose_and_lens_are_one_view(heading, pitch, roll, agl):
    known = hypotheses(Pose(heading, pitch, roll, agl), LENS, 640, 480)
    assert known.views == (GroundView(640, 480, 70.0, heading, pitch, roll, agl),)
    assert known.heading_known
    assert known.scale_known
    assert known.assumed == ()


def test_an_unknown_heading_is_tried_all_around():
    known = hypotheses(Pose(None, -80.0, 2.0, 120.0), LENS, 640, 480)
    headings = [view.heading_deg for view in known.views]
    assert len(headings) == 24
    assert headings == [HEADING_STEP_DEG * i for i in range(24)]
    assert {(v.pitch_deg, v.roll_deg, v.agl_m, v.hfov_deg) for v in known.views} == {
        (-80.0, 2.0, 120.0, 70.0)
    }
    assert not known.heading_known
    assert known.scale_known
    assert known.assumed == ("heading unknown: 24 tried",)


def covers(widths, low, high):
    """A geometric series from low to high without a gap wider than the ratio."""
    ratios = [b / a for a, b in pairwise(widths)]
    assert (widths[0], widths[-1]) == pytest.approx((low, high))
    assert max(ratios) <= SCALE_RATIO + 1e-9
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-5)
    assert ratios[0] ** len(ratios) == pytest.approx(high / low, rel=1e-4)
    # One step fewer would leave gaps.
    assert (high / low) ** (1 / max(1, len(ratios) - 1)) > SCALE_RATIO


def test_an_unknown_height_is_tried_over_ground_widths():
    known = hypotheses(Pose(10.0, -90.0, 0.0, None), LENS, 640, 480)
    covers(widths_m(known), *GROUND_WIDTH_M)
    assert {v.hfov_deg for v in known.views} == {70.0}
    assert known.heading_known
    assert not known.scale_known
    assert known.assumed == (f"height unknown: {len(known.views)} ground scales tried",)


def test_an_unknown_lens_is_tried_over_usual_ones():
    known = hypotheses(Pose(10.0, -90.0, 0.0, 100.0), None, 640, 480)
    assert {v.agl_m for v in known.views} == {100.0}
    low, high = (200 * math.tan(math.radians(lens) / 2) for lens in LENSES_DEG)
    covers(widths_m(known), low, high)
    assert known.assumed == (f"field of view unknown: {len(known.views)} ground scales tried",)


def test_neither_height_nor_lens_is_the_same_search_of_widths():
    known = hypotheses(Pose(10.0, -90.0, 0.0, None), None, 640, 480)
    covers(widths_m(known), *GROUND_WIDTH_M)
    assert {v.hfov_deg for v in known.views} == {TYPICAL_HFOV_DEG}
    scales = len(known.views)
    assert known.assumed == (f"height and field of view unknown: {scales} ground scales tried",)


def test_nothing_known_is_every_heading_at_every_scale():
    known = hypotheses(Pose(), None, 640, 480)
    scales = len(widths_m(known))
    assert len(known.views) == 24 * scales
    assert len(set(known.views)) == len(known.views)
    assert all((v.pitch_deg, v.roll_deg) == (-90.0, 0.0) for v in known.views)
    assert (known.heading_known, known.scale_known) == (False, False)
    said = "; ".join(known.assumed)
    assert "heading unknown: 24 tried" in said
    assert f"height and field of view unknown: {scales} ground scales tried" in said
    assert "pitch unknown: taken as straight down" in said


def test_a_level_camera_is_not_taken_for_an_unknown_one():
    """Zeros are values."""
    known = hypotheses(Pose(0.0, 0.0, 0.0, 50.0), LENS, 640, 480)
    assert len(known.views) == 1
    assert known.views[0].pitch_deg == 0.0
    assert known.heading_known
    assert known.assumed == ()


def test_an_unknown_roll_is_told():
    known = hypotheses(Pose(10.0, -60.0, None, 100.0), LENS, 640, 480)
    assert any("roll" in remark for remark in known.assumed)


def test_many_views_give_the_templates_of_each_in_bounded_memory():
    known = hypotheses(Pose(), LENS, 240, 180).views
    assert len(known) > 250
    views = known[::4]
    image = np.random.default_rng(0).integers(0, 256, (180, 240, 3), dtype=np.uint8)
    basis = plain_basis(9)
    batches = []

    class Watching(BlockEncoder):
        def features(self, images):
            batches.append(len(images))
            return super().features(images)

    encoder = Watching()
    templates = view_templates(image, views, encoder, basis)
    assert len(templates) == len(views)
    assert max(batches) == ENCODE_BATCH
    for number in (0, 31, 32, len(views) - 1):
        patch = template_patch(image, views[number], encoder.spec)
        (alone,) = make_templates([patch], encoder, basis)
        assert (templates[number].valid == alone.valid).all()
        assert np.allclose(templates[number].cells, alone.cells, atol=1e-6)


def test_the_neighbours_of_a_trial_heading_are_those_beside_it_at_the_same_scale():
    views = hypotheses(Pose(None, -90.0, 0.0, None), LENS, 640, 480).views
    chosen = next(v for v in views if v.heading_deg == 0.0)
    found = with_neighbours(views, {chosen})
    assert sorted(v.heading_deg for v in found) == [0.0, 15.0, 345.0]
    assert {v.agl_m for v in found} == {chosen.agl_m}
    known = hypotheses(Pose(33.0, -90.0, 0.0, 100.0), LENS, 640, 480).views
    assert with_neighbours(known, set(known)) == known
    assert with_neighbours(views, set(views)) == views
