"""Which k of N views to use: the paper's greedy choice and others, behind one interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.locate.views.likeness import Views

Float64 = NDArray[np.float64]

BALANCE = 0.5
"""λ of MSRM: weight of importance against diversity."""

NOISE = 0.5
"""σ of the log-determinant: standard deviation of what a view tells, in units of its length."""


class Selector(Protocol):
    """Chooses among views of one place."""

    def __call__(self, views: Views, k: int) -> list[int]:
        """Indices of min(k, N) distinct views, the most valuable first where there is an order."""
        ...


def msrm(views: Views, k: int) -> list[int]:
    """The paper's choice.

    The first is the most important; the next always maximises
    λ · importance + (1 − λ) · distance to the nearest chosen view.
    """
    chosen: list[int] = []
    nearest = np.zeros(len(views))
    while len(chosen) < min(k, len(views)):
        gain = BALANCE * views.importance + (1 - BALANCE) * nearest
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
        nearest = views.distances[:, chosen].min(axis=1)
    return chosen


def log_det(views: Views, k: int) -> list[int]:
    """Greedy maximisation of the Gaussian mutual information ½ · ln det(I + V_S V_Sᵀ / σ²).

    V V ᵀ is the likeness, rows and columns scaled by the views' importance: a view worth half as
    much is one measured with twice the noise. The objective is monotone and submodular, so that
    the greedy choice reaches at least 1 − 1/e of the best (Nemhauser, Wolsey, Fisher 1978).
    """
    scaled = views.importance[:, None] * views.likeness * views.importance[None]
    return greedy_log_det(scaled, k)


def greedy_log_det(gram: Float64, k: int, noise: float = NOISE) -> list[int]:
    """The same for any Gram matrix, float64 [N, N], by an incremental Cholesky factor.

    Each step costs O(N · chosen) (Chen, Zhang, Zhou, NeurIPS 2018): `spare` is what each view
    would add to the determinant, and a new row of the factor tells what the last choice takes away.
    """
    count = len(gram)
    matrix = np.eye(count) + gram / noise**2
    spare = np.diag(matrix).copy()
    factor = np.zeros((min(k, count), count))
    chosen: list[int] = []
    for step in range(min(k, count)):
        open_spare = spare.copy()
        open_spare[chosen] = -np.inf
        best = int(np.argmax(open_spare))
        row = (matrix[best] - factor[:step, best] @ factor[:step]) / np.sqrt(spare[best])
        factor[step] = row
        spare = spare - row**2
        chosen.append(best)
    return chosen


def information(gram: Float64, chosen: list[int], noise: float = NOISE) -> float:
    """½ · ln det(I + K_S / σ²) of the chosen views of a Gram matrix, in nats."""
    part = gram[np.ix_(chosen, chosen)]
    return float(0.5 * np.linalg.slogdet(np.eye(len(chosen)) + part / noise**2)[1])


def evenly(views: Views, k: int) -> list[int]:
    """Every (N / k)-th view in the order taken, the middle one of each stretch."""
    count = min(k, len(views))
    return [int((step + 0.5) * len(views) / count) for step in range(count)]


def everything(views: Views, k: int) -> list[int]:  # noqa: ARG001 - the interface's
    """All views, whatever k."""
    return list(range(len(views)))


@dataclass(frozen=True, slots=True)
class RandomViews:
    """Any k views; the seed decides which."""

    seed: int = 0

    def __call__(self, views: Views, k: int) -> list[int]:
        """See `Selector`."""
        rng = np.random.default_rng([self.seed, len(views)])
        return [int(number) for number in rng.permutation(len(views))[:k]]


SELECTORS: Mapping[str, Selector] = MappingProxyType(
    {
        "msrm": msrm,
        "logdet": log_det,
        "even": evenly,
        "random": RandomViews(),
        "all": everything,
    }
)
"""Selectors by the name that the command line gives them."""


def selector_named(name: str) -> Selector:
    """One of `SELECTORS`.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SELECTORS:
        raise UsageError(
            f"view selection {name!r}", "is not known", f"choose one of {', '.join(SELECTORS)}"
        )
    return SELECTORS[name]
