"""What is constantly wrong with the telemetry of a flight, learnt from the frames that were found.

Heading and scale are read off each alignment: the heading and the height at which the frame fitted
best. Their difference from the telemetry is followed by one scalar Kalman filter each. (The
gimbal's pitch and roll show only in where frames fall while the drone turns; they are part of the
motion's state.) Where the telemetry knows no heading, height or field of view, what was found last
stands in. Roofs and crowns are nearer to the camera than the ground below it, so that the height
comes out a few per cent lower over towns and woods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mobilegeo.geo import wrap_deg
from mobilegeo.metadata.telemetry import RANGES, Telemetry

STALE_HEADING_S = 2.5
STALE_HEADING_MISSES = 2
STALE_LENS_MISSES = 6
"""For how long, and how many frames that are not found, a heading and a height or field of view
that were found stand in for unknown ones."""

GATE = 4.0
"""Readings farther than this many standard deviations from what is expected are left out."""

FEW = 5
"""As long as so few readings were taken nothing is left out."""


@dataclass
class Constant:
    """A value that hardly changes, read with noise.

    Attributes:
        value: as estimated.
        sigma: its standard deviation.
        noise: standard deviation of a reading.
        drift: standard deviation that the value gains in a second.
        readings: how many were taken in.
    """

    value: float
    sigma: float
    noise: float
    drift: float
    readings: int = 0

    def read(self, difference: float, seconds: float) -> None:
        """Takes in a reading, given as its difference from `value`, unless it is far off.

        What is left out widens `sigma` by the drift all the same, so that a value that has truly
        changed comes within the gate in the end.

        Args:
            difference: reading minus `value`.
            seconds: since the last one.
        """
        variance = self.sigma**2 + self.drift**2 * seconds
        spread = variance + self.noise**2
        self.sigma = math.sqrt(variance)
        if self.readings >= FEW and difference**2 > GATE**2 * spread:
            return
        gain = variance / spread
        self.value += gain * difference
        self.sigma = math.sqrt((1 - gain) * variance)
        self.readings += 1


class TelemetryBias:
    """Corrects the telemetry of one flight; learns as frames are found."""

    def __init__(self) -> None:
        self.heading_deg = Constant(0.0, sigma=8.0, noise=2.0, drift=0.1)
        self.log_scale = Constant(0.0, sigma=0.15, noise=0.04, drift=0.003)
        self._time_s = 0.0
        self._misses = 0
        self._found = Telemetry()

    def corrected(self, told: Telemetry, time_s: float) -> Telemetry:
        """The telemetry of a frame as it is likely to be right."""
        last = self._stand_in(time_s)
        heading, agl_m = last.heading_deg, last.agl_m
        if told.heading_deg is not None:
            heading = told.heading_deg + self.heading_deg.value
        if told.agl_m is not None:
            low, high, _ = RANGES["agl_m"]
            # A drone that takes off or lands is told to be at the lowest height there is.
            agl_m = min(max(told.agl_m * math.exp(self.log_scale.value), low), high)
        return replace(
            told,
            heading_deg=None if heading is None else wrap_deg(heading),
            agl_m=agl_m,
            hfov_deg=last.hfov_deg if told.hfov_deg is None else told.hfov_deg,
        )

    def _stand_in(self, time_s: float) -> Telemetry:
        """What was found last, as far as it still holds."""
        last = self._found
        if self._misses >= STALE_LENS_MISSES:
            last = Telemetry()
        if self._misses >= STALE_HEADING_MISSES or time_s - self._time_s > STALE_HEADING_S:
            last = replace(last, heading_deg=None)
        return last

    def missed(self) -> None:
        """A frame was not found: what stood in for the telemetry may have been the reason."""
        self._misses += 1

    def found(self, told: Telemetry, time_s: float, seen: Telemetry) -> None:
        """Takes in a frame that was found.

        Args:
            told: its telemetry as it was told.
            time_s: of the frame.
            seen: heading, height and field of view at which it fitted best, all known.
        """
        assert seen.heading_deg is not None, "a view is complete"
        assert seen.agl_m is not None, "a view is complete"
        seconds = max(0.0, time_s - self._time_s)
        self._time_s, self._misses, self._found = time_s, 0, seen
        if told.heading_deg is not None:
            expected = told.heading_deg + self.heading_deg.value
            self.heading_deg.read(wrap_deg(seen.heading_deg - expected), seconds)
        if told.agl_m is not None and told.hfov_deg is not None:
            ratio = math.log(seen.agl_m / told.agl_m)
            self.log_scale.read(ratio - self.log_scale.value, seconds)
