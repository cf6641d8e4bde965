"""MSRM: of many views of one place, keep the informative and diverse ones and fuse them.

Multi-view selection and refinement of MobileGeo (Sun et al., arXiv 2510.22582): importance of a
view from surrogates of its mutual information with the place, a greedy choice that trades
importance against distance to the views already chosen, and a fusion weighted by importance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

DEFAULT_K = 10
"""How many views are kept at most, as in public re-implementations."""

BALANCE = 0.5
"""λ: weight of importance against diversity."""

ALTITUDE_STEP_M = 67.25
"""Height between the rings of University-1652's spiral (256 m down to 121.5 m in three)."""


def importance(embeddings: NDArray[np.float32]) -> Float64:
    """How informative each view is, 0 … 1.

    The mean of two surrogates, each min-max normalised over the views: the entropy of a Gaussian
    with the variance of the view's features, ½ · ln(2πe · var), and their dynamic range.

    Args:
        embeddings: float32 [N, D].

    Returns:
        float64 [N].
    """
    features = embeddings.astype(np.float64)
    entropy = 0.5 * np.log(2 * np.pi * np.e * np.maximum(features.var(axis=1), 1e-12))
    span = np.ptp(features, axis=1)
    return (_min_max(entropy) + _min_max(span)) / 2


def feature_distances(embeddings: NDArray[np.float32]) -> Float64:
    """Distances between views by what they show: 1 − cosine, float64 [N, N]."""
    vectors = embeddings.astype(np.float64)
    return 1.0 - vectors @ vectors.T


def pose_distances(agl_m: Float64, heading_deg: Float64) -> Float64:
    """Distances between views by where they were taken from.

    2 · |Δ altitude| in rings of the spiral + circular |Δ azimuth| / 180°.

    Args:
        agl_m: float64 [N], metres.
        heading_deg: float64 [N], degrees.

    Returns:
        float64 [N, N].
    """
    altitude = np.abs(agl_m[:, None] - agl_m[None]) / ALTITUDE_STEP_M
    turn = np.abs((heading_deg[:, None] - heading_deg[None] + 180.0) % 360.0 - 180.0)
    return 2.0 * altitude + turn / 180.0


def select(weights: Float64, distances: Float64, k: int = DEFAULT_K) -> list[int]:
    """Chooses views greedily.

    The first is the most important; the next always maximises
    λ · importance + (1 − λ) · distance to the nearest chosen view.

    Args:
        weights: float64 [N], importance.
        distances: float64 [N, N].
        k: how many to choose at most.

    Returns:
        Indices of the chosen views, in the order of choice.
    """
    chosen = [int(np.argmax(weights))]
    while len(chosen) < min(k, len(weights)):
        gain = BALANCE * weights + (1 - BALANCE) * distances[:, chosen].min(axis=1)
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
    return chosen


def fuse(embeddings: NDArray[np.float32], weights: Float64) -> NDArray[np.float32]:
    """One embedding for all views: their mean weighted by softmax(importance), L2-normalised.

    Args:
        embeddings: float32 [N, D], L2-normalised.
        weights: float64 [N], importance.

    Returns:
        float32 [D].
    """
    shares = np.exp(weights - weights.max())
    mean = (shares / shares.sum()) @ embeddings.astype(np.float64)
    fused: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return fused


def _min_max(values: Float64) -> Float64:
    span = np.ptp(values)
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)
