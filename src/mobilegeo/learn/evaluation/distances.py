"""How far off the top answers are: SDM@K, MA@m and dis@K, as their authors compute them.

Each evaluator has its own idea of a distance. These are only for comparison with published
numbers; `mobilegeo.geo` measures on the ellipsoid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod

Array = NDArray[np.float64]

DENSEUAV_SCALE = 5000.0
"""Decay of DenseUAV's SDM per degree."""
DENSEUAV_RADIUS_M = 6_378_137.0
"""Radius of DenseUAV's spherical earth."""
DENSEUAV_DEPTHS = (1, 3, 5, 10)
DENSEUAV_METRES = (5, 10, 20, 50)
GAME4LOC_SCALE = 0.001
"""Decay of Game4Loc's SDM per metre."""
GAME4LOC_DEPTHS = (1, 3, 5)


def sdm_at(distances: NDArray[Any], k: int, scale: float) -> float:
    """Spatial distance metric: mean of Σ_{i<k} (1 − i/k) · exp(−scale · d_i) / Σ (1 − i/k), 0 … 1.

    Args:
        distances: floating [Q, K], to the K most similar items, best first.
        k: depth, at most K.
        scale: per unit of the distances.
    """
    weights = 1.0 - np.arange(k) / k
    nearness = np.exp(-scale * distances[:, :k].astype(np.float64))
    return float((nearness @ weights / weights.sum()).mean())


def within(distances: NDArray[Any], limit: float) -> float:
    """MA@m: share of queries whose most similar item is nearer than `limit`, 0 … 1."""
    return float((distances[:, 0] < limit).mean())


def mean_distance(distances: NDArray[Any], k: int) -> float:
    """dis@K: mean distance of the k most similar items, over all queries."""
    return float(distances[:, :k].mean())


def degree_distances(query: Array, ranked: Array) -> NDArray[np.float32]:
    """Euclidean distances in degrees of latitude and longitude, as if both were as long.

    Positions are rounded to float32 first, as DenseUAV's evaluator does: at 120° of longitude that
    moves a point by up to 0.4 m.

    Args:
        query: (lat, lon) in degrees, float64 [Q, 2].
        ranked: of the most similar items, float64 [Q, K, 2].

    Returns:
        float32 [Q, K].
    """
    offsets = ranked.astype(np.float32) - query.astype(np.float32)[:, None]
    return np.asarray(np.sqrt((offsets**2).sum(axis=2)), dtype=np.float32)


def haversine_m(query: Array, ranked: Array) -> Array:
    """Great-circle distances on DenseUAV's sphere; up to 0.7 % from the ellipsoid's.

    Args:
        query: (lat, lon) in degrees, float64 [Q, 2].
        ranked: of the most similar items, float64 [Q, K, 2].

    Returns:
        Metres, float64 [Q, K].
    """
    start, end = np.radians(query)[:, None], np.radians(ranked)
    half = np.sin((end - start) / 2.0) ** 2
    chord = half[..., 0] + np.cos(start[..., 0]) * np.cos(end[..., 0]) * half[..., 1]
    return np.asarray(2.0 * DENSEUAV_RADIUS_M * np.arcsin(np.sqrt(chord)), dtype=np.float64)


def plane_distances_m(query: Array, ranked: Array) -> Array:
    """Distances in a flat frame.

    Args:
        query: (x, y) in metres, float64 [Q, 2].
        ranked: of the most similar items, float64 [Q, K, 2].

    Returns:
        Metres, float64 [Q, K].
    """
    return np.asarray(np.linalg.norm(ranked - query[:, None], axis=2), dtype=np.float64)


def denseuav_metrics(query: Array, ranked: Array) -> dict[str, float]:
    """SDM@1/3/5/10 and MA@5/10/20/50m of DenseUAV, fractions.

    Args:
        query: (lat, lon) in degrees, float64 [Q, 2].
        ranked: of the ten most similar items, float64 [Q, 10, 2].
    """
    degrees = degree_distances(query, ranked)
    metres = haversine_m(query, ranked[:, :1])
    return {
        **{f"SDM@{k}": sdm_at(degrees, k, DENSEUAV_SCALE) for k in DENSEUAV_DEPTHS},
        **{f"MA@{limit}m": within(metres, limit) for limit in DENSEUAV_METRES},
    }


def geodesic_m(query: Array, ranked: Array) -> Array:
    """Lengths of geodesics on WGS84.

    Args:
        query: (lat, lon) in degrees, float64 [Q, 2].
        ranked: of the most similar items, float64 [Q, K, 2].

    Returns:
        Metres, float64 [Q, K].
    """
    start = np.broadcast_to(query[:, None], ranked.shape)
    inverse = Geod(ellps="WGS84").inv(start[..., 1], start[..., 0], ranked[..., 1], ranked[..., 0])
    return np.asarray(inverse[2], dtype=np.float64)


def game4loc_metrics(query: Array, ranked: Array) -> dict[str, float]:
    """SDM@1/3/5, fractions, and dis@1/3/5, metres, of Game4Loc.

    Args:
        query: (x, y) in metres, float64 [Q, 2].
        ranked: of the five most similar items, float64 [Q, 5, 2].
    """
    return _by_metres(plane_distances_m(query, ranked))


def visloc_metrics(query: Array, ranked: Array) -> dict[str, float]:
    """Game4Loc's SDM@1/3/5, fractions, and dis@1/3/5, metres, with distances on WGS84.

    Args:
        query: (lat, lon) in degrees, float64 [Q, 2].
        ranked: of the five most similar items, float64 [Q, 5, 2].
    """
    return _by_metres(geodesic_m(query, ranked))


def _by_metres(metres: Array) -> dict[str, float]:
    return {
        **{f"SDM@{k}": sdm_at(metres, k, GAME4LOC_SCALE) for k in GAME4LOC_DEPTHS},
        **{f"dis@{k}": mean_distance(metres, k) for k in GAME4LOC_DEPTHS},
    }
