"""Corruptions: repeatable, stronger with severity, and doing what their names say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.learn.evaluation.corruptions import CONDITIONS, CORRUPTIONS, SEVERITIES, corrupt

NAMES = (*CORRUPTIONS, *(name for name in CONDITIONS if "+" in name))


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Ground-like: smooth colour with fine texture and some bright and dark rectangles."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 110.0) + rng.normal(0.0, 12.0, (height, width, 3))
    for _ in range(25):
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        image[top : top + height // 6, left : left + width // 6] += rng.uniform(-70.0, 90.0, 3)
    return np.clip(image, 1, 255).astype(np.uint8)


def change(image, corrupted) -> float:
    return float(np.abs(corrupted.astype(float) - image).mean())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("index", [0, 7])
def test_same_arguments_give_the_same_image_and_severity_only_adds(name: str, index: int) -> None:
    image = scene(160, 200, seed=index)
    before = image.copy()
    levels = [corrupt(image, name, severity, index) for severity in SEVERITIES]
    assert np.array_equal(image, before)
    assert all(level.shape == image.shape and level.dtype == np.uint8 for level in levels)
    again = corrupt(image, name, 3, index)
    assert np.array_equal(again, levels[2])
    changes = [change(image, level) for level in levels]
    assert changes[0] > 1.0
    assert all(stronger > weaker for weaker, stronger in itertools.pairwise(changes))


@pytest.mark.parametrize("name", ["fog", "rain", "snow", "dark", "wind"])
def test_what_is_random_follows_index_and_seed(name: str) -> None:
    image = scene(96, 96)
    first = corrupt(image, name, 3, index=0, seed=0)
    assert not np.array_equal(first, corrupt(image, name, 3, index=1, seed=0))
    assert not np.array_equal(first, corrupt(image, name, 3, index=0, seed=1))


def test_a_combination_is_its_parts_in_order() -> None:
    image = scene(96, 128)
    combined = corrupt(image, "fog+snow", 2, index=5).astype(int)
    in_turn = corrupt(corrupt(image, "fog", 2, index=5), "snow", 2, index=5).astype(int)
    assert np.abs(combined - in_turn).max() <= 1  # rounded once or twice
    assert not np.array_equal(combined, corrupt(image, "snow+fog", 2, index=5))


def test_names_mean_what_they_say() -> None:
    image = scene(160, 160)
    level, contrast = image.mean(), image.std()

    def looks(name: str) -> np.ndarray:
        return corrupt(image, name, 3, index=0).astype(float)

    assert looks("fog").mean() > level
    assert looks("fog").std() < contrast
    assert looks("dark").mean() < 0.5 * level
    assert looks("over-exposure").mean() > 1.3 * level
    assert (looks("over-exposure") == 255).mean() > (image == 255).mean()
    assert looks("snow").max() > 230
    for name in ("wind", "blur"):
        assert looks(name).mean() == pytest.approx(level, rel=0.02)
        assert (
            np.abs(np.diff(looks(name), axis=0)).mean()
            < 0.5 * np.abs(np.diff(image.astype(float), axis=0)).mean()
        )


@pytest.mark.parametrize("name", ["rain", "snow", "fog", "blur", "wind"])
def test_strength_does_not_depend_on_resolution(name: str) -> None:
    small = np.kron(scene(16, 16), np.ones((8, 8, 1), np.uint8))
    large = np.kron(small, np.ones((4, 4, 1), np.uint8))
    changes = [
        np.mean([change(image, corrupt(image, name, 3, index)) for index in range(4)])
        for image in (small, large)
    ]
    assert changes[1] == pytest.approx(changes[0], rel=0.35)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(NAMES),
    st.sampled_from(SEVERITIES),
    st.sampled_from([0, 255]),
)
def test_any_size_and_flat_images(height, width, name, severity, value) -> None:
    image = np.full((height, width, 3), value, np.uint8)
    assert corrupt(image, name, severity, index=0).shape == (height, width, 3)


@pytest.mark.parametrize("name", NAMES)
def test_mild_on_a_real_photo_and_strong_at_the_end(name: str, shared_data) -> None:
    import cv2

    path = sorted((shared_data / "drone" / "sheffield_cross" / "images").glob("*.JPG"))[10]
    image = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2)[..., ::-1]
    mild, strong = (corrupt(image, name, severity, index=0) for severity in (1, 5))

    def likeness(other) -> float:
        return float(np.corrcoef(image.mean(axis=2).ravel(), other.mean(axis=2).ravel())[0, 1])

    assert likeness(mild) > 0.6
    assert likeness(strong) > 0.1  # hard, but the ground still shows
    assert likeness(strong) < likeness(mild)


def test_bad_arguments_are_refused() -> None:
    image = scene(32, 32)
    with pytest.raises(UsageError, match="corruption hail: is not known; choose from fog"):
        corrupt(image, "fog+hail", 1, index=0)
    with pytest.raises(UsageError, match="severity 6"):
        corrupt(image, "fog", 6, index=0)
    with pytest.raises(UsageError, match=r"image: is float32 \[32, 32, 3\]"):
        corrupt(image.astype(np.float32), "fog", 1, index=0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"image: is uint8 \[32, 32\]"):
        corrupt(image[..., 0], "fog", 1, index=0)
