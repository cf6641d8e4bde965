"""How informative views of one place are and how much alike: what selectors choose by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.locate.views.fusion import importance

Float64 = NDArray[np.float64]

ALTITUDE_STEP_M = 67.25
"""Height between the rings of University-1652's spiral (256 m down to 121.5 m in three)."""


@dataclass(frozen=True, eq=False)
class Views:
    """N views of one place, in the order in which they were taken.

    Attributes:
        importance: float64 [N], how much each is worth, 0 … 1.
        distances: float64 [N, N], how far they are apart, by pose or by what they show.
        likeness: float64 [N, N], a Gram matrix (1 on the diagonal, positive semidefinite): how
            much the same they tell.
    """

    importance: Float64
    distances: Float64
    likeness: Float64

    def __len__(self) -> int:
        return len(self.importance)


def embedded(embeddings: NDArray[np.float32], distances: Float64 | None = None) -> Views:
    """Views as the network sees them.

    Args:
        embeddings: float32 [N, D], L2-normalised.
        distances: float64 [N, N], by pose; by the embeddings where `None`.
    """
    by_features = feature_distances(embeddings)
    known = by_features if distances is None else distances
    return Views(importance(embeddings), known, 1.0 - by_features)


def feature_distances(vectors: NDArray[np.float32]) -> Float64:
    """Distances between views by what they show: 1 − cosine, float64 [N, N].

    Args:
        vectors: float32 [N, D], L2-normalised.
    """
    values = vectors.astype(np.float64)
    return 1.0 - values @ values.T


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


def pose_likeness(distances: Float64, reach: float = 0.5) -> Float64:
    """exp(−distance / reach), float64 [N, N].

    Positive semidefinite for `pose_distances`, as the exponential of a distance along a circle and
    that of one along a line are, and so is their product.

    Args:
        distances: float64 [N, N].
        reach: distance at which about a third of the likeness is left; 0.5 is a quarter turn.
    """
    return np.asarray(np.exp(-distances / reach), dtype=np.float64)
