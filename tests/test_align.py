"""Alignment of photos with a ground in memory: the place, heading and scale come out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from locate_kit import CELL_M, BlockEncoder, Ground, MemoryMap, a_view, place
from mobilegeo.locate.align import Aligner
from mobilegeo.locate.prior import Box, CirclePrior
from mobilegeo.locate.scan import BLOCK_CELLS, MODE_DISTANCE_M, blocks
from mobilegeo.locate.template import covered_cells, visible_centre

EVERYWHERE = Box(-200.0, -200.0, 200.0, 200.0)


@pytest.fixture(scope="module")
def ground():
    return Ground(side_m=400.0, seed=3)


@pytest.fixture(scope="module")
def town(ground):
    return MemoryMap(ground)


def align(world, photo, views, areas=(EVERYWHERE,), prior=None):
    return Aligner(world, BlockEncoder(), photo, prior).align(views, areas)


def miss_m(alignment, view, x_m, y_m):
    """Distance from the visible centre as found to where it is, for a camera above (x, y)."""
    east, north = visible_centre(view)
    best = alignment.best
    return math.hypot(best.x_m - x_m - east, best.y_m - y_m - north)


@pytest.mark.parametrize(
    ("pose", "x_m", "y_m"),
    [
        ({}, 0.0, 0.0),
        ({}, 40.0, -60.0),
        ({}, -37.3, 61.9),
        ({"heading_deg": 123.0}, 42.1, 17.7),
        ({"heading_deg": 250.0, "pitch_deg": -60.0}, 33.3, 20.2),
        ({"heading_deg": 20.0, "pitch_deg": -55.0, "roll_deg": 8.0}, -20.9, -40.4),
        ({"heading_deg": 95.0, "pitch_deg": -95.0}, -61.0, 11.0),
    ],
)
def test_a_planted_photo_is_found_within_a_fraction_of_a_cell(ground, town, pose, x_m, y_m):
    view = a_view(**pose)
    found = align(town, ground.photo(view, x_m, y_m), [view])
    assert miss_m(found, view, x_m, y_m) < 0.25 * CELL_M
    assert found.best.score > 0.8
    assert found.second < 0.5 * found.best.strength
    assert found.best.view.heading_deg == pytest.approx(view.heading_deg, abs=2.0)
    assert found.best.view.agl_m == pytest.approx(view.agl_m, rel=0.03)


@pytest.mark.parametrize(("turned_deg", "scaled"), [(8, 1.0), (-8, 1.0), (0, 1.12), (0, 1 / 1.12)])
@pytest.mark.parametrize("pitch_deg", [-90.0, -65.0])
def test_a_wrong_heading_or_height_is_recovered(ground, town, turned_deg, scaled, pitch_deg):
    view = a_view(heading_deg=60.0, pitch_deg=pitch_deg)
    photo = ground.photo(view, 21.0, -13.0)
    told = replace(view, heading_deg=60.0 + turned_deg, agl_m=100.0 * scaled)
    found = align(town, photo, [told])
    assert found.best.view.heading_deg == pytest.approx(60.0, abs=2.0)
    assert found.best.view.agl_m == pytest.approx(100.0, rel=0.03)
    assert miss_m(found, view, 21.0, -13.0) < 0.5 * CELL_M
    assert found.best.score > 0.7


def test_the_best_of_several_hypotheses_wins(ground, town):
    view = a_view(heading_deg=75.0)
    photo = ground.photo(view, 10.0, 20.0)
    found = align(town, photo, [replace(view, heading_deg=h) for h in np.arange(0.0, 360.0, 15.0)])
    assert found.best.view.heading_deg == pytest.approx(75.0, abs=1.0)
    assert miss_m(found, view, 10.0, 20.0) < 0.25 * CELL_M
    # Every place for every hypothesis was compared.
    corners = (400 / CELL_M + 1) ** 2
    assert 0.5 * 24 * corners < found.trials <= 24 * corners


def test_the_noise_is_that_of_other_places(ground, town):
    view = a_view()
    found = align(town, ground.photo(view, 0.0, 0.0), [view])
    root_cells = found.best.strength / found.best.score
    assert abs(found.noise_mean) < 0.1 * root_cells
    assert 0.03 * root_cells < found.noise_std < 0.3 * root_cells
    assert found.second < found.noise_mean + 5 * found.noise_std


def test_the_heatmap_shows_the_peak_at_its_place(ground, town):
    view = a_view()
    found = align(town, ground.photo(view, 40.0, -60.0), [view])
    scores, box = found.heatmap.scores, found.heatmap.box
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert box.west + column * CELL_M == pytest.approx(40.0, abs=CELL_M / 2)
    assert box.north - row * CELL_M == pytest.approx(-60.0, abs=CELL_M / 2)
    assert scores.shape == (
        (box.north - box.south) / CELL_M + 1,
        (box.east - box.west) / CELL_M + 1,
    )


def test_the_spread_is_that_of_the_peak(ground, town):
    """The joint fit against parabolas through the scores along each parameter."""
    view = a_view()
    found = align(town, ground.photo(view, 0.0, 0.0), [view])
    scores = found.heatmap.scores
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    cross = [scores[row + d, column + e] for d, e in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    fallen = 1 - np.mean(cross) / scores[row, column]
    # A parabola falls by ½ (x / spread)², a Gaussian begins to fall as ln 2 · (x / width)².
    along = CELL_M / math.sqrt(2 * fallen)
    # These descriptors' peak is sharper than a cell: samples a step away in two parameters at once
    # lie on its foot and make the joint fit wider than its tip.
    sigmas = np.sqrt(np.diag(found.spread)[:2])
    assert (sigmas > 0.9 * along).all()
    assert (sigmas < 2.0 * along).all()
    assert found.width_m == pytest.approx(sigmas.mean() * math.sqrt(2 * math.log(2)), rel=0.1)
    # What noise moves: a fraction of a cell, a degree, a few per cent of height.
    assert 0.01 * CELL_M < math.sqrt(found.covariance[0, 0]) < 0.3 * CELL_M
    assert 0.05 < found.heading_sigma_deg < 3.0
    assert 0.001 < found.log_scale_sigma < 0.05
    np.testing.assert_allclose(found.covariance, found.covariance.T)


def test_a_longer_view_knows_its_heading_better(ground, town):
    """The farther the template reaches, the less it may turn."""
    photo_of = {agl_m: a_view(agl_m=agl_m) for agl_m in (60.0, 120.0)}
    near, far = (align(town, ground.photo(v, 0.0, 0.0), [v]) for v in photo_of.values())
    assert far.heading_sigma_deg < near.heading_sigma_deg


def test_cells_agree_with_the_right_place_only(ground, town):
    view = a_view()
    right = align(town, ground.photo(view, 0.0, 0.0), [view])
    assert right.agreement > 0.9
    wrong = align(town, Ground(side_m=400.0, seed=99).photo(view, 0.0, 0.0), [view])
    assert wrong.agreement < 0.5


@pytest.fixture(scope="module")
def twice():
    """A ground whose eastern half repeats its western half, 200 m apart."""
    ground = Ground(side_m=400.0, seed=5)
    ground.image[:, 400:] = ground.image[:, :400]
    return ground


def test_a_map_that_repeats_itself_has_a_second_mode(twice):
    world = MemoryMap(twice)
    view = a_view()
    found = align(world, twice.photo(view, -100.0, 20.0), [view])
    assert found.best.strength - found.second < 0.02 * found.best.strength
    assert abs(found.best.x_m) == pytest.approx(100.0, abs=1.0)
    assert found.best.y_m == pytest.approx(20.0, abs=1.0)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_prior_decides_between_twins(twice, side):
    world = MemoryMap(twice)
    view = a_view()
    photo = twice.photo(view, -100.0, 20.0)
    found = align(world, photo, [view], prior=CirclePrior(place(side * 100.0, 20.0), 60.0))
    assert found.best.x_m == pytest.approx(side * 100.0, abs=1.0)
    assert found.second < 0.7 * found.best.strength


def test_the_prior_is_of_the_camera_and_not_of_what_it_sees(ground, town):
    """A camera that looks 100 m ahead: the prior holds its place, not the ground's."""
    view = a_view(pitch_deg=-45.0, heading_deg=90.0)
    photo = ground.photo(view, -80.0, 0.0)
    found = align(town, photo, [view], prior=CirclePrior(place(-80.0, 0.0), 20.0))
    assert found.best.x_m == pytest.approx(20.0, abs=CELL_M / 2)
    assert found.best.score > 0.7
    elsewhere = align(town, photo, [view], prior=CirclePrior(place(20.0, 0.0), 20.0))
    assert elsewhere.best.score < 0.5


