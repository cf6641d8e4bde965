"""How a drone moves between two frames, as a linear Gaussian model.

State, float64 [10]: east and north (m); the part u of the velocity that does not turn with the
camera (east and north, m/s); the part (a, c) that does (ahead and to the right, m/s); by how many
degrees the line of sight points above and to the right of where the telemetry has it; and the
error g that successive frames share (east and north, m).

    velocity = u + a · d + c · d⊥,   d = (sin, cos) of the heading, or 0 where it is unknown

For a drone that flies where it looks, a is its air speed and u the wind, and the telemetry's
heading carries the prediction around corners. For one that keeps its heading a and c tend to 0 and
u is the velocity. Which of both holds shows at the first turn; until then the covariance keeps both
open. u is driven by white accelerations (a Wiener process for the position); a, c and the line of
sight drift slowly.

Frames taken one after the other see much of the same ground, so that shadows, relief and the map's
own errors displace them alike. Were these errors taken for independent, a second of frames would
seem to fix the drone to decimetres. g is a first-order Gauss–Markov process for what they share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIZE = 10
X, Y, UX, UY, AHEAD, ACROSS, PITCH, SIDE, SHARED_X, SHARED_Y = range(SIZE)

STEERED_PSD = 0.3
UNSTEERED_PSD = 12.0
"""Power spectral density of the accelerations that drive u, m²/s³, with the heading known and
without, when turns come unannounced: at 10 m/s and 22°/s by 4 m/s²
(`docs/results/track.md`)."""

AHEAD_DRIFT = 0.04
ACROSS_DRIFT = 0.001
"""Variance that a and c gain in a second, (m/s)²."""

TILT_DRIFT = 1e-5
"""Variance that the angles gain in a second, degrees²."""

START_SPEED_M_S = 8.0
START_ACROSS_M_S = 2.0
"""Standard deviation of u and a, and of c, when nothing is known of the motion."""

START_TILT_DEG = 3.0
"""Standard deviation of the constant error of the line of sight, in both directions."""


SHARED_M = 1.8
SHARED_S = 8.0
"""Standard deviation of g, and the time in which its correlation falls to 1/e. On simulated flights
frames shared about 1.1 m for 6 s and another 0.9 m throughout; these values, which stand for both,
make the circles of sigma hold what they should (`docs/results/track.md`)."""


@dataclass(frozen=True, slots=True)
class State:
    """A Gaussian over motion and camera.

    Attributes:
        mean: float64 [10], see the module.
        covariance: float64 [10, 10].
    """

    mean: Array
    covariance: Array

    @property
    def sigma_m(self) -> float:
        """One standard deviation of the position along each axis, the mean of both axes."""
        return math.sqrt(max(0.0, (self.covariance[X, X] + self.covariance[Y, Y]) / 2))

    def velocity(self, direction: Array) -> Array:
        """East and north, m/s, float64 [2]; `direction` is d, float64 [2]."""
        turning = self.mean[AHEAD] * direction + self.mean[ACROSS] * to_the_right(direction)
        return np.asarray(self.mean[UX : UY + 1] + turning)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Where one frame puts the camera: z = position + tilt · (line of sight's errors) + g + noise.

    Attributes:
        place: float64 [2], z, east and north, metres.
        covariance: float64 [2, 2] of the noise, m².
        tilt: float64 [2, 2], metres by which z moves for a degree up and for one to the right.
    """

    place: Array
    covariance: Array
    tilt: Array

    @property
    def matrix(self) -> Array:
        """float64 [2, 10]: from the state to the expected z."""
        matrix = np.zeros((2, SIZE))
        matrix[0, X] = matrix[1, Y] = 1.0
        matrix[:, PITCH : SIDE + 1] = self.tilt
        matrix[0, SHARED_X] = matrix[1, SHARED_Y] = 1.0
        return matrix


