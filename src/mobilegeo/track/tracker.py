"""Frame by frame: predict, look where the drone can be, take in what is found; then smooth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mobilegeo.errors import PhotoError
from mobilegeo.fix import Fix
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.obstacles import MARGIN_M, SPREADS, circle_around
from mobilegeo.locate.prior import BoxPrior, CirclePrior, Prior
from mobilegeo.locate.records import Trace
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import Photo
from mobilegeo.track.bias import TelemetryBias
from mobilegeo.track.mixture import Estimate, Mixture
from mobilegeo.track.motion import Array, unit_vector
from mobilegeo.track.records import Frame, Status
from mobilegeo.track.sighting import Sighting, sighting_of

WIDEST_M = 400.0
"""Beyond this radius the whole region is searched: it costs little more, and nothing is missed."""

LOST_SIGMA_M = 30.0
"""Positions less certain than this, one standard deviation along each axis, are not told."""

SURE = 0.9
"""Probability that the best answer needs to be told."""

LEARN_FROM = 0.8
"""Confidence of a frame's own fix from which the telemetry's biases are learnt."""

FASTEST_M_S = 40.0
"""With this speed the area around a start that was given grows."""


@dataclass(frozen=True)
class Step:
    """What the filter knew right after a frame, without those that follow.

    Attributes:
        number: of the step.
        frame: the frame, without its pixels.
        told: its telemetry, corrected by what had been learnt.
        direction: mean direction of the heading since the step before, float64 [2].
        status: as in `TrackPoint`, of the forward filter.
        estimate: the best answer; `None` while there is none.
        fix: the localizer's answer for the frame.
    """

    number: int
    frame: Frame
    told: Telemetry
    direction: Array
    status: Status
    estimate: Estimate | None
    fix: Fix


class Tracker:
    """Follows one drone over one map, forward in time; usable while it flies.

    Args:
        localizer: the map; its options' prior is not used.
        near: where the drone is at the start, before any position in the telemetry; anywhere on
            the map when `None`.
        ignore_gps: never use positions from the telemetry; otherwise they bound the search while
            the drone is not tracked, and never enter the track itself.
    """

    def __init__(
        self, localizer: Localizer, *, near: CirclePrior | None = None, ignore_gps: bool = False
    ) -> None:
        self._localizer = localizer
        self.frame = localizer.pack.frame
        self._near, self._ignore_gps = near, ignore_gps
        self.mixture = Mixture(self._area_m2(None))
        self.bias = TelemetryBias()
        self._last: Step | None = None
        self._heading = np.zeros(2)

    def step(self, frame: Frame) -> Step:
        """Takes the next frame in order of time, which has pixels to be read.

        One that turns out not to be readable passes as a frame that shows nothing.
        """
        number = 0 if self._last is None else self._last.number + 1
        told = self.bias.corrected(frame.telemetry, frame.time_s)
        direction = self._direction(frame, told)
        if self._last is not None:
            self.mixture.predict(frame.time_s - self._last.frame.time_s, direction)
        prior = self._prior(frame, told)
        trace = self._locate(frame, told, prior)
        sighting = sighting_of(trace, self._convergence_deg(prior))
        if sighting is not None:
            self._take_in(number, sighting, self._area_m2(prior))
            self._learn(frame, trace, sighting)
        estimate = self.mixture.estimate()
        bare = replace(frame, load=None)
        status = self._status(estimate, number, trace.fix)
        self._last = Step(number, bare, told, direction, status, estimate, trace.fix)
        return self._last

    def _take_in(self, number: int, sighting: Sighting, area_m2: float) -> None:
        """Updates the filter with a frame; a benchmark compares another filter here."""
        self.mixture.update(number, sighting.peaks, area_m2)

    def _direction(self, frame: Frame, told: Telemetry) -> Array:
        """Mean direction of the heading since the step before, in the map's frame.

        Only a heading that is told carries the motion: one that is found comes too late. Where the
        telemetry falls silent the last heading is held.
        """
        before = self._heading
        if frame.telemetry.heading_deg is not None and told.heading_deg is not None:
            self._heading = unit_vector(told.heading_deg - self._convergence_deg(None))
        return (before + self._heading) / 2 if before.any() else self._heading

    def _prior(self, frame: Frame, told: Telemetry) -> Prior | None:
        """Where to look: around what is likely or told, or in all of the region."""
        circle = self.mixture.circle(SPREADS)
        if circle is not None and circle[2] + MARGIN_M <= WIDEST_M:
            return CirclePrior(self.frame.point(*circle[:2]), circle[2] + MARGIN_M)
        if self._near is not None and not self.mixture.history():
            return self._near.dilated(FASTEST_M_S * frame.time_s)
        if not self._ignore_gps and told.position is not None:
            return circle_around(told.position, told.sigma_m)
        return None

    def _area_m2(self, prior: Prior | None) -> float:
        """Of the part of the map that a prior holds, or of the whole map."""
        box = BoxPrior(self._localizer.pack.bounds).box(self.frame)
        if isinstance(prior, CirclePrior):
            return min(math.pi * prior.radius_m**2, box.area_m2)
        return box.area_m2

    def _convergence_deg(self, prior: Prior | None) -> float:
        """From true north to the frame's north, where the prior is or in the frame's middle."""
        place = prior.centre if isinstance(prior, CirclePrior) else self.frame.origin
        return self.frame.convergence_deg(place)

    def _locate(self, frame: Frame, told: Telemetry, prior: Prior | None) -> Trace:
        assert frame.load is not None, "only frames with pixels are stepped"
        try:
            photo = frame.load()
        except PhotoError as error:
            return Trace(Fix(frame.name, "error", reason=str(error)))
        return self._localizer.trace(_with_telemetry(photo, told), prior=prior)

    def _learn(self, frame: Frame, trace: Trace, sighting: Sighting) -> None:
        """The telemetry's biases, from a frame that fits and agrees with the track."""
        estimate = self.mixture.estimate()
        agrees = (
            estimate is not None
            and estimate.probability >= SURE
            and np.hypot(*(estimate.state.mean[:2] - sighting.peaks[0].measurement.place)) < 30.0
        )
        if trace.fix.confidence >= LEARN_FROM and agrees:
            self.bias.found(frame.telemetry, frame.time_s, sighting.seen)
        else:
            self.bias.missed()

    def _status(self, estimate: Estimate | None, number: int, fix: Fix) -> Status:
        if estimate is None or estimate.probability < SURE:
            return "lost"
        if estimate.state.sigma_m > LOST_SIGMA_M:
            return "lost"
        return "fix" if estimate.seen_step == number and fix.status == "fix" else "predicted"


def _with_telemetry(photo: Photo, told: Telemetry) -> Photo:
    """The photo with other telemetry; its position is left out, as the prior stands for it."""
    known = replace(told, lat=None, lon=None, sigma_m=None)
    return replace(photo, telemetry=known, pose=known.pose, camera=known.camera, gps=None)
