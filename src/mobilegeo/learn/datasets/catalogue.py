"""The datasets by name. A new one is a file beside this one and a line in `DATASETS`."""

from __future__ import annotations

from pathlib import Path

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets import (
    denseuav,
    folder,
    gta_uav,
    simulated_views,
    sues200,
    uav_visloc,
    university1652,
)
from mobilegeo.learn.datasets.dataset import Dataset
from mobilegeo.learn.datasets.records import Benchmark

DATASETS: dict[str, Dataset] = {
    "university1652": university1652.DATASET,
    "sues200": sues200.DATASET,
    "denseuav": denseuav.DATASET,
    "gta_uav": gta_uav.DATASET,
    "uav_visloc": uav_visloc.DATASET,
    "folder": folder.DATASET,
    "simulated": simulated_views.DATASET,
}


def find_dataset(name: str) -> Dataset:
    """An entry of the catalogue.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in DATASETS:
        raise UsageError(f"dataset {name!r}", "is not known", f"use one of: {', '.join(DATASETS)}")
    return DATASETS[name]


def read_benchmark(name: str, root: str | Path, variant: str | None = None) -> Benchmark:
    """Reads a dataset.

    Args:
        name: key of `DATASETS`.
        root: its folder.
        variant: a height or split where the dataset has several; None takes the first.

    Raises:
        DatasetError: the folder is not this dataset, or a part of it is missing.
        UsageError: there is no such dataset or variant.
    """
    return find_dataset(name).read(Path(root), variant)
