"""Which places are simulated, under which names and in which folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mobilegeo.errors import UsageError
from mobilegeo.learn.simulate.ground import Ground, Site
from mobilegeo.learn.simulate.settings import Settings

START, SATELLITE, DRONE, CHOICE = range(4)
"""Streams of randomness of one run."""


@dataclass(frozen=True)
class PlannedPlace:
    """One place to write.

    Attributes:
        id: four digits, as in University-1652.
        ground: number of its ground.
        site: where on it.
    """

    id: str
    ground: int
    site: Site

    @property
    def drone_folders(self) -> tuple[str, ...]:
        """Where the drone views go; the first is written, the others are links to it."""
        return ("test/query_drone", "test/gallery_drone") if self.site.test else ("train/drone",)

    @property
    def satellite_folders(self) -> tuple[str, ...]:
        """Where the satellite view goes."""
        if self.site.test:
            return ("test/query_satellite", "test/gallery_satellite")
        return ("train/satellite",)


def plan(grounds: Sequence[Ground], settings: Settings) -> list[PlannedPlace]:
    """Chooses and numbers the places, training places first.

    Raises:
        UsageError: no training place, or no test place where some are asked for.
    """
    found = [(k, site) for k, ground in enumerate(grounds) for site in ground.sites(settings)]
    parts = [[(k, site) for k, site in found if site.test == test] for test in (False, True)]
    if settings.places is not None and settings.places < len(found):
        rng = np.random.default_rng((settings.seed, CHOICE))
        tested = round(settings.places * settings.test_share)
        parts = [
            _some(part, count, rng)
            for part, count in zip(parts, (settings.places - tested, tested), strict=True)
        ]
    for part, name in zip(parts, ("training", "test"), strict=True):
        if not part and (name == "training" or settings.test_share > 0.0):
            raise UsageError(
                f"test share {settings.test_share:g}",
                f"leaves no {name} place of {len(found)}",
                "give more imagery, a smaller --footprint-m or another --test-share",
            )
    sites = [item for part in parts for item in part]
    return [PlannedPlace(f"{n:04d}", k, site) for n, (k, site) in enumerate(sites, start=1)]


def start_deg(place: PlannedPlace, settings: Settings) -> float:
    """Direction from a place's centre to the first camera, clockwise from north."""
    rng = np.random.default_rng((settings.seed, START, int(place.id)))
    return float(rng.uniform(0.0, 360.0))


def drone_name(number: int) -> str:
    """File name of a view of the spiral."""
    return f"image-{number:02d}.jpeg"


def _some(
    part: list[tuple[int, Site]], count: int, rng: np.random.Generator
) -> list[tuple[int, Site]]:
    """At most so many at random, as evenly from all grounds as they allow; in order."""
    rounds: dict[int, int] = {}
    turns = []
    for number in rng.permutation(len(part)):
        ground = part[number][0]
        rounds[ground] = rounds.get(ground, 0) + 1
        turns.append((rounds[ground], ground, int(number)))
    return [part[number] for number in sorted(number for *_, number in sorted(turns)[:count])]
