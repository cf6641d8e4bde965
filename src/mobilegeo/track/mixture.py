"""The filter: a mixture of Gaussians over where the drone is, and the chance that it is elsewhere.

Each component is a Kalman filter with a history. A frame's heatmap is taken as its likelihood,
through its peaks: peak k lies at z_k and is right with probability p_k, calibrated by the
localizer for a search of area A that knows nothing more. A place x inside that area then explains
the frame better than a place that was not looked at by the factor

    (1 − D) · (1 + Σ_k p_k / (1 − Σ p) · A · N(z_k; x, C_k)),

with D the chance that a frame of the right place is recognised. So a frame that matches nothing
weakens the places that were looked at, slowly, and one clear match outweighs many of those.

What no component explains is held by the weight `elsewhere`, spread evenly over the whole region.
It starts with all the weight, gains a little with time, and gives birth to components where the
search finds something. Several peaks make several components, which live until the frames that
follow decide between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mobilegeo.track.motion import Array, Measurement, State, predicted, start, updated

RECOGNISED = 0.7
"""D: share of frames of mapped ground that are recognised."""

LEAK_PER_S = 1e-3
"""Share of the weight that goes elsewhere in a second: a jump of the clock, a wrong lock."""

GATE = 25.0
"""Squared Mahalanobis distance beyond which a peak is no continuation of a component."""

MAX_PROBABILITY = 0.999
"""No single frame is believed more than this."""

LEAST_WEIGHT = 1e-5
MAX_COMPONENTS = 16
MERGE_DISTANCE2 = 4.0
NEAR_M = 20.0
"""Components nearer than this to the best belong to the same answer."""


@dataclass(frozen=True, slots=True)
class Link:
    """One measurement in the history of a component.

    Attributes:
        step: number of the frame.
        measurement: where that frame put the camera.
        before: the measurement before it, or `None`.
    """

    step: int
    measurement: Measurement
    before: Link | None


@dataclass(frozen=True, slots=True)
class Component:
    """One idea of where the drone is.

    Attributes:
        weight: probability.
        state: Gaussian over position, motion and line of sight.
        trail: the measurements that led here.
    """

    weight: float
    state: State
    trail: Link | None


@dataclass(frozen=True, slots=True)
class Peak:
    """One place that fits a frame.

    Attributes:
        measurement: where the camera would be.
        probability: that this is the right place, for a search that knew nothing more.
    """

    measurement: Measurement
    probability: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the mixture says at one moment.

    Attributes:
        state: the best component, widened by its neighbours.
        probability: that the drone is there.
        seen_step: the frame that was last matched on the way there.
    """

    state: State
    probability: float
    seen_step: int


