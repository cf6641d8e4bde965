"""How far two computations of one encoder differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mobilegeo.encoder.base import Encoded, ImageSpec
from mobilegeo.encoder.graph import normalise_pixels
from mobilegeo.errors import ResourceError

Encode = Callable[[NDArray[np.uint8]], Encoded]

FLOAT32_LIMIT = 1e-4
"""Largest 1 − cosine between the exported float32 file and PyTorch."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Cosines between two computations of the same images.

    Attributes:
        images: how many.
        embedding_min, embedding_median: over images.
        features_min, features_median: over all cells of all images.
    """

    images: int
    embedding_min: float
    embedding_median: float
    features_min: float
    features_median: float

    @property
    def error(self) -> float:
        """The largest 1 − cosine of either output."""
        return 1.0 - min(self.embedding_min, self.features_min)


def compare(expected: Encode, found: Encode, images: Sequence[NDArray[np.uint8]]) -> Parity:
    """Encodes images, uint8 [H, W, 3] RGB each, in two ways."""
    embeddings, features = [], []
    for image in images:
        one, other = expected(image[None]), found(image[None])
        embeddings.append(_cosines(one.embedding, other.embedding))
        features.append(_cosines(one.features, other.features))
    of_images, of_cells = np.concatenate(embeddings), np.concatenate(features)
    return Parity(
        len(images),
        float(of_images.min()),
        float(np.median(of_images)),
        float(of_cells.min()),
        float(np.median(of_cells)),
    )


def torch_encode(model: nn.Module, spec: ImageSpec) -> Encode:
    """What PyTorch makes of images, for `compare`; the model in evaluation mode."""

    def encode(images: NDArray[np.uint8]) -> Encoded:
        with torch.inference_mode():
            embedding, features = model(torch.from_numpy(normalise_pixels(images, spec)))
        return Encoded(embedding.numpy(), features.permute(0, 2, 3, 1).numpy())

    return encode


def require_parity(parity: Parity, out: Path, limit: float = FLOAT32_LIMIT) -> None:
    """Makes sure that an exported file computes what the network does.

    Raises:
        ResourceError: it does not.
    """
    if not parity.error <= limit:  # also where a cosine is no number
        raise ResourceError(
            out,
            f"differs from the network by {parity.error:.1e} (1 − cosine), "
            f"more than {limit:g}; it was not kept",
            "report this with the versions of torch and onnxruntime",
        )


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Over the last axis, flattened."""
    x, y = (v.reshape(-1, v.shape[-1]).astype(np.float64) for v in (a, b))
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    cosines: NDArray[np.float64] = (x * y).sum(axis=1) / lengths
    return cosines
