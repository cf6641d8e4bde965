"""The paper's importance of a view, and the fusion weighted by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def importance(features: NDArray[np.float32]) -> Float64:
    """How informative each view is, 0 … 1.

    The mean of two surrogates, each min-max normalised over the views: the entropy of a Gaussian
    with the variance of the view's features, ½ · ln(2πe · var), and their dynamic range.

    Args:
        features: float32 [N, D], embeddings.

    Returns:
        float64 [N].
    """
    values = features.astype(np.float64)
    entropy = 0.5 * np.log(2 * np.pi * np.e * np.maximum(values.var(axis=1), 1e-12))
    return (min_max(entropy) + min_max(np.ptp(values, axis=1))) / 2


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


def min_max(values: Float64) -> Float64:
    """Values stretched to 0 … 1; all 0 where they are equal."""
    span = np.ptp(values)
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)
