"""From a batch of features to heatmaps, and how often these are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mobilegeo.learn.alignment.batch import Batch, read_batch
from mobilegeo.learn.alignment.cache import Cache
from mobilegeo.learn.alignment.descriptors import Whitening
from mobilegeo.learn.alignment.poses import displaced
from mobilegeo.learn.losses.correlation import WindowSpectra
from mobilegeo.learn.models.alignment_head import AlignmentHead

NEAR_CELLS = 2.0
"""A peak so near the truth, in rows and in columns, is right, and is no rival of the true one."""


@dataclass(frozen=True)
class Heatmaps:
    """Scores of the photos of a batch.

    Attributes:
        everywhere: float32 [N, M, R, K], on all windows.
        wrong: float32 [N, poses, R, K], on their own window under wrong poses; None without any.
    """

    everywhere: Tensor
    wrong: Tensor | None


def heatmaps(
    head: AlignmentHead, batch: Batch, poses: Sequence[tuple[float, float]] = ()
) -> Heatmaps:
    """Features → descriptors → scores.

    Each window stands for a map: its statistics whiten its own photos and, as more of its
    ground, all other windows.

    Args:
        head: the network.
        batch: features.
        poses: turns and logarithms of scale, see `poses`.
    """
    margin, side = batch.margin, batch.seen.shape[-1]
    inner = slice(margin, batch.windows.shape[-1] - margin)
    maps, photos = head(batch.windows)[..., inner, inner], head(batch.photos)
    everywhere, wrong = [], []
    for home in range(len(maps)):
        own = batch.home == home
        seen, at = batch.seen[own], batch.home[own]
        whitening = Whitening.of(maps[home : home + 1], batch.known[home : home + 1])
        spectra = WindowSpectra(whitening.descriptors(maps, batch.known), batch.known, side)
        cells = whitening.descriptors(photos[own], seen)
        everywhere.append(spectra.everywhere(cells, seen))
        turned = [spectra.at_home(*displaced(cells, seen, *pose), at) for pose in poses]
        wrong += [torch.stack(turned, dim=1)] if poses else []
    return Heatmaps(torch.cat(everywhere), torch.cat(wrong) if wrong else None)


@dataclass(frozen=True)
class Judgement:
    """How well photos find their place among all windows of their batch.

    Attributes:
        right: share whose highest score lies within `NEAR_CELLS` of the truth.
        peak: mean of the highest score there.
        margin: mean of that score less the highest one elsewhere.
        noise: mean deviation of a photo's scores elsewhere.
    """

    right: float
    peak: float
    margin: float
    noise: float


@torch.no_grad()
def judge(head: AlignmentHead, cache: Cache, batch_surveys: int) -> Judgement:
    """Judges a head on surveys that it was not trained on, in their order."""
    peaks, rivals, noises = [], [], []
    for start in range(0, len(cache), batch_surveys):
        batch = read_batch(cache, np.arange(start, min(start + batch_surveys, len(cache))))
        scores = heatmaps(head, batch).everywhere
        near = _near(scores, batch)
        peaks.append(scores.masked_fill(~near, -torch.inf).flatten(1).amax(dim=1))
        foreign = ~batch.ignored
        foreign[torch.arange(len(foreign)), batch.home] = True
        elsewhere = foreign[:, :, None, None] & ~near & scores.isfinite()
        rivals.append(scores.masked_fill(~elsewhere, -torch.inf).flatten(1).amax(dim=1))
        noises += [values[mask].std() for values, mask in zip(scores, elsewhere, strict=True)]
    peak, rival = torch.cat(peaks), torch.cat(rivals)
    return Judgement(
        right=float((peak > rival).float().mean()),
        peak=float(peak.mean()),
        margin=float((peak - rival).mean()),
        noise=float(torch.stack(noises).mean()),
    )


def _near(scores: Tensor, batch: Batch) -> Tensor:
    """Corners of each photo's own window around its place, bool [N, M, R, K]."""
    rows = torch.arange(scores.shape[2])[None, :, None] - batch.middles[:, 0, None, None]
    columns = torch.arange(scores.shape[3])[None, None] - batch.middles[:, 1, None, None]
    around = (rows.abs() <= NEAR_CELLS) & (columns.abs() <= NEAR_CELLS)
    own = torch.nn.functional.one_hot(batch.home, scores.shape[1]).bool()
    return own[:, :, None, None] & around[:, None]
