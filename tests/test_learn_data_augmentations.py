"""What training does to images, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.learn.training.data import augmentations
from mobilegeo.learn.training.data.augmentations import RECIPES, Look, stretched

seeds = st.integers(0, 2**32 - 1)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(
    height=st.integers(8, 90), width=st.integers(8, 90), size=st.integers(16, 70),
    name=st.sampled_from(sorted(RECIPES)), seed=seeds,
)  # fmt: skip
@settings(max_examples=60)
def test_every_recipe_gives_squares_and_repeats_itself(height, width, size, name, seed) -> None:
    image = noise(height, width)
    before = image.copy()
    for look in (RECIPES[name].drone, RECIPES[name].satellite):
        first = look.apply(image, size, np.random.default_rng(seed))
        again = look.apply(image, size, np.random.default_rng(seed))
        assert first.shape == (size, size, 3)
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)


def test_no_augmentation_only_stretches() -> None:
    image = noise(40, 60)
    out = RECIPES["none"].drone.apply(image, 20, np.random.default_rng(0))
    np.testing.assert_array_equal(out, stretched(image, 20))
    halves = image.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(stretched(image, 20).mean() - halves.mean()) < 1.0


def test_quarter_turns_are_the_four_rotations_and_all_occur() -> None:
    image = noise(32, 32)
    turned = [np.rot90(image, k) for k in range(4)]
    look = Look(turns="quarter")
    seen = set()
    for seed in range(40):
        out = look.apply(image, 32, np.random.default_rng(seed))
        seen.add(next(k for k in range(4) if np.array_equal(out, turned[k])))
    assert seen == {0, 1, 2, 3}


def test_the_drone_side_of_the_recipes_is_never_turned() -> None:
    assert all(recipe.drone.turns == "none" for recipe in RECIPES.values())


def test_a_shift_moves_content_by_at_most_the_share_of_the_side() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[30:34, 30:34] = 255
    for seed in range(20):
        out = Look(shift=0.1).apply(image, 64, np.random.default_rng(seed))[..., 0].astype(float)
        rows, columns = np.indices(out.shape)
        for axis in (rows, columns):
            assert abs((axis * out).sum() / out.sum() - 31.5) <= 6.4 + 0.1


def test_hue_turns_around_grey_and_a_third_of_a_turn_swaps_channels() -> None:
    turn = augmentations._hue_turn(2.0 * math.pi / 3.0)
    np.testing.assert_allclose(turn @ np.ones(3), np.ones(3), atol=1e-12)
    np.testing.assert_allclose(turn @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


def test_jitter_without_strength_changes_nothing_and_keeps_grey_grey() -> None:
    image = noise(16, 16)
    out = Look(coloured=1.0, jitter=0.0).apply(image, 16, np.random.default_rng(0))
    assert np.abs(out.astype(int) - image).max() <= 1
    grey = np.repeat(noise(16, 16)[..., :1], 3, axis=2)
    out = Look(coloured=1.0, jitter=0.15).apply(grey, 16, np.random.default_rng(3)).astype(int)
    assert np.ptp(out, axis=2).max() <= 1
    assert np.abs(out - grey).max() > 3


@given(seed=seeds)
@settings(max_examples=40)
def test_holes_are_black_and_leave_the_rest_alone(seed) -> None:
    image = np.maximum(noise(96, 96), 1)
    out = Look(dropped=1.0).apply(image, 96, np.random.default_rng(seed))
    hole = (out == 0).all(axis=2)
    assert 0.05 < hole.mean() < 0.65
    np.testing.assert_array_equal(out[~hole], image[~hole])


def test_blur_smooths_or_sharpens_and_compression_stays_close() -> None:
    image = noise(64, 64)
    looks = [Look(blurred=1.0).apply(image, 64, np.random.default_rng(s)) for s in range(12)]
    steps = [np.abs(np.diff(look.astype(int), axis=1)).mean() for look in looks]
    plain = np.abs(np.diff(image.astype(int), axis=1)).mean()
    assert min(steps) < plain < max(steps)
    smooth = stretched(noise(6, 6), 64)
    out = Look(compressed=1.0).apply(smooth, 64, np.random.default_rng(0)).astype(int)
    assert 0 < np.abs(out - smooth).mean() < 4.0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_shares_are_probabilities(share) -> None:
    image = np.maximum(noise(32, 32), 1)
    changed = [
        not np.array_equal(Look(dropped=share).apply(image, 32, np.random.default_rng(s)), image)
        for s in range(10)
    ]
    assert changed == [share == 1.0] * 10
