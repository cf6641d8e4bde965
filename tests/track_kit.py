"""What the tests of tracks share: peaks at known places, and flights of a point."""

from __future__ import annotations

import math

import numpy as np

from mobilegeo.track.mixture import Peak
from mobilegeo.track.motion import Measurement

FLAT = np.zeros((2, 2))


def seen(x_m, y_m, sigma_m=2.0, tilt=FLAT):
    """A measurement of a place."""
    return Measurement(np.array([x_m, y_m], float), sigma_m**2 * np.eye(2), np.asarray(tilt))


def peak(x_m, y_m, probability=0.95, sigma_m=2.0):
    """A peak of a heatmap there."""
    return Peak(seen(x_m, y_m, sigma_m), probability)


def legs(seconds=120, speed_m_s=10.0, wind=(3.0, -1.0), turn_every_s=40):
    """A flight to and fro: times, places [N, 2], headings in degrees [N]; a second a step."""
    fine = 50
    heading, place = 90.0, np.zeros(2)
    places, headings = [], []
    for step in range(seconds * fine):
        if step % fine == 0:
            places.append(place.copy())
            headings.append(heading)
        phase = (step / fine) % turn_every_s
        if phase > turn_every_s - 6:
            heading += 15.0 / fine
        angle = math.radians(heading)
        place += (speed_m_s * np.array([math.sin(angle), math.cos(angle)]) + wind) / fine
    return np.arange(seconds, dtype=float), np.array(places), np.array(headings)