def unit_vector(heading_deg: float | None) -> Array:
    """The direction d of a heading in the frame, float64 [2]; zero where it is unknown."""
    if heading_deg is None:
        return np.zeros(2)
    angle = math.radians(heading_deg)
    return np.array([math.sin(angle), math.cos(angle)])


def to_the_right(direction: Array) -> Array:
    """The direction a quarter turn clockwise, float64 [2]."""
    return np.array([direction[1], -direction[0]])


def start(measurement: Measurement) -> State:
    """The state after a first sight, with nothing known of motion and gimbal."""
    speeds = 3 * [START_SPEED_M_S**2] + [START_ACROSS_M_S**2]
    covariance = np.diag(
        [0.0, 0.0, *speeds, START_TILT_DEG**2, START_TILT_DEG**2, SHARED_M**2, SHARED_M**2]
    )
    # position = z − what the errors move it by − noise
    errors = np.hstack([measurement.tilt, np.eye(2)])
    tied = -errors @ covariance[PITCH:, PITCH:]
    covariance[:2, :2] = measurement.covariance - tied @ errors.T
    covariance[:2, PITCH:] = tied
    covariance[PITCH:, :2] = tied.T
    mean = np.zeros(SIZE)
    mean[:2] = measurement.place
    return State(mean, covariance)


def acceleration_psd(direction: Array) -> float:
    """Power spectral density of unforeseen accelerations, m²/s³."""
    return STEERED_PSD if direction.any() else UNSTEERED_PSD


def transition(seconds: float, direction: Array) -> tuple[Array, Array]:
    """Matrix and noise of a step, float64 [10, 10] each; `direction` is d over the step."""
    matrix = np.eye(SIZE)
    matrix[X, UX] = matrix[Y, UY] = seconds
    matrix[:2, AHEAD] = seconds * direction
    matrix[:2, ACROSS] = seconds * to_the_right(direction)
    noise = np.zeros((SIZE, SIZE))
    density = acceleration_psd(direction)
    for position, speed in ((X, UX), (Y, UY)):
        noise[position, position] = density * seconds**3 / 3
        noise[position, speed] = noise[speed, position] = density * seconds**2 / 2
        noise[speed, speed] = density * seconds
    noise[AHEAD, AHEAD] = AHEAD_DRIFT * seconds
    noise[ACROSS, ACROSS] = ACROSS_DRIFT * seconds
    noise[PITCH, PITCH] = noise[SIDE, SIDE] = TILT_DRIFT * seconds
    kept = math.exp(-seconds / SHARED_S)
    matrix[SHARED_X, SHARED_X] = matrix[SHARED_Y, SHARED_Y] = kept
    noise[SHARED_X, SHARED_X] = noise[SHARED_Y, SHARED_Y] = SHARED_M**2 * (1 - kept**2)
    return matrix, noise


def predicted(state: State, seconds: float, direction: Array) -> State:
    """The state some seconds later."""
    matrix, noise = transition(seconds, direction)
    return State(matrix @ state.mean, matrix @ state.covariance @ matrix.T + noise)


def updated(state: State, measurement: Measurement) -> tuple[State, float, float]:
    """The state after a measurement (Kalman's update, Joseph's form).

    Returns:
        The state, the squared Mahalanobis distance of the innovation, and the logarithm of the
        measurement's density under the state before, per m².
    """
    matrix = measurement.matrix
    innovation = measurement.place - matrix @ state.mean
    spread = matrix @ state.covariance @ matrix.T + measurement.covariance
    gain = np.linalg.solve(spread, matrix @ state.covariance).T
    distance2 = float(innovation @ np.linalg.solve(spread, innovation))
    log_density = -0.5 * distance2 - math.log(2 * math.pi) - 0.5 * math.log(np.linalg.det(spread))
    rest = np.eye(SIZE) - gain @ matrix
    covariance = rest @ state.covariance @ rest.T + gain @ measurement.covariance @ gain.T
    return State(state.mean + gain @ innovation, covariance), distance2, log_density
