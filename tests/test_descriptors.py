"""The descriptors that a pack keeps, against linear algebra by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locate_kit import plain_basis
from mobilegeo.maps.descriptors import (
    CHANNELS,
    LEVELS,
    WHITENING,
    DescriptorBasis,
    restored,
    stored,
)


def units(rng, *shape):
    cells = rng.normal(size=shape).astype(np.float32)
    return cells / np.linalg.norm(cells, axis=-1, keepdims=True)


def test_features_are_standardised_and_of_unit_length():
    basis = DescriptorBasis(
        np.array([1, 2], np.float32), np.array([2, 0.5], np.float32), np.eye(2, dtype=np.float32)
    )
    features = np.array([[[7, 4], [1, 2], [9, 9]]], np.float32)
    unit = basis.unit(features, np.array([[True, True, False]]))
    # (3, 4) / 5; what equals the mean has no direction; what is not valid is zero.
    np.testing.assert_allclose(unit, [[[0.6, 0.8], [0, 0], [0, 0]]], atol=1e-6)
    assert unit.dtype == np.float32


def test_the_axes_are_the_strongest_directions_turned_down():
    rng = np.random.default_rng(0)
    directions, _ = np.linalg.qr(rng.normal(size=(60, 60)))
    strengths = np.linspace(3.0, 0.2, 60)
    moment = directions @ np.diag(strengths) @ directions.T
    basis = DescriptorBasis.fitted(np.zeros(60), np.ones(60), moment)
    assert basis.channels == CHANNELS
    # Between them they have second moments λ^(1 − W), and none with another.
    within = basis.axes.T @ moment @ basis.axes
    wanted = np.diag(strengths[:CHANNELS] ** (1 - WHITENING))
    np.testing.assert_allclose(within, wanted, atol=1e-4)
    kept = basis.axes / np.linalg.norm(basis.axes, axis=0)
    np.testing.assert_allclose(
        np.abs(kept.T @ directions[:, :CHANNELS]), np.eye(CHANNELS), atol=1e-4
    )


def test_of_few_channels_all_are_kept_and_one_without_content_stays_finite():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(500, 3)).astype(np.float32)
    features[:, 2] = features[:, 0]
    basis = DescriptorBasis.of(features)
    assert basis.channels == 3
    assert np.isfinite(basis.unit(features, np.ones(500, bool))).all()


def test_the_basis_of_features_at_hand_is_fitted_to_their_moments():
    rng = np.random.default_rng(3)
    features = (rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + 5).astype(np.float32)
    basis = DescriptorBasis.of(features)
    np.testing.assert_allclose(basis.mean, features.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(basis.std, features.std(axis=0), rtol=1e-5)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    unit = standard / np.linalg.norm(standard, axis=1, keepdims=True)
    within = basis.axes.T @ (unit.T @ unit / len(unit)) @ basis.axes
    strengths = np.linalg.eigvalsh(unit.T @ unit / len(unit))[::-1]
    np.testing.assert_allclose(within, np.diag(strengths ** (1 - WHITENING)), atol=1e-4)


def test_the_record_gives_the_basis_back():
    basis = DescriptorBasis.of(np.random.default_rng(2).normal(size=(100, 5)).astype(np.float32))
    again = DescriptorBasis.from_record(basis.to_record())
    for name in ("mean", "std", "axes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(basis, name))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_four_bits_keep_a_descriptor(channels, seed):
    rng = np.random.default_rng(seed)
    cells, valid = units(rng, 6, 7, channels), rng.random((6, 7)) > 0.3
    packed = stored(cells * valid[..., None], valid)
    assert packed.dtype == np.uint8
    assert packed.shape == (6, 7, (channels + 1) // 2)
    found, known = restored(packed, channels)
    assert (known == valid).all()
    assert not found[~valid].any()
    np.testing.assert_allclose(np.linalg.norm(found[valid], axis=-1), 1.0, atol=1e-5)
    if valid.any():
        # The largest of few values may be cut short; of many, hardly ever.
        assert (found * cells).sum(axis=-1)[valid].min() > 0.95


def test_values_are_rounded_to_the_nearest_level():
    step = 3.0 / (LEVELS * 2.0)  # K = 4, whose root mean square is a half
    cells = np.array([[0.0, 1.4 * step, -2.6 * step, 9.0]], np.float32)
    packed = stored(cells, np.array([True]))
    np.testing.assert_array_equal(packed, [[8 | (9 << 4), 5 | (15 << 4)]])


def test_a_cell_at_the_mean_is_known_and_has_no_direction():
    cell = plain_basis(4).unit(np.zeros((1, 4), np.float32), np.array([True]))
    found, known = restored(stored(cell, np.array([True])), 4)
    assert known.all()
    assert not found.any()
    assert found.shape == (1, 4)
    assert pytest.approx(0.0) == float(np.abs(found).max())