class Mixture:
    """Position over time, forward.

    Args:
        region_m2: area of all places where the drone can be.
    """

    def __init__(self, region_m2: float) -> None:
        self._region_m2 = region_m2
        self._components: list[Component] = []
        self._known: Link | None = None
        self.elsewhere = 1.0

    def predict(self, seconds: float, direction: Array) -> None:
        """Moves all components on; `direction` as in `motion`."""
        leak = 1.0 - math.exp(-LEAK_PER_S * seconds)
        self.elsewhere += leak * (1.0 - self.elsewhere)
        self._components = [
            Component((1 - leak) * c.weight, predicted(c.state, seconds, direction), c.trail)
            for c in self._components
        ]

    def update(self, step: int, peaks: list[Peak], area_m2: float) -> None:
        """Takes in a frame.

        Args:
            step: its number.
            peaks: places that fit; their probabilities add up to less than 1. What is missing to
                1 is evidence against the area that was searched.
            area_m2: that area.
        """
        total = min(sum(peak.probability for peak in peaks), MAX_PROBABILITY)
        missed = 1.0 - RECOGNISED
        gains = [missed * area_m2 * peak.probability / (1 - total) for peak in peaks]
        children = list(self._children(step, peaks, gains, missed))
        looked_at = min(1.0, area_m2 / self._region_m2)
        for peak, gain in zip(peaks, gains, strict=True):
            weight = self.elsewhere * gain / self._region_m2
            trail = Link(step, peak.measurement, self._known)
            children.append(Component(weight, start(peak.measurement), trail))
        self.elsewhere *= 1.0 - looked_at * RECOGNISED
        self._keep(children)
        self._remember()

    def estimate(self) -> Estimate | None:
        """The best answer, or `None` when there is none at all."""
        if not self._components:
            return None
        best = self._components[0]
        near = [c for c in self._components if _distance_m(c, best) <= NEAR_M]
        merged = _merged(near)
        seen = -1 if best.trail is None else best.trail.step
        return Estimate(merged.state, merged.weight, seen)

    def circle(self, spreads: float) -> tuple[float, float, float] | None:
        """Centre and radius in metres of a circle around what all components deem likely.

        Args:
            spreads: how many standard deviations of each component it holds.

        Returns:
            `None` while the drone is more likely elsewhere.
        """
        if self.elsewhere > 0.5:
            return None
        heavy = [c for c in self._components if c.weight >= 0.01]
        weights = np.array([c.weight for c in heavy])
        places = np.stack([c.state.mean[:2] for c in heavy])
        x, y = (float(value) for value in weights @ places / weights.sum())
        radius = max(
            math.hypot(c.state.mean[0] - x, c.state.mean[1] - y) + spreads * c.state.sigma_m
            for c in heavy
        )
        return x, y, radius

    def history(self) -> list[Link]:
        """The measurements that led to the best answer, oldest first."""
        link = self._components[0].trail if self._components else None
        if self.elsewhere > 0.5:
            link = self._known
        links = []
        while link is not None:
            links.append(link)
            link = link.before
        return links[::-1]

    def _children(
        self, step: int, peaks: list[Peak], gains: list[float], missed: float
    ) -> Iterator[Component]:
        """Every component with every peak that can continue it, and without any."""
        for component in self._components:
            yield replace(component, weight=missed * component.weight)
            for peak, gain in zip(peaks, gains, strict=True):
                state, distance2, log_density = updated(component.state, peak.measurement)
                if distance2 <= GATE:
                    weight = component.weight * gain * math.exp(log_density)
                    trail = Link(step, peak.measurement, component.trail)
                    yield Component(weight, state, trail)

    def _keep(self, children: list[Component]) -> None:
        """Normalises the weights, drops the negligible and merges the like."""
        total = self.elsewhere + sum(child.weight for child in children)
        children = [replace(child, weight=child.weight / total) for child in children]
        children = [child for child in children if child.weight >= LEAST_WEIGHT]
        children.sort(key=lambda child: -child.weight)
        kept: list[Component] = []
        while children and len(kept) < MAX_COMPONENTS:
            best = children[0]
            alike = [c for c in children if c is best or _mahalanobis2(best, c) <= MERGE_DISTANCE2]
            children = [c for c in children if all(c is not other for other in alike)]
            kept.append(_merged(alike))
        self._components = sorted(kept, key=lambda component: -component.weight)
        # What was dropped counts as elsewhere.
        self.elsewhere = max(0.0, 1.0 - sum(component.weight for component in kept))

    def _remember(self) -> None:
        """Keeps the history of an answer that is sure, for what may be born after it was lost."""
        estimate = self.estimate()
        if estimate is not None and estimate.probability >= 0.9:
            trail = self._components[0].trail
            if trail is not None and trail.before is not None:
                self._known = trail


def _merged(components: list[Component]) -> Component:
    """One Gaussian with the first two moments of all; the history is the first's."""
    weights = np.array([c.weight for c in components])
    total = float(weights.sum())
    means = np.stack([c.state.mean for c in components])
    mean = weights @ means / total
    covariance = sum(
        (c.weight / total)
        * (c.state.covariance + np.outer(c.state.mean - mean, c.state.mean - mean))
        for c in components
    )
    return Component(total, State(mean, np.asarray(covariance)), components[0].trail)


def _mahalanobis2(a: Component, b: Component) -> float:
    """Squared distance of b's position and velocity from a's, in units of a's covariance."""
    difference = a.state.mean[:4] - b.state.mean[:4]
    return float(difference @ np.linalg.solve(a.state.covariance[:4, :4], difference))


def _distance_m(a: Component, b: Component) -> float:
    return math.hypot(*(a.state.mean[:2] - b.state.mean[:2]))
