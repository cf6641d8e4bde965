"""From a source to a smoothed track."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mobilegeo.errors import PhotoError
from mobilegeo.geo import LocalFrame
from mobilegeo.photo import Photo
from mobilegeo.read_ahead import PHOTO_READERS, drawn_ahead, read_ahead
from mobilegeo.track.motion import PITCH, SIDE, State, predicted
from mobilegeo.track.records import Bias, Frame, Status, Track, TrackPoint
from mobilegeo.track.smoother import Node, between, smooth
from mobilegeo.track.sources import Source
from mobilegeo.track.tracker import LOST_SIGMA_M, Step, Tracker

Listener = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame of which only name and times are kept.

    Attributes:
        name: as in `Frame`.
        time_s: as in `Frame`.
        clock: as in `Frame`.
        heading_deg: as told, corrected by what had been learnt by then.
        step: number of the step that located it, or of the last one before it.
        located: whether it was looked at itself.
    """

    name: str
    time_s: float
    clock: datetime | None
    heading_deg: float | None
    step: int
    located: bool


def follow(source: Source, tracker: Tracker, listener: Listener | None = None) -> Track:
    """Tracks a source from start to end and smooths the outcome.

    Args:
        source: frames in order of time.
        tracker: a fresh one.
        listener: is told each located frame as it comes.

    Raises:
        PhotoError: the source turns out to hold no frame.
    """
    began = time.perf_counter()
    steps: list[Step] = []
    moments: list[Moment] = []
    for frame in _loaded_ahead(source.frames()):
        if frame.load is not None:
            steps.append(tracker.step(frame))
            if listener is not None:
                listener(steps[-1])
        moments.append(_moment(frame, tracker, steps))
    points, states = _points(steps, moments, tracker)
    seconds = time.perf_counter() - began
    return Track(points, _biases(tracker, steps, states), len(steps), seconds, source.notes)


def _loaded_ahead(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The frames, those with pixels decoded while the ones before are located."""
    for _, reading in read_ahead(drawn_ahead(_groups(frames)), _loaded, readers=PHOTO_READERS):
        yield from reading.result()


def _groups(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Frames that only pass, up to one that is located: what is read ahead has bounded memory."""
    group = []
    for frame in frames:
        group.append(frame)
        if frame.load is not None:
            yield group
            group = []
    if group:
        yield group


def _loaded(group: list[Frame]) -> list[Frame]:
    """The group, its last frame loaded already; an error waits there until it is asked for."""
    last = group[-1]
    if last.load is None:
        return group
    outcome: Future[Photo] = Future()
    try:
        outcome.set_result(last.load())
    except PhotoError as error:
        outcome.set_exception(error)
    return [*group[:-1], replace(last, load=outcome.result)]


def _moment(frame: Frame, tracker: Tracker, steps: list[Step]) -> Moment:
    heading = tracker.bias.corrected(frame.telemetry, frame.time_s).heading_deg
    return Moment(
        frame.name, frame.time_s, frame.clock, heading, len(steps) - 1, frame.load is not None
    )


def _points(
    steps: list[Step], moments: list[Moment], tracker: Tracker
) -> tuple[tuple[TrackPoint, ...], list[State]]:
    """The smoothed points of all frames, and the states at the located ones."""
    history = {link.step: link.measurement for link in tracker.mixture.history()}
    nodes = [Node(s.frame.time_s, s.direction, history.get(s.number)) for s in steps]
    states = smooth(nodes) if history else []
    last_seen = max(history, default=-1)
    start = next(((m.clock, m.time_s) for m in moments if m.clock is not None), None)
    points = []
    for moment in moments:
        step = steps[moment.step]
        seen = moment.located and moment.step in history and step.fix.status == "fix"
        state = _state(steps, states, moment) if states else None
        gone = moment.step > last_seen and step.status == "lost"
        status: Status = "fix" if seen else "predicted"
        if state is None or gone or state[1] > LOST_SIGMA_M:
            state, status = None, "lost"
        clock = moment.clock
        if clock is None and start is not None and start[0] is not None:
            clock = start[0] + timedelta(seconds=moment.time_s - start[1])
        points.append(_point(moment, step, status, state, clock, tracker.frame))
    return tuple(points), states


def _state(
    steps: list[Step], states: list[State], moment: Moment
) -> tuple[State, float, tuple[float, float]]:
    """State at a moment, its spread in metres, and the velocity, east and north, m/s."""
    here, step = states[moment.step], steps[moment.step]
    since = moment.time_s - step.frame.time_s
    if since <= 0.0 or moment.located:
        return here, here.sigma_m, _velocity(here, step)
    if moment.step + 1 == len(steps):
        later = predicted(here, since, step.direction)
        return later, later.sigma_m, _velocity(later, step)
    after, span = states[moment.step + 1], steps[moment.step + 1].frame.time_s - step.frame.time_s
    directions = (step.direction, steps[moment.step + 1].direction)
    place, sigma_m = between(here, after, directions, span, since)
    mean = here.mean.copy()
    mean[:2] = place
    first, second = _velocity(here, step), _velocity(after, steps[moment.step + 1])
    share = since / span
    velocity = (
        (1 - share) * first[0] + share * second[0],
        (1 - share) * first[1] + share * second[1],
    )
    return State(mean, here.covariance), sigma_m, velocity


def _velocity(state: State, step: Step) -> tuple[float, float]:
    east, north = state.velocity(step.direction)
    return float(east), float(north)


def _point(
    moment: Moment,
    step: Step,
    status: Status,
    state: tuple[State, float, tuple[float, float]] | None,
    clock: datetime | None,
    frame: LocalFrame,
) -> TrackPoint:
    own = step.fix if moment.located else None
    reason = own.reason if own is not None and own.status != "fix" else ""
    confidence = own.confidence if own is not None else 0.0
    if state is None:
        return TrackPoint(
            moment.name, moment.time_s, status, clock, confidence=confidence, reason=reason
        )
    where = frame.point(float(state[0].mean[0]), float(state[0].mean[1]))
    course = math.degrees(math.atan2(*state[2])) + frame.convergence_deg(where)
    found = own.heading_deg if own is not None and status == "fix" else None
    heading = found if found is not None else moment.heading_deg
    return TrackPoint(
        frame=moment.name,
        time_s=moment.time_s,
        status=status,
        time=clock,
        lat=where.lat,
        lon=where.lon,
        sigma_m=state[1],
        speed_m_s=math.hypot(*state[2]),
        course_deg=course % 360.0,
        heading_deg=None if heading is None else heading % 360.0,
        confidence=confidence,
        reason=reason,
    )


def _biases(tracker: Tracker, steps: list[Step], states: list[State]) -> dict[str, Bias]:
    """What is to be added to the telemetry, where it told something."""
    heading, scale = tracker.bias.heading_deg, tracker.bias.log_scale
    biases = {}
    if heading.readings:
        biases["heading"] = Bias(heading.value, heading.sigma)
    if scale.readings:
        sigma = scale.sigma * math.exp(scale.value)
        biases["height"] = Bias(math.expm1(scale.value), sigma, is_share=True)
    if states and any(step.frame.telemetry.pitch_deg is not None for step in steps):
        for name, row in (("pitch", PITCH), ("sideways", SIDE)):
            sigma = math.sqrt(states[-1].covariance[row, row])
            biases[name] = Bias(float(states[-1].mean[row]), sigma)
    return biases
