"""The filter that was not chosen: particles weighted by the whole heatmap.

Each particle has a place and a velocity as in `mobilegeo.track.motion`, but no camera errors.
A frame's heatmap, exp(sharpness · score) normalised over the area searched, is the density of the
drone's place; it enters with the same factor as the mixture's peaks do. A share of the particles is
drawn anew from the heatmap, in proportion to the chance that the drone is elsewhere.
"""

from __future__ import annotations

import math
import time

import numpy as np

from mobilegeo.track.mixture import LEAK_PER_S, NEAR_M, RECOGNISED, Estimate
from mobilegeo.track.motion import SIZE, START_SPEED_M_S, STEERED_PSD, UNSTEERED_PSD, State
from mobilegeo.track.records import Frame
from mobilegeo.track.sighting import Sighting
from mobilegeo.track.tracker import Step, Tracker


class Particles:
    """Position over time by weighted samples; answers as `Mixture` does, without a history."""

    def __init__(self, region_m2: float, count: int, sharpness: float, seed: int = 0) -> None:
        self._region_m2, self._sharpness = region_m2, sharpness
        self._rng = np.random.default_rng(seed)
        self._count = count
        self._state = np.zeros((0, 5))  # x, y, u east, u north, a
        self._weights = np.zeros(0)
        self._seen = -1
        self.elsewhere = 1.0

    def predict(self, seconds: float, direction: np.ndarray) -> None:
        """Moves all particles on."""
        leak = 1.0 - math.exp(-LEAK_PER_S * seconds)
        self.elsewhere += leak * (1.0 - self.elsewhere)
        self._weights *= 1.0 - leak
        psd = STEERED_PSD if direction.any() else UNSTEERED_PSD
        kick = self._rng.normal(0.0, math.sqrt(psd * seconds), (len(self._state), 2))
        velocity = self._state[:, 2:4] + self._state[:, 4:] * direction
        self._state[:, :2] += (velocity + kick / 2) * seconds
        self._state[:, 2:4] += kick
        self._state[:, 4] += self._rng.normal(0.0, 0.2 * math.sqrt(seconds), len(self._state))

    def take_in(self, step: int, sighting: Sighting, area_m2: float) -> None:
        """Weights the particles by a frame's heatmap."""
        density = Density(sighting, self._sharpness)
        p = sighting.peaks[0].probability
        gain = area_m2 * p / (1 - p)
        missed = 1.0 - RECOGNISED
        self._weights *= missed * (1 + gain * density.at(self._state[:, :2]))
        born = self.elsewhere * missed * gain / self._region_m2
        self.elsewhere *= 1.0 - min(1.0, area_m2 / self._region_m2) * RECOGNISED
        self._give_birth(born, density)
        total = self.elsewhere + self._weights.sum()
        self.elsewhere /= total
        self._weights /= total
        if p > 0.5:
            self._seen = step
        self._resample()

    def _give_birth(self, weight: float, density: Density) -> None:
        share = weight / (weight + self._weights.sum() + 1e-300)
        count = int(np.clip(math.ceil(share * self._count), 50, self._count))
        state = np.zeros((count, 5))
        state[:, :2] = density.draw(count, self._rng)
        state[:, 2:] = self._rng.normal(0.0, START_SPEED_M_S, (count, 3))
        self._state = np.vstack([self._state, state])
        self._weights = np.append(self._weights, np.full(count, weight / count))

    def _resample(self) -> None:
        total = self._weights.sum()
        if total <= 0.0:
            return
        ticks = (np.arange(self._count) + self._rng.random()) / self._count
        chosen = np.searchsorted(np.cumsum(self._weights) / total, ticks).clip(
            0, len(self._state) - 1
        )
        self._state = self._state[chosen]
        self._weights = np.full(self._count, total / self._count)

    def estimate(self) -> Estimate | None:
        """The mean around the median particle of the densest neighbourhood."""
        if not len(self._state):
            return None
        cells = np.round(self._state[:, :2] / NEAR_M)
        _, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
        middle = self._state[cell.ravel() == int(count.argmax()), :2].mean(axis=0)
        near = np.hypot(*(self._state[:, :2] - middle).T) <= 2 * NEAR_M
        mean, covariance = np.zeros(SIZE), np.zeros((SIZE, SIZE))
        mean[:5] = self._state[near].mean(axis=0)
        covariance[:5, :5] = np.cov(self._state[near].T)
        return Estimate(State(mean, covariance), float(self._weights[near].sum()), self._seen)


class Density:
    """A heatmap as a density of the camera's place, per m²."""

    def __init__(self, sighting: Sighting, sharpness: float) -> None:
        heatmap = sighting.alignment.heatmap
        scores = heatmap.scores.astype(float)
        weights = np.where(scores > -1.0, np.exp(sharpness * (scores - scores.max())), 0.0)
        self._box, self._offset = heatmap.box, sighting.offset_m
        rows, columns = scores.shape
        self._cell_m = (heatmap.box.east - heatmap.box.west) / max(1, columns - 1)
        self._weights = weights / weights.sum()
        self._shape = (rows, columns)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Densities at places, float64 [N, 2], bilinear; 0 outside."""
        import cv2

        if not len(places):
            return np.zeros(0)
        ground = places + self._offset
        column = ((ground[:, 0] - self._box.west) / self._cell_m).astype(np.float32)
        row = ((self._box.north - ground[:, 1]) / self._cell_m).astype(np.float32)
        density = (self._weights / self._cell_m**2).astype(np.float32)
        return cv2.remap(density, column[:, None], row[:, None], cv2.INTER_LINEAR)[:, 0].astype(
            float
        )

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random places, float64 [count, 2]."""
        cells = rng.choice(self._weights.size, count, p=self._weights.ravel())
        row, column = np.divmod(cells, self._shape[1])
        jitter = rng.uniform(-0.5, 0.5, (2, count))
        x = self._box.west + (column + jitter[0]) * self._cell_m
        y = self._box.north - (row + jitter[1]) * self._cell_m
        return np.stack([x, y], axis=1) - self._offset


class Comparing(Tracker):
    """The tracker, with particles that are shown the same sightings; the mixture leads the search.

    Attributes:
        rival: the particles' answer after the last step.
        rival_seconds, seconds: time spent in either filter.
    """

    def __init__(self, *arguments, particles: int, sharpness: float, **options) -> None:
        super().__init__(*arguments, **options)
        self._particles = Particles(self._area_m2(None), particles, sharpness)
        self._shown: tuple[int, Sighting, float] | None = None
        self._time_s = 0.0
        self.rival: Estimate | None = None
        self.rival_seconds = self.seconds = 0.0

    def step(self, frame: Frame) -> Step:
        """As `Tracker.step`, for both."""
        self._shown = None
        step = super().step(frame)
        start = time.perf_counter()
        self._particles.predict(frame.time_s - self._time_s, step.direction)
        if self._shown is not None:
            self._particles.take_in(*self._shown)
        self.rival = self._particles.estimate()
        self.rival_seconds += time.perf_counter() - start
        self._time_s = frame.time_s
        return step

    def _take_in(self, number: int, sighting: Sighting, area_m2: float) -> None:
        self._shown = (number, sighting, area_m2)
        start = time.perf_counter()
        super()._take_in(number, sighting, area_m2)
        self.seconds += time.perf_counter() - start
