"""The simulated survey and its figures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from mobilegeo.errors import ResourceError
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.evaluation.report import read_looks, survey_report
from mobilegeo.learn.evaluation.survey import (
    Survey,
    position_errors_m,
    simulate_survey,
    take_colours,
)

LOOK = np.full((8, 8, 3), (180, 120, 90), np.uint8)


@pytest.fixture(scope="module")
def scene() -> Source:
    coarse = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    image = cv2.resize(coarse, (400, 400), interpolation=cv2.INTER_CUBIC)
    return Source("scene", "scene", image, 0.5)


def test_errors_are_the_distance_to_the_best_tile() -> None:
    colours = np.eye(3, dtype=np.uint8) * 255
    tiles = np.broadcast_to(colours[:, None, None], (3, 4, 4, 3))
    survey = Survey(
        tiles,
        np.array([[0.0, 0.0], [30.0, 40.0], [100.0, 0.0]]),
        tiles[[1, 2]],
        np.array([[0.0, 0.0], [100.0, 3.0]]),
    )

    def embed(images: np.ndarray) -> np.ndarray:
        mean = images.mean(axis=(1, 2)).astype(np.float32)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    assert position_errors_m(survey, embed, batch=2) == pytest.approx([50.0, 3.0])


def test_survey_covers_the_scene_and_repeats(scene: Source) -> None:
    survey = simulate_survey(scene, [LOOK], 1, footprint_m=60, stride_m=20, photos=3, size_px=32)
    assert survey.tiles.shape == (49, 32, 32, 3)
    assert np.unique(survey.tile_xy_m[:, 0]).tolist() == [30, 50, 70, 90, 110, 130, 150]
    assert survey.query_xy_m.min() >= 30
    assert survey.query_xy_m.max() <= 170
    again = simulate_survey(scene, [LOOK], 1, footprint_m=60, stride_m=20, photos=3, size_px=32)
    assert np.array_equal(survey.tiles, again.tiles)
    assert np.array_equal(survey.queries, again.queries)
    other = simulate_survey(scene, [LOOK], 2, footprint_m=60, stride_m=20, photos=3, size_px=32)
    assert not np.array_equal(survey.queries, other.queries)


def test_colours_are_taken_and_black_stays() -> None:
    image = np.random.default_rng(0).integers(60, 120, (32, 32, 3), np.uint8)
    image[:8] = 0
    look = np.random.default_rng(1).integers(130, 170, (32, 32, 3), np.uint8)
    out = take_colours(image, look)
    assert out[:8].max() == 0
    assert out[8:].min() >= 1
    assert out[8:].mean(axis=(0, 1)) == pytest.approx(look.mean(axis=(0, 1)), abs=4)


def test_report_sums_up_all_seeds(scene: Source) -> None:
    def blind(images: np.ndarray) -> np.ndarray:
        return np.ones((len(images), 1), np.float32)

    report = survey_report(blind, scene, [LOOK], seeds=[0, 1])
    assert report.photos == 200
    assert 0 <= report.within_30m <= report.within_50m <= 1
    assert set(report.to_record()) == {"photos", "median_m", "within_30m", "within_50m"}
    # Always the first tile, in the corner of the 80 m square of photo positions: half of them
    # lie in the quarter circle around it with π r² / 4 = 80² / 2.
    assert report.median_m == pytest.approx(80.0 * (2.0 / np.pi) ** 0.5, abs=8.0)


def test_looks_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="holds no photos"):
        read_looks(tmp_path)
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", LOOK)[1].tobytes())
    assert read_looks(tmp_path)[0].shape == LOOK.shape
