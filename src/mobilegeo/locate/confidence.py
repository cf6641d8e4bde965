"""How sure an answer is: the probability that it is right, and its spread in metres.

After alignment, three figures decide whether a fix is right, in a logistic regression: the peak
itself, a cosine; its

    margin m = (peak − rival) / peak,

where the rival is the best other place, or what chance gives, whichever is higher; and the
agreement of the photo's cells, each asked alone (`verify`), which decides most. Repeated
structures (rows of equal houses) have a high peak and no margin. Rivals are compared by strength,
score · √cells, so that templates of unlike size can be compared. The highest of n independent
normal values lies near

    c = mean + std · √(2 ln n)     (Gumbel),

with n a quarter of the places and hypotheses compared, as neighbours are correlated: the margin
shrinks as the map and the number of hypotheses grow, as it should. `excess`, (peak − c) / std, is
reported as well; it added nothing to these (`docs/results/calibration.md`).

The spread follows from the peak's shape (`refine`): noise explains a covariance, of which the
regression on known errors takes `spread²` times, and what noise does not tell (relief, the map's
own georeference) adds a floor.

After retrieval alone, the best score and its lead over the best tile elsewhere decide, and the
position is the mean of the tiles around the best, weighted by their scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.locate.align import Alignment
from mobilegeo.locate.calibration import AlignedCalibration, RetrievedCalibration
from mobilegeo.locate.retrieve import Match
from mobilegeo.maps.tiletable import TileTable

Float64 = NDArray[np.float64]


def chance(alignment: Alignment) -> float:
    """The strength that the best of as many places and hypotheses has by chance."""
    trials = max(2.0, alignment.trials / 4)
    return alignment.noise_mean + alignment.noise_std * math.sqrt(2 * math.log(trials))


def excess(alignment: Alignment) -> float:
    """The peak above the highest expected by chance, in standard deviations of the strengths."""
    return (alignment.best.strength - chance(alignment)) / alignment.noise_std


def margin(alignment: Alignment) -> float:
    """The peak's lead over the best other place, as a share of the peak, 0 … 1."""
    peak, second = alignment.best.strength, max(alignment.second, chance(alignment))
    return min(1.0, max(0.0, (peak - second) / peak)) if peak > 0 else 0.0


def probability(alignment: Alignment, calibration: AlignedCalibration) -> float:
    """Probability that the best place is the right one, 0 … 1."""
    c = calibration
    return logistic(
        c.bias
        + c.peak * alignment.best.score
        + c.margin * margin(alignment)
        + c.agreement * alignment.agreement
    )


def covariance_m2(alignment: Alignment, calibration: AlignedCalibration) -> Float64:
    """Covariance of the position (east, north) if it is right, float64 [2, 2], m²."""
    c = calibration
    return c.spread**2 * alignment.covariance + c.floor_m**2 * np.eye(2)


def sigma_m(alignment: Alignment, calibration: AlignedCalibration) -> float:
    """One standard deviation of the position, metres, root mean square over both axes."""
    return math.sqrt(float(np.trace(covariance_m2(alignment, calibration))) / 2)


def heading_sigma_deg(alignment: Alignment, calibration: AlignedCalibration) -> float:
    """One standard deviation of the heading if the place is right, degrees."""
    c = calibration
    return math.hypot(c.heading_floor_deg, c.heading_spread * alignment.heading_sigma_deg)


@dataclass(frozen=True, slots=True)
class RetrievalAnswer:
    """A position from tiles alone, in the map's frame.

    Attributes:
        x_m, y_m: weighted mean of the tiles around the best.
        sigma_m: one standard deviation along each axis, metres.
        probability: that the best tile shows the photo's ground.
    """

    x_m: float
    y_m: float
    sigma_m: float
    probability: float


def retrieval_answer(
    matches: Sequence[Match], tiles: TileTable, calibration: RetrievedCalibration
) -> RetrievalAnswer:
    """Turns the best tiles, best first and at least one, into a position."""
    c = calibration
    around = _around_the_best(matches, tiles)
    rows = [match.row for match in matches]
    scores = np.array([match.score for match in matches])
    weights = np.exp(c.sharpness * (scores - scores[0])) * around
    weights /= weights.sum()
    near = tiles.at(rows)
    score, lead = retrieval_evidence(matches, tiles)
    return RetrievalAnswer(
        x_m=float(weights @ near.x_m),
        y_m=float(weights @ near.y_m),
        sigma_m=c.spread * float(near.footprint_m[0]),
        probability=logistic(c.bias + c.score * score + c.lead * lead),
    )


def retrieval_evidence(matches: Sequence[Match], tiles: TileTable) -> tuple[float, float]:
    """The best tile's score, and its lead over the best tile farther than half a footprint away."""
    around = _around_the_best(matches, tiles)
    elsewhere = [m.score for m, is_near in zip(matches, around, strict=True) if not is_near]
    best = matches[0].score
    return best, best - max([0.0, *elsewhere])


def _around_the_best(matches: Sequence[Match], tiles: TileTable) -> NDArray[np.bool_]:
    """Which tiles lie within half a footprint of the first."""
    found = tiles.at([match.row for match in matches])
    apart_m = np.hypot(found.x_m - found.x_m[0], found.y_m - found.y_m[0])
    near: NDArray[np.bool_] = apart_m <= found.footprint_m[0] / 2
    return near


def logistic(x: float) -> float:
    """1 / (1 + e^−x), without overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * x))