def test_a_photo_unlike_every_place_is_answered_without_a_match(ground, town):
    """As with pure noise, the highest of the coarse strengths is negative, too."""
    view = a_view()
    photo = 255 - ground.photo(view, 0.0, 0.0)
    here = Box(-4.0, -4.0, 4.0, 4.0)
    found = align(town, photo, [view], [here])
    assert found.heatmap.scores.max() < 0.0
    assert found.best.score < 0.1
    assert found.agreement < 0.3
    assert np.isfinite(found.covariance).all()


def test_areas_limit_the_search(ground, town):
    view = a_view()
    photo = ground.photo(view, 40.0, -60.0)
    west, south_east = Box(-150.0, -150.0, -50.0, 150.0), Box(20.0, -90.0, 60.0, -30.0)
    assert align(town, photo, [view], [west]).best.score < 0.6
    found = align(town, photo, [view], [west, south_east])
    assert miss_m(found, view, 40.0, -60.0) < 0.25 * CELL_M
    assert found.heatmap.box == Box(20.0, -92.0, 60.0, -28.0)  # in whole cells


def test_without_data_there_is_no_alignment(ground):
    cells = np.zeros((100, 100), bool)
    cells[:, :30] = True
    view = a_view()
    photo = ground.photo(view, 0.0, 0.0)
    world = MemoryMap(ground, valid=cells)
    assert align(world, photo, [view], [Box(0.0, -100.0, 200.0, 100.0)]) is None
    assert align(world, photo, [view], [Box(5000.0, 5000.0, 5100.0, 5100.0)]) is None


