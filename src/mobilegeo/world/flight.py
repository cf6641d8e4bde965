"""How a drone flies over a generated world: legs, wind, turns, and errors of its telemetry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mobilegeo.errors import UsageError
from mobilegeo.geo import wrap_deg

Fault = Literal["", "blank", "foreign", "mirrored", "noise"]
FAULTS: tuple[Fault, ...] = ("foreign", "mirrored", "noise")
"""What an adversarial frame shows: another world, this one mirrored, or nothing but noise."""

_STEP_S = 0.1
_MARGIN_M = 150.0
_LEG_SPACING_M = 190.0
_TURN_RATE_DEG_S = 22.0
_REACHED_M = 25.0
_GUST_S = 8.0
_LONGEST_S = 36_000.0


@dataclass(frozen=True, slots=True)
class Biases:
    """What is wrong with the telemetry throughout a flight: true value plus this is told.

    Attributes:
        heading_deg, pitch_deg, roll_deg: added to the true angle.
        height: factor on the true height above ground.
    """

    heading_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    height: float = 1.0


@dataclass(frozen=True, slots=True)
class FlightPlan:
    """A flight to be simulated.

    Attributes:
        length_m: of the path over ground.
        speed_m_s: through the air.
        wind_m_s: east and north components of the mean wind; gusts add a fifth of its strength.
        agl_m: height above ground; it drifts by a few per cent.
        pitch_deg: of the gimbal, −90 straight down.
        rate_hz: photos a second; a whole number of tenths of a second lies between two.
        blackouts_s: spells (start, end) in seconds in which every photo is blank.
        bad_share: share of the other photos that are adversarial, see `FAULTS`.
        biases: what the telemetry gets wrong throughout.
    """

    length_m: float = 5000.0
    speed_m_s: float = 10.0
    wind_m_s: tuple[float, float] = (3.0, -1.5)
    agl_m: float = 120.0
    pitch_deg: float = -80.0
    rate_hz: float = 1.0
    blackouts_s: tuple[tuple[float, float], ...] = ()
    bad_share: float = 0.0
    biases: Biases = Biases()

    def __post_init__(self) -> None:
        if math.hypot(*self.wind_m_s) >= 0.7 * self.speed_m_s:
            raise UsageError(
                f"wind {self.wind_m_s}", "is too strong for the drone's speed", "ask for less wind"
            )
        every = 0.0 if self.rate_hz <= 0.0 else 1.0 / (self.rate_hz * _STEP_S)
        if every < 1.0 or abs(every - round(every)) > 1e-6 or not 0.0 <= self.bad_share <= 1.0:
            raise UsageError(
                f"rate {self.rate_hz}, bad share {self.bad_share}",
                "cannot be meant",
                "give 10, 5, 2, 1 … photos a second and a share from 0 to 1",
            )


@dataclass(frozen=True, slots=True)
class Moment:
    """Where the camera is when it takes a photo, and what is wrong with that photo.

    Attributes:
        time_s: since the start.
        x_m, y_m: east and north of the area's lower-left corner.
        heading_deg: clockwise from the frame's north.
        pitch_deg, roll_deg: of the camera.
        agl_m: height above ground.
        fault: empty for a photo of what is there.
    """

    time_s: float
    x_m: float
    y_m: float
    heading_deg: float
    pitch_deg: float
    roll_deg: float
    agl_m: float
    fault: Fault


def fly(
    plan: FlightPlan, size_m: tuple[float, float], rng: np.random.Generator
) -> tuple[Moment, ...]:
    """Flies legs to and fro over an area until the path is as long as planned.

    The drone heads for the next corner at constant air speed, turns at a limited rate and is
    carried by the wind, so that its course and its heading differ.

    Args:
        plan: the flight.
        size_m: width and height of the area.
        rng: gusts, jitter of the gimbal, and which photos are bad.
    """
    corners = _corners(size_m)
    x, y = next(corners)
    target = next(corners)
    heading = math.degrees(math.atan2(target[0] - x, target[1] - y))
    gust = np.zeros(2)
    tilt = np.zeros(3)
    flown_m, step, moments = 0.0, 0, []
    every = round(1.0 / (plan.rate_hz * _STEP_S))
    strength = 0.2 * math.hypot(*plan.wind_m_s)
    while flown_m < plan.length_m and step * _STEP_S < _LONGEST_S:
        time_s = step * _STEP_S
        if step % every == 0:
            moments.append(_moment(plan, time_s, (x, y), heading, tilt, rng))
        gust += _coloured(rng, gust, strength, _GUST_S)
        tilt += _coloured(rng, tilt, 0.6, 3.0)
        wanted = math.degrees(math.atan2(target[0] - x, target[1] - y))
        wanted = _against_wind(wanted, plan)
        turn = _TURN_RATE_DEG_S * _STEP_S
        heading += float(np.clip(wrap_deg(wanted - heading), -turn, turn))
        east = plan.speed_m_s * math.sin(math.radians(heading)) + plan.wind_m_s[0] + gust[0]
        north = plan.speed_m_s * math.cos(math.radians(heading)) + plan.wind_m_s[1] + gust[1]
        x, y = x + east * _STEP_S, y + north * _STEP_S
        flown_m += math.hypot(east, north) * _STEP_S
        step += 1
        if math.hypot(target[0] - x, target[1] - y) < _REACHED_M:
            target = next(corners)
    return tuple(moments)


def path_length_m(moments: Sequence[Moment]) -> float:
    """Length of the path over ground, straight from photo to photo."""
    xy = np.array([(moment.x_m, moment.y_m) for moment in moments])
    return float(np.hypot(*np.diff(xy, axis=0).T).sum())


def _corners(size_m: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Ends of east–west legs, from south to north and back again, for ever."""
    west, east = _MARGIN_M, size_m[0] - _MARGIN_M
    rows = max(2, 1 + int((size_m[1] - 2 * _MARGIN_M) / _LEG_SPACING_M))
    norths = np.linspace(_MARGIN_M, size_m[1] - _MARGIN_M, rows)
    while True:
        for row, north in enumerate(norths):
            ends = (west, east) if row % 2 == 0 else (east, west)
            yield from ((end, float(north)) for end in ends)
        norths = norths[::-1]


