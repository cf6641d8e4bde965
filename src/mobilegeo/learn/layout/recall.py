"""Recall on held-out simulated pairs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilegeo.learn.layout.cache import Cache
from mobilegeo.learn.layout.sampler import overlapping
from mobilegeo.learn.layout.stages import unpacked
from mobilegeo.learn.models.heads import LayoutHead


def embed_pairs(
    head: LayoutHead, grids: NDArray[np.int8], coverage: NDArray[np.uint8]
) -> tuple[Tensor, Tensor]:
    """Embeddings of queries and tiles, float32 [B, D] each, from cached grids.

    Args:
        head: from the encoder.
        grids: int8 [B, 2, C, 7, 7], of the stages that the head looks at.
        coverage: uint8 [B, 2, 7, 7], 255 for a cell wholly inside the photo.
    """
    both = unpacked(grids).transpose(0, 1).flatten(0, 1)
    shares = torch.from_numpy(coverage).float().transpose(0, 1).flatten(0, 1) / 255.0
    query, tile = head.embed(both, shares[:, None]).chunk(2)
    return query, tile


def recall_at_1(head: LayoutHead, cache: Cache, batch: int = 128) -> float:
    """Share of queries whose nearest tile is their own, 0 … 1; see `found`."""
    return float(found(head, cache, batch).mean())


def found(head: LayoutHead, cache: Cache, batch: int = 128) -> NDArray[np.bool_]:
    """Which queries have their own tile as nearest, bool [N].

    Tiles that show largely the same ground as the right one do not count as wrong answers.

    Args:
        head: from the encoder.
        cache: held-out pairs, with the channels that the head looks at.
        batch: pairs at a time.
    """
    head.eval()
    rows = np.arange(len(cache.places))
    with torch.no_grad():
        taken = (cache.take(rows[start : start + batch]) for start in range(0, len(rows), batch))
        parts = [embed_pairs(head, grids, seen) for grids, seen in taken]
    queries, tiles = (torch.cat(side) for side in zip(*parts, strict=True))
    similarity = queries @ tiles.T
    best = similarity.masked_fill(overlapping(cache.places), -torch.inf).argmax(dim=1)
    return np.asarray((best == torch.arange(len(rows))).numpy(), np.bool_)
