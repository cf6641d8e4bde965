"""What is simulated, and how much of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.university1652 import BOTTOM_M, TOP_M, VIEWS, spiral_height_m

NOMINAL_FOOTPRINT_M = 240.0
"""Side of the satellite view for which the spiral has University-1652's heights."""
TURNS = 3
LEAST_DESCENT_DEG = 10.0
"""Rays flatter than this see ground many footprints away."""


@dataclass(frozen=True)
class Settings:
    """One simulated dataset.

    The drone flies University-1652's spiral: three turns from 256 m down to 121.5 m, looking at the
    place's centre. Heights scale with the footprint, so that views of any place show the same part
    of it; at 240 m they are the published ones. Pitch and field of view are not published; at −60°
    and 45° the highest view is as wide at its centre as the satellite view.

    Attributes:
        places: at most so many, training and test together; None takes all.
        test_share: share of the places for test, 0 … 0.9.
        views: drone views of a place, 1 … 54, spread evenly over the spiral's 54.
        size_px: side of the images.
        footprint_m: side of the ground in the satellite view; None chooses 240 m, or what an image
            allows if it is smaller.
        pitch_deg: of the camera, −90 … −45.
        hfov_deg: field of view of the drone's square images.
        seed: of everything random.
    """

    places: int | None = None
    test_share: float = 0.3
    views: int = VIEWS
    size_px: int = 512
    footprint_m: float | None = None
    pitch_deg: float = -60.0
    hfov_deg: float = 45.0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"places": 2, "views": 1, "size_px": 32, "footprint_m": 5, "hfov_deg": 10}
        most = {"views": VIEWS, "size_px": 4096, "hfov_deg": 80, "test_share": 0.9}
        for name, value in vars(self).items():
            low, high = least.get(name, 0), most.get(name, math.inf)
            if name == "pitch_deg":
                low, high = -90, -45
            if value is not None and not low <= value <= high:
                allowed = f"below {low}" if high == math.inf else f"not within {low} … {high}"
                raise UsageError(f"{name} {value}", f"is {allowed}", "choose another value")

    @property
    def view_numbers(self) -> tuple[int, ...]:
        """Numbers of the spiral's views that are rendered, from 1."""
        return tuple(int(n) for n in np.unique(np.rint(np.linspace(1, VIEWS, self.views))))

    @property
    def reach(self) -> float:
        """Farthest level ground that a view shows, from the place's centre, in footprints."""
        half = math.radians(self.hfov_deg / 2)
        steepest = math.radians(-self.pitch_deg)
        height = TOP_M / NOMINAL_FOOTPRINT_M
        flattest = steepest - half
        if flattest < math.radians(LEAST_DESCENT_DEG):
            raise UsageError(
                f"pitch_deg {self.pitch_deg}, hfov_deg {self.hfov_deg}",
                "look almost to the horizon",
                "look down more steeply or narrow the field of view",
            )
        ahead = height / math.tan(flattest) - height / math.tan(steepest)
        aside = height / math.sin(flattest) * math.cos(half) * math.tan(half)
        return math.hypot(ahead, aside)


@dataclass(frozen=True)
class SpiralView:
    """One drone view of the spiral.

    Attributes:
        number: 1 … 54, as in the file's name.
        height_m: of the camera above the ground at the place's centre.
        heading_deg: of the line of sight, clockwise from the frame's north.
        east_m, north_m: the camera from the place's centre.
    """

    number: int
    height_m: float
    heading_deg: float
    east_m: float
    north_m: float


def spiral(settings: Settings, footprint_m: float, start_deg: float) -> list[SpiralView]:
    """The views of one place.

    Args:
        settings: which of the spiral's views.
        footprint_m: of the place.
        start_deg: direction from the centre to the first camera, clockwise from north.
    """
    scale = footprint_m / NOMINAL_FOOTPRINT_M
    views = []
    for number in settings.view_numbers:
        nominal_m = spiral_height_m(number)
        assert nominal_m is not None
        height_m = nominal_m * scale
        bearing_deg = start_deg + TURNS * 360.0 * (number - 1) / VIEWS
        away_m = height_m / math.tan(math.radians(-settings.pitch_deg))
        bearing = math.radians(bearing_deg)
        views.append(
            SpiralView(
                number,
                height_m,
                (bearing_deg + 180.0) % 360.0,
                away_m * math.sin(bearing),
                away_m * math.cos(bearing),
            )
        )
    return views


def finest_gsd_m(settings: Settings, footprint_m: float) -> float:
    """Metres a pixel at the centre of the lowest view."""
    slant_m = (
        BOTTOM_M * footprint_m / NOMINAL_FOOTPRINT_M / math.sin(math.radians(-settings.pitch_deg))
    )
    return 2.0 * slant_m * math.tan(math.radians(settings.hfov_deg / 2)) / settings.size_px