def test_without_a_place_inside_the_prior_there_is_no_alignment(ground, town):
    view = a_view()
    prior = CirclePrior(place(1000.0, 0.0), 50.0)
    assert align(town, ground.photo(view), [view], prior=prior) is None


def test_a_place_beside_a_hole_in_the_map_is_found(ground):
    cells = np.ones((100, 100), bool)
    cells[40:60, 55:75] = False  # x 20 … 100, y −40 … 40
    view = a_view()
    found = align(MemoryMap(ground, valid=cells), ground.photo(view, 0.0, 0.0), [view])
    assert miss_m(found, view, 0.0, 0.0) < 0.5 * CELL_M
    assert found.best.score > 0.8


@pytest.fixture(scope="module")
def long_ground():
    """Wider than a block of cells."""
    return Ground(side_m=960.0, seed=8)


@pytest.mark.parametrize("x_m", [-2.0, 0.0, 1.5])
def test_a_peak_on_the_seam_of_two_blocks_is_found_once(long_ground, x_m):
    area = Box(-BLOCK_CELLS * CELL_M, -100.0, 300.0, 100.0)
    assert [block.x0 for block in blocks([area], CELL_M)] == [-BLOCK_CELLS, 0]
    view = a_view()
    found = align(MemoryMap(long_ground), long_ground.photo(view, x_m, 30.0), [view], [area])
    assert miss_m(found, view, x_m, 30.0) < 0.25 * CELL_M
    assert found.second < 0.6 * found.best.strength


def test_blocks_cover_areas_in_whole_cells():
    area = Box(-1001.0, -3.0, 1003.0, 399.0)
    cut = list(blocks([area], CELL_M))
    assert all(max(b.width, b.height) <= BLOCK_CELLS for b in cut)
    assert sum(b.width * b.height for b in cut) == 502 * 101
    x = np.unique(np.concatenate([b.corners()[0] for b in cut]))
    y = np.unique(np.concatenate([b.corners()[1] for b in cut]))
    np.testing.assert_array_equal(x, np.arange(-1004.0, 1005.0, CELL_M))
    np.testing.assert_array_equal(y, np.arange(-4.0, 401.0, CELL_M))


def test_the_second_mode_lies_elsewhere(ground, town):
    """The slope of the peak itself is no rival."""
    view = a_view()
    found = align(town, ground.photo(view, 0.0, 0.0), [view], [Box(-12.0, -12.0, 12.0, 12.0)])
    assert math.hypot(12.0, 12.0) < MODE_DISTANCE_M
    assert found.second == -math.inf


def test_refinement_respects_the_prior(ground, town):
    """The peak lies a little outside of the prior: the answer must not, but for the grid's step.

    The prior is widened by a cell, so that a small one holds a corner, and the peak lies up to
    half a cell beside its corner.
    """
    view = a_view()
    centre, radius_m = place(-30.0, 0.0), 24.0
    found = align(town, ground.photo(view, 0.0, 0.0), [view], prior=CirclePrior(centre, radius_m))
    assert math.hypot(found.best.x_m + 30.0, found.best.y_m) <= radius_m + 1.5 * CELL_M


def test_a_cell_counts_from_its_share_of_valid_pixels():
    valid = np.zeros((4, 8), bool)
    valid[:, :3] = True
    np.testing.assert_array_equal(covered_cells(valid, 4, 0.75), [[True, False]])
    np.testing.assert_array_equal(covered_cells(valid, 4, 0.76), [[False, False]])
