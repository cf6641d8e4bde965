"""The motion model and the smoother, against closed forms and least squares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mobilegeo.track import motion
from mobilegeo.track.motion import (
    SIZE,
    State,
    predicted,
    start,
    to_the_right,
    transition,
    unit_vector,
    updated,
)
from mobilegeo.track.smoother import Node, between, smooth
from track_kit import FLAT, legs, seen

EAST = unit_vector(90.0)
NOWHERE = np.zeros(2)


def test_directions() -> None:
    np.testing.assert_allclose(unit_vector(0.0), [0, 1], atol=1e-15)
    np.testing.assert_allclose(EAST, [1, 0], atol=1e-15)
    np.testing.assert_allclose(to_the_right(unit_vector(0.0)), EAST, atol=1e-15)
    assert not unit_vector(None).any()


def test_velocity_is_wind_and_what_turns_with_the_camera() -> None:
    mean = np.array([0, 0, 3.0, -1.0, 10.0, 2.0, 0, 0, 0, 0])
    state = State(mean, np.eye(SIZE))
    np.testing.assert_allclose(state.velocity(EAST), [13.0, -3.0], atol=1e-12)
    np.testing.assert_allclose(state.velocity(unit_vector(0.0)), [5.0, 9.0], atol=1e-12)
    later = predicted(state, 2.0, EAST)
    np.testing.assert_allclose(later.mean[:2], [26.0, -6.0], atol=1e-12)


def test_spread_of_an_unseen_drone_grows_as_the_integral_of_white_acceleration() -> None:
    still = State(np.zeros(SIZE), np.zeros((SIZE, SIZE)))
    for seconds in (1.0, 20.0):
        state = predicted(still, seconds, NOWHERE)
        variance = motion.UNSTEERED_PSD * seconds**3 / 3
        assert state.sigma_m == pytest.approx(math.sqrt(variance))


@given(st.floats(0.01, 30.0), st.floats(0.01, 30.0), st.floats(0, 360))
def test_two_short_steps_are_one_long_one(first: float, second: float, heading: float) -> None:
    state = start(seen(5.0, 7.0))
    direction = unit_vector(heading)
    once = predicted(state, first + second, direction)
    twice = predicted(predicted(state, first, direction), second, direction)
    np.testing.assert_allclose(twice.mean, once.mean, atol=1e-9)
    # All but the slow drift of a and c, whose effect on the position within a step is left out.
    np.testing.assert_allclose(
        np.diag(twice.covariance)[2:], np.diag(once.covariance)[2:], rtol=1e-9
    )
    np.testing.assert_allclose(twice.covariance[0, 0], once.covariance[0, 0], rtol=0.05)


@given(arrays.arrays(float, 2, elements=st.floats(-50, 50)), st.floats(0.5, 20.0))
def test_update_is_the_mean_weighted_by_inverse_variance(place, sigma_m) -> None:
    # Long after the first frame the error that both share is forgotten.
    first = np.hypot(3.0, motion.SHARED_M)
    covariance = np.diag([first**2, first**2, *[0.0] * 6, *2 * [motion.SHARED_M**2]])
    after, distance2, log_density = updated(
        State(np.zeros(SIZE), covariance), seen(*place, sigma_m)
    )
    spread = first**2 + motion.SHARED_M**2 + sigma_m**2
    share = first**2 / spread
    np.testing.assert_allclose(after.mean[:2], share * place, atol=1e-9)
    assert after.sigma_m == pytest.approx(math.sqrt(first**2 * (1 - share)))
    assert distance2 == pytest.approx(float(place @ place) / spread)
    expected = -float(place @ place) / spread / 2 - math.log(2 * math.pi * spread)
    assert log_density == pytest.approx(expected)


def test_standing_still_does_not_pretend_to_ever_finer_positions() -> None:
    state = start(seen(0.0, 0.0))
    for _ in range(100):
        state, _, _ = updated(state, seen(0.0, 0.0))
    assert state.sigma_m == pytest.approx(motion.SHARED_M, rel=0.02)


def test_start_keeps_tilt_and_place_tied() -> None:
    tilt = np.array([[2.0, 0.0], [0.0, 1.5]])
    measurement = seen(10.0, 20.0, 1.0, tilt)
    state = start(measurement)
    assert np.linalg.eigvalsh(state.covariance).min() > -1e-9
    # Were the tilt known to be 1 degree up, the camera would be 2 m less to the east.
    row = state.covariance[motion.PITCH]
    assert row[0] / row[motion.PITCH] == pytest.approx(-2.0)


def nodes_of(times, places, headings, missing=(), tilt=FLAT, error=(0.0, 0.0)):
    units = [unit_vector(h) for h in headings]
    nodes = []
    for n, time_s in enumerate(times):
        direction = (units[max(0, n - 1)] + units[n]) / 2
        turned = tilt
        if tilt is not FLAT:
            turned = np.stack([2.1 * units[n], 2.1 * to_the_right(units[n])], axis=1)
        place = places[n] + turned @ np.array(error)
        nodes.append(Node(time_s, direction, None if n in missing else seen(*place, 2.0, turned)))
    return nodes


def test_smoothing_bridges_a_turn_in_the_dark_by_the_heading() -> None:
    times, places, headings = legs()
    dark = set(range(72, 92))  # holds the turn at 74 … 80 s
    states = smooth(nodes_of(times, places, headings, dark))
    errors = np.hypot(*(np.array([s.mean[:2] for s in states]) - places).T)
    assert errors.max() < 6.0
    assert max(states[n].sigma_m for n in dark) > 3 * states[60].sigma_m


def test_without_headings_the_dark_turn_is_told_to_be_uncertain() -> None:
    times, places, _ = legs()
    dark = set(range(72, 92))
    states = smooth(nodes_of(times, places, [None] * len(times), dark))
    errors = np.hypot(*(np.array([s.mean[:2] for s in states]) - places).T)
    assert max(states[n].sigma_m for n in dark) > 8.0
    assert all(errors[n] < 4 * states[n].sigma_m for n in dark)


def test_gimbal_error_shows_in_the_turns() -> None:
    times, places, headings = legs(seconds=240)
    nodes = nodes_of(times, places, headings, tilt=None, error=(-2.0, 1.0))
    last = smooth(nodes)[-1]
    assert last.mean[motion.PITCH] == pytest.approx(-2.0, abs=0.4)
    assert last.mean[motion.SIDE] == pytest.approx(1.0, abs=0.4)
    assert last.covariance[motion.PITCH, motion.PITCH] < 0.8**2


def test_smoother_agrees_with_least_squares() -> None:
    rng = np.random.default_rng(0)
    nodes = [
        Node(float(n), EAST, seen(*rng.normal(10.0 * n, 2.0, 2)) if n in (0, 2, 3) else None)
        for n in range(5)
    ]
    states = smooth(nodes)
    first = start(nodes[0].measurement)
    # All five states at once: prior, four transitions, two more measurements.
    rows, values = [np.linalg.inv(np.linalg.cholesky(first.covariance))], []
    values.append(rows[0] @ first.mean)
    rows[0] = np.hstack([rows[0], np.zeros((SIZE, 4 * SIZE))])
    for n in range(1, 5):
        matrix, noise = transition(1.0, EAST)
        weight = np.linalg.inv(np.linalg.cholesky(noise))
        row = np.zeros((SIZE, 5 * SIZE))
        row[:, (n - 1) * SIZE : n * SIZE] = -weight @ matrix
        row[:, n * SIZE : (n + 1) * SIZE] = weight
        rows.append(row)
        values.append(np.zeros(SIZE))
        if nodes[n].measurement is not None:
            row = np.zeros((2, 5 * SIZE))
            row[:, n * SIZE : (n + 1) * SIZE] = nodes[n].measurement.matrix / 2.0
            rows.append(row)
            values.append(nodes[n].measurement.place / 2.0)
    design = np.vstack(rows)
    solution = np.linalg.lstsq(design, np.concatenate(values), rcond=None)[0].reshape(5, SIZE)
    spread = np.linalg.inv(design.T @ design)
    for n, state in enumerate(states):
        np.testing.assert_allclose(state.mean, solution[n], atol=1e-5)
        block = spread[n * SIZE : (n + 1) * SIZE, n * SIZE : (n + 1) * SIZE]
        np.testing.assert_allclose(state.covariance, block, atol=1e-5)


def test_moments_before_the_first_sight_are_reached_backwards() -> None:
    nodes = [Node(float(n), NOWHERE, seen(10.0 * n, 0.0) if n >= 5 else None) for n in range(30)]
    states = smooth(nodes)
    assert states[0].mean[0] == pytest.approx(0.0, abs=10.0)
    assert states[0].sigma_m > states[3].sigma_m > states[6].sigma_m


def test_between_two_nodes_lies_the_cubic_and_its_bridge() -> None:
    mean = np.zeros(SIZE)
    mean[2:4] = [10.0, 0.0]
    ends = [State(mean, np.zeros((SIZE, SIZE))) for _ in range(2)]
    ends[1].mean[:2] = [0.0, 0.0]
    straight = State(mean.copy(), np.zeros((SIZE, SIZE)))
    straight.mean[0] = 20.0
    place, sigma_m = between(ends[0], straight, (NOWHERE, NOWHERE), 2.0, 1.0)
    np.testing.assert_allclose(place, [10.0, 0.0], atol=1e-12)
    assert sigma_m == pytest.approx(math.sqrt(motion.UNSTEERED_PSD * 0.5**3 / 3))
    assert between(ends[0], straight, (NOWHERE, NOWHERE), 2.0, 0.0)[1] == 0.0
