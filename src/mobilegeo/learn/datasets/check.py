"""`check-data`: what of a dataset is there, missing, misplaced or unreadable, each with a cure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from mobilegeo.decode import decode_rgb, open_file
from mobilegeo.errors import PhotoError
from mobilegeo.learn.datasets.catalogue import find_dataset
from mobilegeo.learn.datasets.findings import Finding, Report

SAMPLE = 200
"""Images that are decoded unless all are asked for, spread evenly over the dataset."""
_MIN_SIDE_PX = 32
"""A JPEG is decoded reduced; a file that is cut off or damaged is found all the same."""

Progress = Callable[[str, int, int], None]


def check_dataset(
    name: str,
    root: str | Path,
    *,
    variant: str | None = None,
    all_images: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Checks a dataset's folder.

    Args:
        name: key of the catalogue.
        root: the folder.
        variant: check this one only; None checks all.
        all_images: decode every image, not a sample of `SAMPLE`.
        progress: called with a stage's name, steps done and steps in all.

    Raises:
        UsageError: there is no such dataset or variant.
    """
    dataset, root = find_dataset(name), Path(root)
    variants = dataset.variants if variant is None else (dataset.chosen_variant(variant),)
    misplaced = dataset.misplaced(root)
    if misplaced is not None:
        return Report(name, root, (), (misplaced,), 0, 0)
    inspections = [dataset.inspect(root, chosen) for chosen in variants or ("",)]
    images = sorted(set(chain.from_iterable(found.images for found in inspections)))
    chosen_images = images if all_images else _spread(images, SAMPLE)
    damaged = _damaged(chosen_images, progress)
    findings = dict.fromkeys(chain.from_iterable(found.findings for found in inspections))
    counts = dict.fromkeys(chain.from_iterable(found.counts for found in inspections))
    return Report(name, root, tuple(counts), (*findings, *damaged), len(chosen_images), len(images))


def _spread(images: Sequence[Path], number: int) -> list[Path]:
    """So many of the images, evenly spaced; all where there are no more."""
    if len(images) <= number:
        return list(images)
    return [images[step * len(images) // number] for step in range(number)]


def _damaged(images: Sequence[Path], progress: Progress | None) -> list[Finding]:
    findings = []
    for number, path in enumerate(images, start=1):
        try:
            with open_file(path) as stream:
                decode_rgb(str(path), stream, 1, _MIN_SIDE_PX)
        except PhotoError as error:
            cure = "unpack it again or remove it: it would stop a training run"
            findings.append(Finding("error", error.where, error.problem, cure))
        if progress is not None:
            progress("images", number, len(images))
    return findings
