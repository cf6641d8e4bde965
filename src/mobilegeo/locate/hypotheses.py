"""What is not known about a photo is searched over: the list of views that it may be."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mobilegeo.camera import CameraModel, GroundView, Pose
from mobilegeo.geo import wrap_deg

HEADING_STEP_DEG = 15.0
"""Spacing of trial headings. A template turned by half of it keeps three quarters of its peak on
real photos (`docs/results/real_drone.md`), so that none falls between two trials."""

SCALE_RATIO = 1.25
"""Ratio of consecutive trial scales; half a step, 12 %, costs about as much as 7° of heading."""

GROUND_WIDTH_M = (40.0, 400.0)
"""Ground widths tried when neither the height nor the lens says how much ground is seen."""

TYPICAL_HFOV_DEG = 73.0
"""Only the ground width matters for a view straight down; this lens makes a height out of it."""

LENSES_DEG = (55.0, 90.0)
"""Range of fields of view tried when the height is known and the lens is not."""


@dataclass(frozen=True)
class Hypotheses:
    """The views that agree with what is known of a photo.

    Attributes:
        views: each a complete pose and lens; one when everything is known.
        heading_known, scale_known: whether telemetry gave them.
        assumed: what was taken for granted or searched, in words for the user.
    """

    views: tuple[GroundView, ...]
    heading_known: bool
    scale_known: bool
    assumed: tuple[str, ...]


def hypotheses(pose: Pose, camera: CameraModel | None, width_px: int, height_px: int) -> Hypotheses:
    """All views worth trying for a photo, from what is known of it.

    An unknown pitch is taken as straight down and an unknown roll as level, as no search over
    them pays; both are told in `assumed`.
    """
    assumed = []
    if pose.heading_deg is None:
        headings = np.arange(0.0, 360.0, HEADING_STEP_DEG)
        assumed.append(f"heading unknown: {len(headings)} tried")
    else:
        headings = np.array([pose.heading_deg])
    lenses = _lenses(pose.agl_m, camera)
    if len(lenses) > 1:
        what = " and ".join(
            name
            for name, value in (("height", pose.agl_m), ("field of view", camera))
            if value is None
        )
        assumed.append(f"{what} unknown: {len(lenses)} ground scales tried")
    if pose.pitch_deg is None:
        assumed.append("pitch unknown: taken as straight down")
    if pose.roll_deg is None:
        assumed.append("roll unknown: taken as level")
    views = tuple(
        GroundView(
            width_px=width_px,
            height_px=height_px,
            hfov_deg=hfov_deg,
            heading_deg=float(heading),
            pitch_deg=-90.0 if pose.pitch_deg is None else pose.pitch_deg,
            roll_deg=pose.roll_deg or 0.0,
            agl_m=agl_m,
        )
        for hfov_deg, agl_m in lenses
        for heading in headings
    )
    return Hypotheses(views, pose.heading_deg is not None, len(lenses) == 1, tuple(assumed))


def with_neighbours(
    views: Sequence[GroundView], chosen: Collection[GroundView]
) -> tuple[GroundView, ...]:
    """The chosen views and those one trial heading beside them, in the order of `views`.

    Tiles tell the heading less sharply than alignment needs it.
    """
    return tuple(view for view in views if any(_beside(view, other) for other in chosen))


def _beside(view: GroundView, other: GroundView) -> bool:
    turn_deg = abs(wrap_deg(view.heading_deg - other.heading_deg))
    alike = replace(view, heading_deg=other.heading_deg) == other
    return alike and turn_deg <= HEADING_STEP_DEG + 1e-6


def _lenses(agl_m: float | None, camera: CameraModel | None) -> list[tuple[float, float]]:
    """Pairs of field of view (degrees) and height (metres) to try."""
    if camera is not None and agl_m is not None:
        return [(camera.hfov_deg, agl_m)]
    if agl_m is not None:
        low, high = (2 * math.tan(math.radians(lens) / 2) for lens in LENSES_DEG)
        return [(2 * math.degrees(math.atan(w / 2)), agl_m) for w in _series(low, high)]
    hfov_deg = camera.hfov_deg if camera is not None else TYPICAL_HFOV_DEG
    spread = 2 * math.tan(math.radians(hfov_deg) / 2)
    return [(hfov_deg, width_m / spread) for width_m in _series(*GROUND_WIDTH_M)]


def _series(low: float, high: float) -> list[float]:
    """A geometric series from `low` to `high` whose ratio is at most `SCALE_RATIO`."""
    steps = math.ceil(math.log(high / low) / math.log(SCALE_RATIO) - 1e-9)
    return [float(value) for value in np.geomspace(low, high, steps + 1)]
