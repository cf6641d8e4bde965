"""Cross-entropy of correlation heatmaps: a photo must find its place on the map.

The scores are those of `mobilegeo.locate.correlate`, here with gradients and in batches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mobilegeo.learn.losses.divergence import at_least_float32
from mobilegeo.locate.correlate import MIN_OVERLAP

LOWEST_TEMPERATURE = 0.01


class WindowSpectra:
    """Windows of maps, transformed once for any number of templates of one size.

    Args:
        cells: float [M, C, H, W], unit descriptors; zero without data.
        known: bool [M, H, W], where there is data.
        side: of the templates to come, in cells; even.
    """

    def __init__(self, cells: Tensor, known: Tensor, side: int) -> None:
        self.side = side
        self.height, self.width = known.shape[1:]
        # Half a template may hang over; what would wrap around farther is not looked at.
        self._size = (self.height + side // 2, self.width + side // 2)
        self._cells = torch.fft.rfft2(at_least_float32(cells), s=self._size)
        self._known = torch.fft.rfft2(known.to(self._cells.real.dtype), s=self._size)

    def everywhere(self, cells: Tensor, seen: Tensor) -> Tensor:
        """Scores of every template on every window.

        Args:
            cells: float [N, C, side, side], unit descriptors; zero outside the photo.
            seen: bool [N, side, side].

        Returns:
            float32 [N, M, H + 1, W + 1]: the masked cosine with the template's middle on the
            corner between cells (r, c), as `MapSpectrum.correlate` has it; −∞ where the map covers
            less than `MIN_OVERLAP` of the template.
        """
        spectrum, mask = self._spectra(cells, seen)
        products = torch.einsum("mcyx,ncyx->nmyx", self._cells, spectrum)
        return self._scores(products, self._known[None] * mask[:, None], seen[:, None])

    def at_home(self, cells: Tensor, seen: Tensor, home: Tensor) -> Tensor:
        """Scores of each template on one window, float32 [N, H + 1, W + 1], as `everywhere`.

        Args:
            cells: as in `everywhere`.
            seen: as in `everywhere`.
            home: int64 [N], index of each template's window.
        """
        spectrum, mask = self._spectra(cells, seen)
        products = (self._cells[home] * spectrum).sum(dim=1)
        return self._scores(products, self._known[home] * mask, seen)

    def _spectra(self, cells: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = torch.fft.rfft2(at_least_float32(cells), s=self._size).conj()
        mask = torch.fft.rfft2(seen.to(spectrum.real.dtype), s=self._size).conj()
        return spectrum, mask

    def _scores(self, products: Tensor, covered: Tensor, seen: Tensor) -> Tensor:
        sums = self._corners(torch.fft.irfft2(products, s=self._size))
        overlap = self._corners(torch.fft.irfft2(covered, s=self._size))
        count = seen.sum(dim=(-2, -1), keepdim=True).to(sums.dtype)
        enough = overlap >= (MIN_OVERLAP * count).clamp(min=1.0) - 1e-3
        scores = sums / (overlap.clamp(min=1.0) * count.clamp(min=1.0)).sqrt()
        return torch.where(enough, scores, -torch.inf)

    def _corners(self, circular: Tensor) -> Tensor:
        """Entry (r, c) of a circular correlation has the template's upper-left corner there."""
        half = self.side // 2
        rolled = circular.roll((half, half), dims=(-2, -1))
        return rolled[..., : self.height + 1, : self.width + 1]


class HeatmapCrossEntropy(nn.Module):
    """A photo's true offset must win against all other offsets, places, headings and scales.

    With s_i(m, x) the masked cosine of template i on window m at corner x, h(i) the window that
    shows its place, w_i(x) the bilinear weights of its true offset on the four corners around it,
    s_i^p(x) the scores on h(i) of the template turned or stretched in a wrong way p, M(i) the
    window h(i) and all that show other ground, and τ the learnable temperature:

        L = mean_i [ log( Σ_{m ∈ M(i)} Σ_x e^(s_i(m, x)/τ) + Σ_p Σ_x e^(s_i^p(x)/τ) )
                     − Σ_x w_i(x) · s_i(h(i), x)/τ ]

    The classes are places, as in OrienterNet (Sarlin et al., arXiv 2304.02009); other windows of
    the batch as negatives are InfoNCE's. τ is learnt through its logarithm and kept at or above
    0.01.

    Args:
        temperature: starting τ.

    Example:
        >>> scores = torch.zeros(1, 1, 3, 3)
        >>> loss = HeatmapCrossEntropy()(scores, torch.tensor([0]), torch.tensor([[1.0, 1.0]]))
        >>> round(float(loss.exp()))
        9
    """

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """τ, a scalar."""
        return self.log_temperature.clamp(min=math.log(LOWEST_TEMPERATURE)).exp()

    def forward(
        self,
        scores: Tensor,
        home: Tensor,
        offset: Tensor,
        ignored: Tensor | None = None,
        wrong: Tensor | None = None,
    ) -> Tensor:
        """The loss of one batch.

        Args:
            scores: float [N, M, R, K] from `WindowSpectra.everywhere`; −∞ is no class.
            home: int64 [N], h(i).
            offset: float [N, 2], row and column of each photo's middle among the corners. Photos
                of which a corner around it has no score are left out.
            ignored: bool [N, M], windows that show ground of h(i) as well: neither right nor wrong.
            wrong: float [N, P, R, K], s_i^p on h(i); none when `None`.

        Returns:
            A scalar.
        """
        rows = torch.arange(len(scores), device=scores.device)
        corners, weights = _around(scores[rows, home], offset)
        judged = corners.isfinite().all(dim=1)
        right = (corners.clamp(min=-1.0) * weights).sum(dim=1) / self.temperature
        if ignored is not None:
            elsewhere = ignored.clone()
            elsewhere[rows, home] = False
            scores = scores.masked_fill(elsewhere[:, :, None, None], -torch.inf)
        classes = scores.flatten(1)
        if wrong is not None:
            classes = torch.cat([classes, wrong.flatten(1)], dim=1)
        return (self._total(classes) - right)[judged].mean()

    def _total(self, scores: Tensor) -> Tensor:
        """Logarithm of Σ e^(s/τ) over each row's finite scores; −∞ has no gradient by τ."""
        finite = scores.isfinite()
        logits = scores.masked_fill(~finite, 0.0) / self.temperature
        return logits.masked_fill(~finite, -torch.inf).logsumexp(dim=1)


def _around(heatmaps: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """The four values of float [N, R, K] around fractional positions [N, 2].

    Returns:
        float [N, 4], and their bilinear weights, [N, 4].
    """
    rows = torch.arange(len(heatmaps), device=heatmaps.device)
    last = torch.tensor(heatmaps.shape[1:], device=offset.device) - 2
    corner = torch.minimum(offset.floor().long().clamp(min=0), last)
    (down, right), (y, x) = (offset - corner).to(heatmaps.dtype).T, corner.T
    taps = ((0, 0), (0, 1), (1, 0), (1, 1))
    values = torch.stack([heatmaps[rows, y + i, x + j] for i, j in taps], dim=1)
    shares = [(down if i else 1 - down) * (right if j else 1 - right) for i, j in taps]
    return values, torch.stack(shares, dim=1)
