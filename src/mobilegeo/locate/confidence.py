"""How sure an answer is: the probability that it is right, and its spread in metres.

After alignment, two figures decide whether a fix is right: the peak itself, a cosine, and its

    margin m = (peak − rival) / peak,

where the rival is the best other place, or what chance gives, whichever is higher. Repeated
structures (rows of equal houses) have a high peak and no margin. Rivals are compared by strength,
score · √cells, so that templates of unlike size can be compared. The highest of n independent
normal values lies near

    c = mean + std · √(2 ln n)     (Gumbel),

with n a quarter of the places and hypotheses compared, as neighbours are correlated: the margin
shrinks as the map and the number of hypotheses grow, as it should. `excess`, (peak − c) / std, is
reported as well; it added nothing to these two (`docs/results/calibration.md`).

The spread follows from the peak's shape as for any matched filter: a peak of height p and width w
in noise of standard deviation s is displaced by about w · s / p along each axis; what the noise
does not tell (relief, the map's own georeference) adds a floor.

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
from mobilegeo.locate.retrieve import Match
from mobilegeo.maps.tiletable import TileTable


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants fitted by `benchmarks/calibrate.py` on photos whose position is known.

    Attributes:
        bias, peak, margin: of the logistic regression.
        accept: fixes below this probability are withheld.
        spread: factor on w · s / p.
        floor_m: standard deviation that remains for a perfect peak, metres along each axis.
    """

    bias: float
    peak: float
    margin: float
    accept: float
    spread: float
    floor_m: float


ALIGNED = Calibration(bias=-7.8, peak=16.6, margin=8.9, accept=0.3, spread=1.1, floor_m=1.4)


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


def probability(alignment: Alignment, calibration: Calibration = ALIGNED) -> float:
    """Probability that the best place is the right one, 0 … 1."""
    c = calibration
    return logistic(c.bias + c.peak * alignment.best.score + c.margin * margin(alignment))


def sigma_m(alignment: Alignment, calibration: Calibration = ALIGNED) -> float:
    """One standard deviation of the position along each axis, metres, if it is right."""
    relative_noise = alignment.noise_std / max(alignment.best.strength, 1e-3)
    return math.hypot(calibration.floor_m, calibration.spread * alignment.width_m * relative_noise)


@dataclass(frozen=True, slots=True)
class RetrievalCalibration:
    """Constants fitted by `benchmarks/calibrate.py` for answers without alignment.

    Attributes:
        bias, score, lead: of the logistic regression on the best score and its lead.
        accept: fixes below this probability are withheld.
        sharpness: weights of neighbouring tiles are exp(sharpness · score).
        spread: standard deviation along each axis as a share of the footprint.
    """

    bias: float
    score: float
    lead: float
    accept: float
    sharpness: float
    spread: float


RETRIEVED = RetrievalCalibration(
    bias=-9.2, score=13.3, lead=18.5, accept=0.05, sharpness=20.0, spread=0.07
)


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
    matches: Sequence[Match], tiles: TileTable, calibration: RetrievalCalibration = RETRIEVED
) -> RetrievalAnswer:
    """Turns the best tiles, best first and at least one, into a position."""
    c = calibration
    around = _around_the_best(matches, tiles)
    rows = [match.row for match in matches]
    scores = np.array([match.score for match in matches])
    weights = np.exp(c.sharpness * (scores - scores[0])) * around
    weights /= weights.sum()
    score, lead = retrieval_evidence(matches, tiles)
    return RetrievalAnswer(
        x_m=float(weights @ tiles.x_m[rows]),
        y_m=float(weights @ tiles.y_m[rows]),
        sigma_m=c.spread * float(tiles.footprint_m[rows[0]]),
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
    rows = [match.row for match in matches]
    x, y = tiles.x_m[rows], tiles.y_m[rows]
    near: NDArray[np.bool_] = np.hypot(x - x[0], y - y[0]) <= tiles.footprint_m[rows[0]] / 2
    return near


def logistic(x: float) -> float:
    """1 / (1 + e^−x), without overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * x))
