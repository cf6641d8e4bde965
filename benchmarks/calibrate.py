r"""Fits an encoder's constants (`locate/calibration.py`) to the trials of `outside.py`.

Logistic regressions of right against wrong places, with a ridge on the standardised evidence. The
bar for a fix is put where at most one photo of elsewhere in 200 passes and a fix is more probably
right than wrong. Tiles alone cannot tell so well: a bar as strict would withhold a fifth of the
right answers where map and photo differ much. Theirs lets one photo of elsewhere in five pass, with
the low confidence that it deserves. Spreads are fitted by maximum likelihood to the errors of
right places; the factor on what noise explains is ½ at least, so that a poor peak is never sharp.

    python benchmarks/outside.py ../shared/data --split calibrate --out runs/outside
    python benchmarks/calibrate.py runs/outside/calibrate.json \
        --write src/mobilegeo/encoder/weights/first.calibration.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from mobilegeo.encoder import load_encoder
from mobilegeo.encoder.registry import DEFAULT
from mobilegeo.evaluation.metrics import auroc
from mobilegeo.locate.calibration import FORMAT_VERSION, NEUTRAL, parse
from mobilegeo.locate.confidence import logistic
from mobilegeo.output.atomic import write_atomically
from outside import Trial, read_trials

RIDGE = 1.0
FALSE_FIXES = {"aligned": 0.005, "retrieved": 0.2}
LEAST_CHANCE = {"aligned": 0.5, "retrieved": 0.0}
EVIDENCE = ("peak", "margin", "agreement")


def logistic_fit(evidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Bias and weights, float64 [1 + K], by Newton's method; the ridge spares the bias."""
    centre, scale = evidence.mean(axis=0), evidence.std(axis=0)
    design = np.column_stack([np.ones(len(evidence)), (evidence - centre) / scale])
    ridge = RIDGE * np.diag([0.0] + [1.0] * evidence.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge + 1e-9 * np.eye(len(weights))
        weights += np.linalg.solve(hessian, design.T @ (right - p) - ridge @ weights)
    slopes = weights[1:] / scale
    return np.concatenate([[weights[0] - slopes @ centre], slopes])


def chances(fit: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Probabilities, float64 [N]."""
    return np.array([logistic(v) for v in fit[0] + evidence @ fit[1:]])


def bar(p: np.ndarray, inside: np.ndarray, stage: str) -> float:
    """The probability that only the stage's share of the photos of elsewhere reaches."""
    reached = np.quantile(p[~inside], 1 - FALSE_FIXES[stage], method="higher")
    return float(max(LEAST_CHANCE[stage], reached + 1e-6))


def spread_fit(error: np.ndarray, formal: np.ndarray, floors: np.ndarray, axes: int) -> tuple:
    """Factor on the formal spread, and floor, by maximum likelihood of normal errors.

    Args:
        error: lengths of the errors over `axes` axes.
        formal: one standard deviation along an axis, from noise alone.
        floors: those tried.
        axes: 2 for positions, 1 for headings.
    """

    def cost(factor: float, floor: float) -> float:
        sigma = np.hypot(floor, factor * formal)
        return float(np.sum(axes * np.log(sigma) + error**2 / (2 * sigma**2)))

    tried = ((factor, floor) for factor in np.arange(0.5, 4.01, 0.1) for floor in floors)
    return min(tried, key=lambda pair: cost(*pair))


def aligned(trials: list[Trial]) -> dict[str, float]:
    """Constants for answers after alignment."""
    evidence = np.array([[getattr(t, name) for name in EVIDENCE] for t in trials])
    right = np.array([t.right for t in trials], dtype=float)
    inside = np.array([t.inside for t in trials])
    compare(trials)
    fit = logistic_fit(evidence, right)
    p = chances(fit, evidence)
    accept = bar(p, inside, "aligned")
    clean = inside & np.array([not t.spoilt for t in trials])
    print(f"aligned: {len(trials)} trials; fixes inside {np.mean(p[clean] >= accept):.1%}, of"
          f" photos of elsewhere {np.mean(p[~inside] >= accept):.1%}")  # fmt: skip
    sure = [t for t in trials if t.right]
    error = np.array([t.error_m for t in sure])
    formal = np.array([t.sigma_m for t in sure])
    factor, floor = spread_fit(error, formal, np.arange(0.2, 4.0, 0.05), 2)
    turned = [t for t in sure if t.heading_error_deg is not None]
    heading = spread_fit(
        np.array([t.heading_error_deg for t in turned]),
        np.array([t.heading_sigma_deg for t in turned]),
        np.arange(0.1, 4.0, 0.05),
        1,
    )
    return {
        "bias": fit[0], **dict(zip(EVIDENCE, fit[1:], strict=True)), "accept": accept,
        "spread": factor, "floor_m": floor,
        "heading_spread": heading[0], "heading_floor_deg": heading[1],
    }  # fmt: skip


def compare(trials: list[Trial]) -> None:
    """Prints log loss and AUROC of regressions on other evidence, each map left out in turn."""
    right = np.array([t.right for t in trials], dtype=float)
    maps = np.array([t.case for t in trials])
    for names in (("peak", "margin"), ("peak", "margin", "excess"), ("agreement",),
                  ("margin", "agreement"), EVIDENCE, (*EVIDENCE, "retrieval_lead")):  # fmt: skip
        evidence = np.array([[getattr(t, name) for name in names] for t in trials])
        p = np.empty(len(trials))
        for left_out in set(maps):
            fit = logistic_fit(evidence[maps != left_out], right[maps != left_out])
            p[maps == left_out] = chances(fit, evidence[maps == left_out])
        loss = -np.mean(np.log(np.clip(np.where(right > 0, p, 1 - p), 1e-9, 1)))
        print(f"{', '.join(names)}: log loss {loss:.3f}, AUROC {auroc(p, right > 0):.4f}")


def retrieved(trials: list[Trial]) -> dict[str, float]:
    """Constants for answers from tiles alone."""
    evidence = np.array([[t.retrieval_score, t.retrieval_lead] for t in trials])
    inside = np.array([t.inside for t in trials])
    share = np.array([
        t.retrieval_error_m / t.footprint_m if t.inside else np.inf for t in trials
    ])  # fmt: skip
    near = share <= 0.5
    fit = logistic_fit(evidence, near.astype(float))
    p = chances(fit, evidence)
    accept = bar(p, inside, "retrieved")
    taken = p >= accept
    print(f"retrieved: right {near[inside].mean():.1%}; fixes inside {taken[inside].mean():.1%},"
          f" of photos of elsewhere {taken[~inside].mean():.1%}")  # fmt: skip
    return {
        "bias": fit[0], "score": fit[1], "lead": fit[2], "accept": accept,
        "sharpness": NEUTRAL.retrieved.sharpness,
        "spread": float(np.sqrt(np.mean(share[near] ** 2) / 2)),
    }  # fmt: skip


def main() -> None:
    """Fits and prints; writes the file where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trials", type=Path)
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    trials = [t for t in read_trials(options.trials) if t.aligned]
    record = {
        "format_version": FORMAT_VERSION,
        "encoder": load_encoder(options.encoder).spec.model_id,
        "encoder_sha256": load_encoder(options.encoder).sha256,
        "trials": len(trials),
        "aligned": {name: round(float(v), 4) for name, v in aligned(trials).items()},
        "retrieved": {name: round(float(v), 4) for name, v in retrieved(trials).items()},
    }
    text = json.dumps(record, indent=2) + "\n"
    parse(text, "the result")
    print(text)
    if options.write:
        write_atomically(options.write, text.encode())


if __name__ == "__main__":
    main()
