"""Images that show some of the same ground, so that none of them may tell on another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

KEYPOINTS = 80
"""Strongest SIFT keypoints of an image that are compared."""
NEIGHBOURS = 4
PROBES = 6
"""Cells of the clustering that are searched for a descriptor."""
CLOSE = 0.35
"""Squared distance of RootSIFT descriptors (0 … 2) below which two may show the same spot."""
LEAST_VOTES = 4
LEAST_INLIERS = 7
_SIDE_PX = 512


def alike_groups(images: Sequence[Image]) -> list[int]:
    """Groups images that overlap, directly or through others.

    Pairs with several close SIFT descriptors are checked with a similarity transform; seven
    keypoints that agree join them. Ground without any structure is not compared.

    Args:
        images: uint8 [H, W, 3] each; those larger than 512 px are reduced.

    Returns:
        The number of each image's group: that of its first image.
    """
    group = list(range(len(images)))

    def root(node: int) -> int:
        while group[node] != node:
            node = group[node]
        return node

    features = [_features(image) for image in images]
    for first, second in _candidates([descriptors for _, descriptors in features]):
        low, high = sorted((root(first), root(second)))
        if low != high and _overlap(features[first], features[second]):
            group[high] = low
    return [root(node) for node in range(len(images))]


Features = tuple[NDArray[np.float32], NDArray[np.float32]]


def _features(image: Image) -> Features:
    """Positions float32 [n, 2] and RootSIFT descriptors float32 [n, 128] (Arandjelović 2012)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shrink = _SIDE_PX / max(grey.shape)
    if shrink < 1.0:
        grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    keypoints, descriptors = cv2.SIFT_create(KEYPOINTS).detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32)
    return points, np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))


def _candidates(descriptors: Sequence[NDArray[np.float32]]) -> list[tuple[int, int]]:
    """Pairs of images with several close descriptors, in order."""
    import faiss

    owner = np.repeat(np.arange(len(descriptors)), [len(found) for found in descriptors])
    if not len(owner):
        return []
    stack = np.ascontiguousarray(np.concatenate(descriptors), np.float32)
    # Descriptors of one spot are so near each other that the nearest cells hold both.
    cells = max(1, min(1024, len(stack) // 64))
    index = faiss.index_factory(stack.shape[1], f"IVF{cells},Flat")
    index.cp.min_points_per_centroid = 1
    index.train(stack[:: max(1, len(stack) // (40 * cells))])
    index.nprobe = PROBES
    index.add(stack)
    distances, nearest = index.search(stack, NEIGHBOURS + 1)
    rows = np.arange(len(stack))[:, None]
    close = (distances < CLOSE) & (nearest >= 0) & (owner[nearest] != owner[rows])
    votes = Counter(
        (min(a, b), max(a, b))
        for a, b in zip(
            owner[np.broadcast_to(rows, nearest.shape)[close]].tolist(),
            owner[nearest[close]].tolist(),
            strict=True,
        )
    )
    return sorted(pair for pair, count in votes.items() if count >= LEAST_VOTES)


def _overlap(first: Features, second: Features) -> bool:
    """Whether many keypoints of one image lie where a similarity takes those of the other."""
    likeness = first[1] @ second[1].T
    partner = likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[partner] == np.arange(len(partner))
    near = mutual & (2.0 - 2.0 * likeness[np.arange(len(partner)), partner] < CLOSE)
    if near.sum() < LEAST_INLIERS:
        return False
    _, inliers = cv2.estimateAffinePartial2D(
        first[0][near], second[0][partner[near]], method=cv2.RANSAC, ransacReprojThreshold=3.0
    )
    return inliers is not None and int(inliers.sum()) >= LEAST_INLIERS
