"""A template's cells against the map around them, by hand and against the FFT."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.locate.correlate import MapSpectrum, Template
from mobilegeo.locate.likeness import CORNERS, REACH_CELLS, likeness

SIDE = 40
MIDDLE = SIDE // 2


def unit(cells):
    return (cells / np.linalg.norm(cells, axis=-1, keepdims=True)).astype(np.float32)


def smooth_map(seed, channels=12, grain=4):
    """Unit descriptors that vary over `grain` cells, float32 [40, 40, C]."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(SIDE // grain, SIDE // grain, channels)).astype(np.float32)
    planes = [cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for p in coarse.T]
    return unit(np.stack(planes, axis=2))


def sampled(cells, row, column):
    """Descriptors between cells, bilinear; row and column [h, w] with pixel centres at integers."""
    at = [a.astype(np.float32) for a in (column, row)]
    planes = [
        cv2.remap(np.ascontiguousarray(p), *at, cv2.INTER_CUBIC) for p in np.moveaxis(cells, 2, 0)
    ]
    return unit(np.stack(planes, axis=2))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 100), st.sampled_from([4, 10, 24]), st.sampled_from([6, 12, 16]))
def test_scores_at_corners_are_those_of_the_correlation(seed, height, width):
    rng = np.random.default_rng(seed)
    cells = unit(rng.normal(size=(SIDE, SIDE, 7)))
    valid = rng.random((SIDE, SIDE)) > 0.1
    cells[~valid] = 0
    template = Template(
        unit(rng.normal(size=(height, width, 7))), rng.random((height, width)) > 0.2
    )
    template.cells[~template.valid] = 0
    row, column = (int(v) for v in rng.integers(8, SIDE - 8, 2))
    found = likeness(template, cells, valid, row, column).scores()
    whole = MapSpectrum(cells, valid, 24).correlate(template)
    near = whole[row - CORNERS : row + CORNERS + 1, column - CORNERS : column + CORNERS + 1]
    np.testing.assert_allclose(found, near, atol=2e-5)


@pytest.mark.parametrize("corner", [(0, 0), (SIDE, 3), (-6, 20), (SIDE + 50, SIDE + 50)])
def test_beyond_the_edge_there_is_no_data(corner):
    rng = np.random.default_rng(1)
    cells, valid = unit(rng.normal(size=(SIDE, SIDE, 5))), np.ones((SIDE, SIDE), bool)
    template = Template(unit(rng.normal(size=(12, 12, 5))), np.ones((12, 12), bool))
    seen = likeness(template, cells, valid, *corner)
    span = np.arange(-REACH_CELLS, REACH_CELLS + 1)
    for number in (0, 77, 143):
        rows = corner[0] - 6 + number // 12 + span
        columns = corner[1] - 6 + number % 12 + span
        inside = ((rows >= 0) & (rows < SIDE))[:, None] & ((columns >= 0) & (columns < SIDE))
        assert (seen.known[:, :, number] == inside).all()
        assert not seen.values[:, :, number][~inside].any()


@pytest.mark.parametrize("turn_deg", [-6.0, -3.0, 0.0, 4.0])
@pytest.mark.parametrize("log_scale", [-0.08, 0.0, 0.05])
def test_a_photo_taken_turned_and_higher_fits_when_it_is_turned_and_stretched(turn_deg, log_scale):
    """The template is the map as a camera sees it whose telemetry is wrong by these.

    A camera that is really turned clockwise and higher shows at each cell the ground that lies
    turned clockwise about the middle, and farther away from it.
    """
    cells = smooth_map(3)
    south, east = np.meshgrid(np.arange(24) - 11.5, np.arange(24) - 11.5, indexing="ij")
    angle, stretch = math.radians(turn_deg), math.exp(log_scale)
    east_there = stretch * (east * math.cos(angle) - south * math.sin(angle))
    south_there = stretch * (south * math.cos(angle) + east * math.sin(angle))
    seen_cells = sampled(cells, MIDDLE + south_there - 0.5, MIDDLE + east_there - 0.5)
    template = Template(seen_cells, np.ones((24, 24), bool))
    seen = likeness(template, cells, np.ones((SIDE, SIDE), bool), MIDDLE, MIDDLE)
    right = seen.scores(turn_deg, log_scale)
    assert np.unravel_index(right.argmax(), right.shape) == (CORNERS, CORNERS)
    assert right.max() > 0.97
    for turn, scale in ((turn_deg + 4, log_scale), (turn_deg, log_scale + 0.08)):
        assert seen.scores(turn, scale).max() < right.max() - 0.01


def test_cells_that_would_look_too_far_do_not_count():
    cells = smooth_map(4)
    template = Template(cells[8:32, 8:32], np.ones((24, 24), bool))
    seen = likeness(template, cells, np.ones((SIDE, SIDE), bool), MIDDLE, MIDDLE)
    # At 45° the outermost cells lie nine cells off: the score is that of the inner ones.
    far = seen.scores(45.0)
    assert ((far == -1.0) | (np.abs(far) < 0.9)).all()
    assert (seen.scores(170.0) == -1.0).all()


def test_an_empty_template_has_no_scores():
    cells = smooth_map(5)
    empty = Template(np.zeros((8, 8, 12), np.float32), np.zeros((8, 8), bool))
    seen = likeness(empty, cells, np.ones((SIDE, SIDE), bool), MIDDLE, MIDDLE)
    assert (seen.scores() == -1.0).all()
