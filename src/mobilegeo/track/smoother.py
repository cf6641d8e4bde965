"""The backward pass: what later frames say of earlier ones (Rauch, Tung and Striebel, 1965)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mobilegeo.track.motion import (
    ACROSS,
    SIZE,
    UX,
    Array,
    Measurement,
    State,
    acceleration_psd,
    predicted,
    start,
    transition,
    updated,
)


@dataclass(frozen=True, slots=True)
class Node:
    """A moment of the track.

    Attributes:
        time_s: since the start.
        direction: float64 [2], mean direction of the heading since the node before; 0 where it is
            unknown.
        measurement: what was seen, or `None`.
    """

    time_s: float
    direction: Array
    measurement: Measurement | None


def smooth(nodes: Sequence[Node]) -> list[State]:
    """The state at every node given all measurements, forward and back again.

    Nodes before the first measurement are reached backwards in time from it.

    Args:
        nodes: in order of time; one at least has a measurement.
    """
    first = next(i for i, node in enumerate(nodes) if node.measurement is not None)
    states = _smooth_from_first(nodes[first:])
    for i in range(first - 1, -1, -1):
        seconds = nodes[i + 1].time_s - nodes[i].time_s
        states.insert(0, _earlier(states[0], seconds, nodes[i + 1].direction))
    return states


def _earlier(state: State, seconds: float, direction: Array) -> State:
    """The state some time before: the motion runs backwards as it does forwards."""
    turned = np.ones(SIZE)
    turned[UX : ACROSS + 1] = -1.0
    back = State(turned * state.mean, turned[:, None] * state.covariance * turned)
    back = predicted(back, seconds, direction)
    return State(turned * back.mean, turned[:, None] * back.covariance * turned)


def _smooth_from_first(nodes: Sequence[Node]) -> list[State]:
    measurement = nodes[0].measurement
    assert measurement is not None, "the first node has been chosen for its measurement"
    filtered, before = [start(measurement)], []
    for last, node in pairwise(nodes):
        state = predicted(filtered[-1], node.time_s - last.time_s, node.direction)
        before.append(state)
        if node.measurement is not None:
            state, _, _ = updated(state, node.measurement)
        filtered.append(state)
    states = [filtered[-1]]
    for i in range(len(nodes) - 2, -1, -1):
        seconds = nodes[i + 1].time_s - nodes[i].time_s
        matrix, _ = transition(seconds, nodes[i + 1].direction)
        gain = np.linalg.solve(before[i].covariance, matrix @ filtered[i].covariance).T
        mean = filtered[i].mean + gain @ (states[-1].mean - before[i].mean)
        change = states[-1].covariance - before[i].covariance
        states.append(State(mean, filtered[i].covariance + gain @ change @ gain.T))
    return states[::-1]


def between(
    start_state: State,
    end_state: State,
    directions: tuple[Array, Array],
    span_s: float,
    at_s: float,
) -> tuple[Array, float]:
    """Position and spread between two nodes.

    Given position and velocity at both ends, the mean of a Wiener process of velocity is the cubic
    Hermite curve and its variance q τ³ (T − τ)³ / 3T³; the ends' own variance is mixed with the
    curve's weights of the positions, which neglects that of the velocities within a step.

    Args:
        start_state: at the node before.
        end_state: at the node after.
        directions: of the heading at both, float64 [2] each; 0 where it is unknown.
        span_s: T, time between the nodes.
        at_s: τ, time since the node before, 0 … T.

    Returns:
        East and north, float64 [2], metres; standard deviation along each axis, metres.
    """
    s = at_s / span_s
    to_end = s * s * (3 - 2 * s)
    bend = s * (1 - s) * span_s
    curve = (
        (1 - to_end) * start_state.mean[:2]
        + to_end * end_state.mean[:2]
        + bend * (1 - s) * start_state.velocity(directions[0])
        - bend * s * end_state.velocity(directions[1])
    )
    bridge = acceleration_psd(directions[1]) * (at_s * (span_s - at_s) / span_s) ** 3 / 3
    variance = (1 - to_end) * start_state.sigma_m**2 + to_end * end_state.sigma_m**2 + bridge
    return curve, float(np.sqrt(variance))