def _against_wind(course_deg: float, plan: FlightPlan) -> float:
    """The heading with which the mean wind carries the drone along a course."""
    course = math.radians(course_deg)
    east, north = plan.wind_m_s
    across = east * math.cos(course) - north * math.sin(course)
    return course_deg - math.degrees(math.asin(across / plan.speed_m_s))


def _coloured(
    rng: np.random.Generator, value: np.ndarray, sigma: float, time_s: float
) -> np.ndarray:
    """The next change of a random process with this spread and correlation time."""
    pull = _STEP_S / time_s
    kick: np.ndarray = rng.normal(0.0, 1.0, value.shape) * sigma * math.sqrt(2 * pull)
    return kick - pull * value


def _moment(
    plan: FlightPlan,
    time_s: float,
    place: tuple[float, float],
    heading_deg: float,
    tilt: np.ndarray,
    rng: np.random.Generator,
) -> Moment:
    fault: Fault = ""
    if rng.random() < plan.bad_share:
        fault = FAULTS[int(rng.integers(len(FAULTS)))]
    if any(start <= time_s < end for start, end in plan.blackouts_s):
        fault = "blank"
    return Moment(
        time_s,
        *place,
        heading_deg=(heading_deg + tilt[0]) % 360.0,
        pitch_deg=max(-90.0, plan.pitch_deg + tilt[1]),
        roll_deg=float(tilt[2]),
        agl_m=plan.agl_m * (1.0 + 0.02 * math.sin(time_s / 60.0)),
        fault=fault,
    )
