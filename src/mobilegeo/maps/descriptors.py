"""What a pack keeps of the encoder's dense features: few channels, few bits.

A network's channels say much the same of a given map: most of them are large or small together. A
pack therefore keeps its map's own principal directions. With f a feature vector of the encoder, μ
and σ its mean and deviation over the map, and (λ, V) the eigenvalues and eigenvectors of the
second moment of the standardised features, scaled to unit length,

    d = Aᵀ (f − μ) / σ,   A = V₁…K diag(λ₁…K)^(−W/2),   stored: d / |d|

with K = `CHANNELS` and W = `WHITENING`: directions in which all of the map varies strongly tell
places apart no better than others, and are turned down. Scores of alignment are cosines of these
descriptors. `docs/results/descriptors.md` compares channels, bits and whitening.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

CHANNELS = 48
WHITENING = 1.0
FLOOR = 1e-3
"""Least eigenvalue, as a share of their mean, so that a direction without content stays one."""

LEVELS = 7
"""Values are stored as −7 … 7, in four bits each."""
REACH = 3.0
"""The largest value that is stored, in root mean squares of a descriptor's K values, 1 / √K."""


@dataclass(frozen=True)
class DescriptorBasis:
    """How features become the descriptors of one map.

    Attributes:
        mean, std: float32 [C] over all cells with data, in the encoder's units.
        axes: float32 [C, K], A above.
    """

    mean: Float32
    std: Float32
    axes: Float32

    @classmethod
    def fitted(cls, mean: Float64, std: Float64, moment: Float64) -> Self:
        """The basis of a map.

        Args:
            mean: float64 [C].
            std: float64 [C], positive.
            moment: float64 [C, C], mean outer product of the standardised features at unit length.
        """
        values, vectors = np.linalg.eigh(moment)
        order = slice(None, -CHANNELS - 1, -1)
        strength = np.maximum(values, FLOOR * values.mean())[order] ** (-WHITENING / 2)
        return cls(
            np.asarray(mean, dtype=np.float32),
            np.asarray(std, dtype=np.float32),
            np.asarray(vectors[:, order] * strength, dtype=np.float32),
        )

    @classmethod
    def of(cls, features: Float32) -> Self:
        """The basis of a map all of whose features, float32 [N, C], are at hand.

        Every channel has to vary. A build, whose features are on disk, calls `fitted`.
        """
        mean = features.mean(axis=0, dtype=np.float64)
        std = features.std(axis=0, dtype=np.float64)
        standard = np.asarray((features - mean) / std, dtype=np.float32)
        unit = unit_cells(standard, np.ones(len(standard), np.bool_))
        return cls.fitted(mean, std, (unit.T @ unit / len(unit)).astype(np.float64))

    @property
    def channels(self) -> int:
        """K."""
        return int(self.axes.shape[1])

    def unit(self, features: Float32, valid: NDArray[np.bool_]) -> Float32:
        """Descriptors of unit length, float32 [..., K], zero where not valid.

        Args:
            features: float32 [..., C], of the encoder.
            valid: bool [...].
        """
        standard = np.asarray((features - self.mean) / self.std, dtype=np.float32)
        return unit_cells(np.asarray(standard @ self.axes, dtype=np.float32), valid)

    def to_record(self) -> dict[str, Any]:
        """For pack.json."""
        return {name: getattr(self, name).tolist() for name in ("mean", "std", "axes")}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Reads the basis back from pack.json."""
        return cls(*(np.array(record[n], dtype=np.float32) for n in ("mean", "std", "axes")))


def unit_cells(cells: Float32, valid: NDArray[np.bool_]) -> Float32:
    """Cells of unit length, float32 [..., K], zero where not valid."""
    norm = np.sqrt(np.einsum("...c,...c->...", cells, cells))
    scale = (valid / np.maximum(norm, np.float32(1e-6))).astype(np.float32)
    return np.asarray(cells * scale[..., None], dtype=np.float32)


def stored(cells: Float32, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Descriptors as a pack holds them.

    Args:
        cells: float32 [..., K], of unit length.
        valid: bool [...].

    Returns:
        uint8 [..., ⌈K / 2⌉]: two values of −7 … 7 a byte, the first in its lower half, each plus 8;
        0 where not valid.
    """
    step = REACH / (LEVELS * math.sqrt(cells.shape[-1]))
    if cells.shape[-1] % 2:
        cells = np.concatenate([cells, np.zeros_like(cells[..., :1])], axis=-1)
    levels = (np.clip(np.rint(cells / step), -LEVELS, LEVELS) + 8).astype(np.uint8)
    packed: NDArray[np.uint8] = levels[..., ::2] | (levels[..., 1::2] << 4)
    return packed * valid[..., None].astype(np.uint8)


def restored(packed: NDArray[np.uint8], channels: int) -> tuple[Float32, NDArray[np.bool_]]:
    """Descriptors out of their stored form.

    Args:
        packed: uint8 [..., ⌈K / 2⌉], see `stored`.
        channels: K.

    Returns:
        float32 [..., K], of unit length, zero without data; and bool [...], where there is data.
    """
    valid = np.asarray(packed.any(axis=-1))
    levels = np.empty((*packed.shape, 2), dtype=np.float32)
    levels[..., 0], levels[..., 1] = packed & 15, packed >> 4
    cells = levels.reshape(*packed.shape[:-1], -1)[..., :channels] - np.float32(8)
    return unit_cells(cells, valid), valid
