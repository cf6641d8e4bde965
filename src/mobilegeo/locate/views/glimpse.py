"""What can be told of a view before the network sees it: a thumbnail of the ground.

A photo is decoded at an eighth of its size and projected to 64 × 64 pixels of ground, which tells
how much detail it shows and how much it resembles another. Nearly all that costs is the decoding
(`docs/results/multiview.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.locate.normalise import GroundPatch
from mobilegeo.locate.views.fusion import min_max
from mobilegeo.locate.views.likeness import Views, feature_distances, pose_likeness

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

THUMBNAIL_PX = 64
"""Side of the ground patch that `glimpse` looks at."""

SIGNATURE_PX = 16
BLOCKS = 8
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class Glimpse:
    """A view at first sight.

    Attributes:
        signature: float32 [256], its brightness on 16 × 16 squares of ground, free of mean and
            scale, 0 outside the photo, unit length (all 0 for a blank one).
        detail: see `_detail`; blur, haze, cover, noise, night and a small view all lower it.
    """

    signature: NDArray[np.float32]
    detail: float


def glimpse(patch: GroundPatch) -> Glimpse:
    """Looks at a ground patch of `THUMBNAIL_PX` a side."""
    import cv2

    grey = (patch.image @ np.array(LUMA)).astype(np.float32)
    size = (SIGNATURE_PX, SIGNATURE_PX)
    seen = patch.valid.astype(np.float32)
    share = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(grey * seen, size, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)
    known = share >= 0.5
    signature = np.where(known, mean - mean[known].mean() if known.any() else 0.0, 0.0).ravel()
    length = float(np.linalg.norm(signature))
    return Glimpse((signature / max(length, 1e-6)).astype(np.float32), _detail(grey, patch.valid))


def _detail(grey: Float32, valid: NDArray[np.bool_]) -> float:
    """How much there is to see: mean over blocks of ln(1 + s² / t), grey levels.

    Two neighbouring rows show the same things with unlike noise. So the mean product of their
    gradients, s², is that of the things alone, while the mean square t² holds the noise as well:
    s² / t is the gradient times the share of it on which neighbours agree. The logarithm keeps one
    strong edge, as of something before the lens, from outweighing the rest. What the photo does
    not cover counts as 0.
    """
    along, across = _gradients(grey, valid), _gradients(grey.T, valid.T)
    agreed, whole = (a + b.T for a, b in zip(along, across, strict=True))
    share = np.maximum(agreed, 0.0) / np.sqrt(np.maximum(whole, 1e-6))
    return float(np.log1p(share).mean())


def _gradients(grey: Float32, valid: NDArray[np.bool_]) -> tuple[Float32, Float32]:
    """s² and t² of the gradient along rows, block by block, float32 [8, 8] each."""
    inside = valid[:, 2:] & valid[:, 1:-1] & valid[:, :-2]
    step = np.pad((grey[:, 2:] - grey[:, :-2]) * inside, ((0, 1), (1, 1)))
    return _block_means(step[:-1] * step[1:]), _block_means(step[:-1] ** 2)


def _block_means(values: Float32) -> Float32:
    side = THUMBNAIL_PX // BLOCKS
    return np.asarray(values.reshape(BLOCKS, side, BLOCKS, side).mean(axis=(1, 3)), np.float32)


def before_the_network(glimpses: Sequence[Glimpse], distances: Float64 | None) -> Views:
    """Views as they are known before the network.

    Args:
        glimpses: one a view, in the order taken.
        distances: float64 [N, N], by pose; by the signatures where `None`.
    """
    detail = min_max(np.array([each.detail for each in glimpses]))
    if distances is not None:
        return Views(detail, distances, pose_likeness(distances))
    apart = feature_distances(np.stack([each.signature for each in glimpses]))
    return Views(detail, apart, 1.0 - apart)
