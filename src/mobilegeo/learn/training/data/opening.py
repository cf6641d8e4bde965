"""From a configuration to training and validation data."""

from __future__ import annotations

from mobilegeo.errors import DatasetError
from mobilegeo.learn.datasets.catalogue import read_benchmark
from mobilegeo.learn.training.data.augmentations import RECIPES
from mobilegeo.learn.training.data.config import DataConfig, SamplingConfig
from mobilegeo.learn.training.data.training import TrainingData
from mobilegeo.learn.training.data.validation import ValidationData, hold_out


def open_training_data(
    data: DataConfig, sampling: SamplingConfig, *, size_px: int, seed: int
) -> tuple[TrainingData, ValidationData | None]:
    """Reads the training part of a dataset and holds some of its places out.

    Args:
        data: which imagery.
        sampling: how batches are filled.
        size_px: side of the images, the larger of the networks'.
        seed: of order and augmentation; the held-out places follow from the configuration alone.

    Returns:
        What to train on, and what to validate on; None where nothing is held out.

    Raises:
        DatasetError: the dataset is missing or unsound.
        UsageError: too few places for a batch or for validation.
    """
    benchmark = read_benchmark(data.dataset, data.root, data.variant)
    if not benchmark.train:
        raise DatasetError(
            data.root,
            f"holds no training place with drone and satellite views for {data.dataset}",
            f"run mobilegeo learn check-data {data.dataset} {data.root}",
        )
    train, held = hold_out(benchmark.train, data.validation_share, data.validation_seed)
    training = TrainingData(
        train,
        sampling,
        RECIPES[data.augmentation],
        size_px=size_px,
        seed=seed,
        workers=data.workers,
    )
    if not held:
        return training, None
    return training, ValidationData(held, size_px=size_px, workers=data.workers)
