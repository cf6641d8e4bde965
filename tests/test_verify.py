"""The vote of a template's cells against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.locate.correlate import Template
from mobilegeo.locate.likeness import likeness
from mobilegeo.locate.verify import CHANCE, DOUBT_CELLS, NEAR_CELLS, REACH_CELLS
from mobilegeo.locate.verify import agreement as agreed

SIDE = 40


def unit(rng, *shape):
    cells = rng.normal(size=(*shape, 8))
    return (cells / np.linalg.norm(cells, axis=-1, keepdims=True)).astype(np.float32)


def cut(cells, row, column, side):
    """A template whose middle lies on a corner of the map."""
    top, left = row - side // 2, column - side // 2
    return Template(cells[top : top + side, left : left + side], np.ones((side, side), bool))


def agreement(template, cells, valid, row, column):
    return agreed(likeness(template, cells, valid, row, column))


def expected(votes, asked):
    return (votes + DOUBT_CELLS * CHANCE) / (asked + DOUBT_CELLS)


@settings(deadline=None, max_examples=30)
@given(st.integers(8, 32), st.integers(8, 32), st.integers(-5, 5), st.integers(-5, 5))
def test_all_cells_agree_with_the_right_place_and_its_neighbours(row, column, down, right):
    cells = unit(np.random.default_rng(1), SIDE, SIDE)
    valid = np.ones((SIDE, SIDE), bool)
    found = agreement(cut(cells, row, column, 6), cells, valid, row + down, column + right)
    away = max(abs(down), abs(right))
    if away <= NEAR_CELLS:
        assert found == pytest.approx(expected(36, 36))
    elif away <= REACH_CELLS:
        # Every cell finds itself, too far away.
        assert found == pytest.approx(expected(0, 36))
    else:
        assert found < 0.5


def test_unlike_ground_agrees_as_often_as_chance():
    rng = np.random.default_rng(2)
    cells, valid = unit(rng, SIDE, SIDE), np.ones((SIDE, SIDE), bool)
    template = Template(unit(rng, 24, 24), np.ones((24, 24), bool))
    assert agreement(template, cells, valid, 20, 20) == pytest.approx(CHANCE, abs=0.06)


def test_only_cells_that_both_sides_show_are_asked():
    cells = unit(np.random.default_rng(3), SIDE, SIDE)
    valid = np.ones((SIDE, SIDE), bool)
    template = cut(cells, 20, 20, 8)
    template.valid[:3] = False
    assert agreement(template, cells, valid, 20, 20) == pytest.approx(expected(40, 40))
    valid[:, 22:] = False
    known = np.where(valid[..., None], cells, np.float32(0))
    assert agreement(template, known, valid, 20, 20) == pytest.approx(expected(30, 30))


def test_a_handful_of_cells_is_not_sure():
    cells = unit(np.random.default_rng(4), SIDE, SIDE)
    template = cut(cells, 20, 20, 2)
    assert agreement(template, cells, np.ones((SIDE, SIDE), bool), 20, 20) < 0.5


def test_without_cells_there_is_chance_only():
    cells = np.zeros((SIDE, SIDE, 8), np.float32)
    template = Template(np.zeros((4, 4, 8), np.float32), np.zeros((4, 4), bool))
    nothing = np.zeros((SIDE, SIDE), bool)
    assert agreement(template, cells, nothing, 20, 20) == pytest.approx(CHANCE)


@pytest.mark.parametrize("corner", [(0, 0), (SIDE, SIDE), (0, SIDE), (-30, 20), (90, 90)])
def test_places_at_and_beyond_the_edge_of_the_map(corner):
    cells = unit(np.random.default_rng(5), SIDE, SIDE)
    template = cut(cells, 20, 20, 12)
    found = agreement(template, cells, np.ones((SIDE, SIDE), bool), *corner)
    assert 0.0 <= found < 0.5
