"""Masked cosine correlation of dense descriptors, by FFT.

A template and a map are grids of unit descriptors; cells without data are zero. Laid over the map
at some place, their similarity is the cosine of the two masked grids seen as long vectors:

    score = Σ ⟨t, m⟩ / √(n_t · n_m)

with n_t the template's valid cells and n_m the map's valid cells that they cover. It is 1 only for
a perfect match, and a template that hangs over the map's edge is not favoured for it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

MIN_OVERLAP = 0.5
"""Places where the map covers less than this share of the template are not considered."""


@dataclass(frozen=True)
class Template:
    """Descriptors of one normalised photo.

    Attributes:
        cells: float32 [h, w, C], unit length; zero outside the photo.
        valid: bool [h, w].
    """

    cells: Float32
    valid: NDArray[np.bool_]


class MapSpectrum:
    """A window of the map, transformed once for any number of templates.

    Args:
        cells: float32 [H, W, C], unit descriptors; zero without data.
        valid: bool [H, W].
        max_template: largest side, in cells, of the templates to come.
    """

    def __init__(self, cells: Float32, valid: NDArray[np.bool_], max_template: int) -> None:
        self.height, self.width = valid.shape
        # Half a template may hang over; what would wrap around farther is not looked at.
        reach = max_template // 2
        self._size = (_fast_size(self.height + reach), _fast_size(self.width + reach))
        channels = cells.transpose(2, 0, 1)
        self._parts = shared_out(cells.shape[2])
        self._cells = list(
            pool().map(lambda part: np.fft.rfft2(channels[part], s=self._size), self._parts)
        )
        self._valid = np.fft.rfft2(valid.astype(np.float32), s=self._size)

    def correlate(self, template: Template) -> Float32:
        """Scores of the template with its centre on each corner between cells.

        Returns:
            float32 [H + 1, W + 1]: entry (r, c) is the score with the template's centre r cells
            below and c cells right of the window's upper-left corner; −1 where the map covers
            less than `MIN_OVERLAP` of the template. Templates have even sides, so that the
            centre falls on a corner.
        """
        height, width = template.valid.shape
        channels = template.cells.transpose(2, 0, 1)

        def product(part: slice, cells: NDArray[np.complex64]) -> NDArray[np.complex64]:
            # A product per channel and a sum over channels, without a C-fold intermediate.
            total = np.zeros(self._valid.shape, dtype=np.complex64)
            for one, other in zip(
                cells, _template_spectrum(channels[part], self._size), strict=True
            ):
                total += one * other
            return total

        sums_spectrum = sum(pool().map(product, self._parts, self._cells))
        sums = np.fft.irfft2(sums_spectrum, s=self._size)
        mask = _template_spectrum(template.valid[None].astype(np.float32), self._size)[0]
        overlap = np.fft.irfft2(self._valid * mask, s=self._size)
        # Entry (r, c) of the circular correlation is the template's upper-left corner at (r, c).
        rows = np.arange(-(height // 2), self.height - height // 2 + 1) % self._size[0]
        columns = np.arange(-(width // 2), self.width - width // 2 + 1) % self._size[1]
        place = np.ix_(rows, columns)
        return _normalise(sums[place], overlap[place], int(template.valid.sum()))


@cache
def pool() -> ThreadPoolExecutor:
    """Threads for transforms."""
    return ThreadPoolExecutor(threads(), thread_name_prefix="correlate")


def threads() -> int:
    """NumPy's transforms and products let other threads run; more than four gain little."""
    return min(4, os.cpu_count() or 1)


def shared_out(channels: int) -> list[slice]:
    """Channels in as many parts as there are threads, nearly equal, none empty."""
    edges = np.linspace(0, channels, min(threads(), channels) + 1).astype(int)
    return [slice(first, last) for first, last in pairwise(edges.tolist())]


def _normalise(sums: Float32, overlap: Float32, template_cells: int) -> Float32:
    enough = overlap >= max(1.0, MIN_OVERLAP * template_cells) - 1e-3
    scale = np.sqrt(np.maximum(overlap, 1.0) * max(template_cells, 1))
    return np.where(enough, sums / scale, np.float32(-1.0)).astype(np.float32)


def _template_spectrum(channels: Float32, size: tuple[int, int]) -> NDArray[np.complex64]:
    """Conjugate spectrum, [C, size]; rows that are only padding are not transformed."""
    rows = np.fft.rfft(channels, n=size[1], axis=2)
    return np.conj(np.fft.fft(rows, n=size[0], axis=1)).astype(np.complex64)


def _fast_size(length: int) -> int:
    """The next length that a mixed-radix FFT likes: without prime factors above 7."""
    return next(size for size in count(length) if _is_smooth(size))


def _is_smooth(size: int) -> bool:
    for prime in (2, 3, 5, 7):
        while size % prime == 0:
            size //= prime
    return size == 1
