"""Embeddings as one map sees them: what all its tiles have in common says nothing of the place.

A network spreads the places of its training evenly over the sphere, those of one map not: fields or
roofs share a direction, and along a few others its tiles differ most. With e an embedding, μ and
Σ mean and covariance of the map's tiles, t = tr Σ / D and s = `SHRINKAGE`,

    e' = A (e − μ) / |A (e − μ)|,   A = (Σ + s t I)^(−½)

Tiles are stored so, and photos compared so. The shrinkage keeps directions in which the map hardly
varies, which are mostly noise, from being blown up. What it gains: docs/results/whitening.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

SHRINKAGE = 0.3
LEAST_TILES = 64
"""Fewer tiles say too little of their mean: they are stored as they are."""
SAMPLE = 50_000
"""At most so many tiles, evenly spaced, are looked at; more would not change the result."""


@dataclass(frozen=True)
class Whitening:
    """An affine map of embeddings, then unit length.

    Attributes:
        mean: float32 [D].
        matrix: float32 [D, D], A above; symmetric.
    """

    mean: Float32
    matrix: Float32

    @classmethod
    def fitted(cls, vectors: NDArray[np.floating[Any]]) -> Self:
        """The whitening of a map's tiles, [N, D]; the identity where they are few or all alike."""
        count, dim = vectors.shape
        sample = np.asarray(vectors[:: -(-count // SAMPLE)], np.float64)
        mean = sample.mean(axis=0)
        values, axes = np.linalg.eigh(np.cov(sample.T)) if count >= LEAST_TILES else (None, None)
        if values is None or axes is None or not values.mean() > 1e-9:
            return cls(np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32))
        strength = (np.maximum(values, 0.0) + SHRINKAGE * values.mean()) ** -0.5
        matrix = (axes * strength) @ axes.T
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    def apply(self, embeddings: NDArray[np.floating[Any]]) -> Float32:
        """Embeddings [N, D] of unit length as this map's, float32 [N, D] of unit length."""
        moved = (np.asarray(embeddings, np.float32) - self.mean) @ self.matrix
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        return np.asarray(moved / np.maximum(length, 1e-12), np.float32)

    def to_array(self) -> Float32:
        """For the pack: float32 [D + 1, D], the mean first."""
        return np.concatenate([self.mean[None], self.matrix])

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads it back."""
        array = np.load(path)
        return cls(array[0], array[1:])
