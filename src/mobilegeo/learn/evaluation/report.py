"""Figures for a model card: how an encoder file does on simulated surveys of a held-out scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import ResourceError
from mobilegeo.learn.datasets.sources import IMAGE_SUFFIXES, Source, read_rgb
from mobilegeo.learn.evaluation.survey import Embed, position_errors_m, simulate_survey


@dataclass(frozen=True, slots=True)
class SurveyReport:
    """Errors in position over all photos of all surveys.

    Attributes:
        photos: how many.
        median_m: half the photos are nearer than this to their true position.
        within_30m, within_50m: shares of the photos, 0 … 1.
    """

    photos: int
    median_m: float
    within_30m: float
    within_50m: float

    def to_record(self) -> dict[str, float]:
        """As a JSON object."""
        return asdict(self)


def survey_report(
    embed: Embed, scene: Source, looks: Sequence[NDArray[np.uint8]], seeds: Sequence[int]
) -> SurveyReport:
    """Runs one survey of 100 photos a seed and puts the errors together.

    Args:
        embed: uint8 [B, S, S, 3] to L2-normalised float32 [B, D], such as `Encoder.embed`.
        scene: imagery that the encoder has not seen.
        looks: real drone photos whose colours the simulated photos take on.
        seeds: one map look and set of photos each.
    """
    errors = np.concatenate(
        [position_errors_m(simulate_survey(scene, looks, seed), embed) for seed in seeds]
    )
    return SurveyReport(
        len(errors),
        float(np.median(errors)),
        float((errors < 30.0).mean()),
        float((errors < 50.0).mean()),
    )


def read_looks(folder: Path, every: int = 10) -> list[NDArray[np.uint8]]:
    """Every `every`-th photo under a folder, uint8 RGB.

    Raises:
        ResourceError: there is none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)[::every]
    if not paths:
        raise ResourceError(folder, "holds no photos", "give a folder of drone photos")
    return [read_rgb(path) for path in paths]
