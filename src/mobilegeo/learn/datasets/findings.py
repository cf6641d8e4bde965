"""What the inspection of a dataset's folder says: counts, and what is missing or misplaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mobilegeo.learn.datasets.records import Benchmark

Level = Literal["error", "warning"]
_NAMED = 3
"""So many examples are named in a finding; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        level: an `error` makes the dataset unusable, a `warning` makes it less than the official.
        where: the file or folder.
        problem: what was found.
        cure: what to do about it.
    """

    level: Level
    where: str
    problem: str
    cure: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}; {self.cure}"


@dataclass(frozen=True, slots=True)
class Count:
    """How much of one subset is there.

    Attributes:
        subset: its name.
        places, images: found.
        official_places, official_images: published; None where nothing is published.
    """

    subset: str
    places: int
    images: int
    official_places: int | None = None
    official_images: int | None = None


@dataclass(frozen=True)
class Inspection:
    """What lies in a dataset's folder.

    Attributes:
        counts: of each subset, in the dataset's order.
        findings: errors and warnings, in the order in which they were found.
        images: every image file that a reader would open.
        build: makes the records; meaningful only where no finding is an error.
    """

    counts: tuple[Count, ...]
    findings: tuple[Finding, ...]
    images: tuple[Path, ...]
    build: Callable[[], Benchmark] = field(repr=False)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the dataset unusable."""
        return tuple(finding for finding in self.findings if finding.level == "error")


@dataclass(frozen=True)
class Report:
    """The answer of `check-data`.

    Attributes:
        dataset: key of the catalogue.
        root: the folder that was checked.
        counts, findings: as in `Inspection`, of all variants.
        images_opened: image files that were decoded.
        images_total: image files found.
    """

    dataset: str
    root: Path
    counts: tuple[Count, ...]
    findings: tuple[Finding, ...]
    images_opened: int
    images_total: int

    @property
    def usable(self) -> bool:
        """Whether training and evaluation can run on it."""
        return all(finding.level != "error" for finding in self.findings)

    def to_record(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "dataset": self.dataset,
            "root": str(self.root),
            "usable": self.usable,
            "counts": [
                {
                    "subset": count.subset,
                    "places": count.places,
                    "images": count.images,
                    "official_places": count.official_places,
                    "official_images": count.official_images,
                }
                for count in self.counts
            ],
            "findings": [
                {
                    "level": finding.level,
                    "where": finding.where,
                    "problem": finding.problem,
                    "cure": finding.cure,
                }
                for finding in self.findings
            ],
            "images_opened": self.images_opened,
            "images_total": self.images_total,
        }


def some(names: Iterable[object]) -> str:
    """Names the first few and counts the rest: `0001, 0002, 0003 and 12 more`."""
    listed = [str(name) for name in names]
    rest = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
