"""Correlation by FFT against the sum written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.locate import correlate as correlate_module
from mobilegeo.locate.correlate import MIN_OVERLAP, MapSpectrum, Template, shared_out


def unit_cells(rng, height, width, share=1.0, channels=3):
    """Random unit descriptors, zero where there is no data."""
    cells = rng.normal(size=(height, width, channels))
    cells /= np.linalg.norm(cells, axis=2, keepdims=True)
    valid = rng.random((height, width)) < share
    return (cells * valid[..., None]).astype(np.float32), valid


def brute_force(cells, valid, template):
    """The definition: at every corner, the cosine of the two masked grids."""
    height, width = template.valid.shape
    pad = ((height, height), (width, width))
    cells, valid = np.pad(cells, (*pad, (0, 0))), np.pad(valid, pad)
    total = template.valid.sum()
    rows, columns = valid.shape[0] - 2 * height, valid.shape[1] - 2 * width
    scores = np.full((rows + 1, columns + 1), -1.0)
    overlaps = np.zeros_like(scores)
    for r in range(rows + 1):
        for c in range(columns + 1):
            top, left = r + height - height // 2, c + width - width // 2
            under = np.s_[top : top + height, left : left + width]
            overlap = (valid[under] & template.valid).sum()
            overlaps[r, c] = overlap
            if overlap >= max(1, MIN_OVERLAP * total):
                scores[r, c] = (cells[under] * template.cells).sum() / np.sqrt(overlap * total)
    return scores, overlaps


sides = st.integers(1, 4).map(lambda half: 2 * half)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 13),
    st.integers(1, 13),
    sides,
    sides,
    st.sampled_from([0.0, 0.4, 0.8, 1.0]),
    st.sampled_from([0.1, 0.6, 1.0]),
    st.integers(0, 999),
)
def test_correlation_is_the_masked_cosine(h, w, th, tw, map_share, share, seed):
    rng = np.random.default_rng(seed)
    cells, valid = unit_cells(rng, h, w, map_share)
    template = Template(*unit_cells(rng, th, tw, share))
    scores = MapSpectrum(cells, valid, max(th, tw)).correlate(template)
    assert scores.shape == (h + 1, w + 1)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, brute_force(cells, valid, template)[0], atol=2e-5)


def test_one_spectrum_serves_templates_of_several_sizes():
    rng = np.random.default_rng(0)
    cells, valid = unit_cells(rng, 11, 8)
    spectrum = MapSpectrum(cells, valid, 12)
    for side in (2, 12, 6):
        template = Template(*unit_cells(rng, side, side))
        np.testing.assert_allclose(
            spectrum.correlate(template), brute_force(cells, valid, template)[0], atol=2e-5
        )


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(0, 24), st.integers(0, 999))
def test_a_piece_of_the_map_scores_one_at_its_centre_and_nowhere_else(row, column, seed):
    rng = np.random.default_rng(seed)
    cells, valid = unit_cells(rng, 26, 30)
    piece = Template(cells[row : row + 6, column : column + 6], np.ones((6, 6), bool))
    scores = MapSpectrum(cells, valid, 6).correlate(piece)
    assert np.unravel_index(scores.argmax(), scores.shape) == (row + 3, column + 3)
    assert scores.max() == pytest.approx(1.0, abs=1e-5)
    scores[row + 3, column + 3] = 0
    assert scores.max() < 0.9


def test_contrast_does_not_matter_and_the_opposite_scores_minus_one():
    rng = np.random.default_rng(0)
    cells, valid = unit_cells(rng, 10, 10)
    opposite = Template(-cells[2:6, 2:6], np.ones((4, 4), bool))
    score = MapSpectrum(cells, valid, 4).correlate(opposite)[4, 4]
    assert score == pytest.approx(-1.0, abs=1e-5)


def test_half_of_the_template_has_to_lie_on_the_map():
    cells, valid = np.ones((8, 8, 1), np.float32), np.ones((8, 8), bool)
    template = Template(np.ones((4, 4, 1), np.float32), np.ones((4, 4), bool))
    scores = MapSpectrum(cells, valid, 4).correlate(template)
    # On an edge exactly half overlaps: allowed. In a corner a quarter: not.
    np.testing.assert_array_equal(scores[[0, 0, 8, 8], [0, 8, 0, 8]], -1)
    edge = scores[0, 2:7]
    # √(8 · 16) of 8 equal cells: hanging over the edge is not favoured.
    np.testing.assert_allclose(edge, 8 / math.sqrt(8 * 16), atol=1e-5)
    np.testing.assert_allclose(scores[2:7, 2:7], 1, atol=1e-5)


@pytest.mark.parametrize("empty", ["map", "template"])
def test_without_data_there_is_no_score(empty):
    rng = np.random.default_rng(0)
    cells, valid = unit_cells(rng, 9, 9, share=0.0 if empty == "map" else 1.0)
    template = Template(*unit_cells(rng, 4, 4, share=0.0 if empty == "template" else 1.0))
    np.testing.assert_array_equal(MapSpectrum(cells, valid, 4).correlate(template), -1)


@given(st.integers(1, 200), st.integers(1, 16))
def test_every_channel_is_in_one_part(channels, cores):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlate_module.os, "cpu_count", lambda: cores)
        parts = shared_out(channels)
    assert [n for part in parts for n in range(part.start, part.stop)] == list(range(channels))
    assert len(parts) == min(4, cores, channels)


@given(st.integers(1, 3000))
def test_transforms_have_no_large_prime_factor(length):
    size = correlate_module._fast_size(length)
    assert length <= size <= 1.25 * length + 1
    for prime in (2, 3, 5, 7):
        while size % prime == 0:
            size //= prime
    assert size == 1
