"""Retrieval: the tiles whose embeddings are nearest to the normalised photo's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.encoder.base import Encoder
from mobilegeo.index.base import Found, TileIndex
from mobilegeo.locate.normalise import GroundPatch, project
from mobilegeo.locate.prior import Prior
from mobilegeo.locate.template import aimed_at
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.runs import Runs
from mobilegeo.maps.tiling import Extent

EMBED_BATCH = 16

WANTED_COVERAGE = 0.7
"""A photo is compared with the largest tiles of which it covers at least this share."""

SEPARATION = 0.24
"""Candidates nearer to a better one than this share of their footprint are left out: just under
the usual stride, so that neighbours still count and near-copies on a finer grid do not."""

DEPTH = 64
"""Tiles asked of the index for each hypothesis."""


@dataclass(frozen=True, slots=True)
class Match:
    """A tile that resembles the photo, under one view of it.

    Attributes:
        row: of the tile in the pack.
        score: cosine similarity, −1 … 1.
        view: the hypothesis that gave the score.
    """

    row: int
    score: float
    view: GroundView


@dataclass(frozen=True)
class Query:
    """One hypothesis, ready to be embedded: the ground it would show, at a tile's footprint."""

    view: GroundView
    patch: GroundPatch
    footprint_m: float


def make_queries(
    image: NDArray[np.uint8],
    views: Sequence[GroundView],
    pack: MapPack,
    footprint_m: float | None = None,
) -> list[Query]:
    """Normalises a photo once for each view.

    Args:
        image: uint8 [H, W, 3] RGB.
        views: hypotheses that show ground.
        pack: gives the footprints and the encoder's input size.
        footprint_m: one of the pack's, for all views; for each the one that suits it when `None`.
    """
    footprints_m = pack.footprints_m if footprint_m is None else (footprint_m,)
    return [
        query_at(image, view, best_footprint(view, aimed_at(view), footprints_m), pack.spec.size_px)
        for view in views
    ]


def query_at(image: NDArray[np.uint8], view: GroundView, footprint_m: float, size_px: int) -> Query:
    """Normalises a photo, uint8 [H, W, 3], to a tile's footprint; the view shows ground."""
    centre = aimed_at(view)
    gsd_m = footprint_m / size_px
    patch = project(image, view, gsd_m=gsd_m, size_px=size_px, centre=centre)
    return Query(view, patch, footprint_m)


def best_footprint(
    view: GroundView, centre: tuple[float, float], footprints_m: Sequence[float]
) -> float:
    """The largest footprint of which the view covers enough, else the one it covers most of."""
    shares = _covered_shares(view, centre, footprints_m)
    covered = dict(zip(footprints_m, shares, strict=True))
    enough = [f for f, share in covered.items() if share >= WANTED_COVERAGE]
    return max(enough) if enough else max(covered, key=lambda f: (covered[f], -f))


_STEPS = (np.arange(12) + 0.5) / 12 - 0.5
_SAMPLES = np.stack(np.meshgrid(_STEPS, _STEPS), axis=2).reshape(-1, 2)


def _covered_shares(
    view: GroundView, centre: tuple[float, float], footprints_m: Sequence[float]
) -> list[float]:
    """Share of a square of ground around `centre` that the view covers, for each side."""
    points = np.concatenate([side_m * _SAMPLES for side_m in footprints_m]) + np.array(centre)
    seen = view.sees(points).reshape(len(footprints_m), -1)
    return [float(share) for share in seen.mean(axis=1)]


def embed_queries(queries: Sequence[Query], encoder: Encoder) -> NDArray[np.float32]:
    """Embeddings of queries, float32 [Q, D]."""
    batches = [
        encoder.embed(np.stack([query.patch.image for query in queries[i : i + EMBED_BATCH]]))
        for i in range(0, len(queries), EMBED_BATCH)
    ]
    return np.concatenate(batches)


def search(
    queries: Sequence[Query],
    embeddings: NDArray[np.float32],
    pack: MapPack,
    index: TileIndex,
    prior: Prior | None,
    top: int,
) -> list[Match]:
    """The best tiles over all hypotheses, at most `top`, best first, none beside a better one.

    Args:
        queries: hypotheses of one photo.
        embeddings: float32 [Q, D], of the queries in their order.
        pack: the map.
        index: over the pack's vectors.
        prior: where the camera can be; anywhere when `None`.
        top: how many to return at most.
    """
    depth = max(DEPTH, top)
    found: list[tuple[int, Found]] = []
    for footprint_m in sorted({query.footprint_m for query in queries}):
        numbers = [n for n, query in enumerate(queries) if query.footprint_m == footprint_m]
        asked = embeddings[numbers]
        if prior is None:
            answers = index.anywhere(asked, depth, footprint_m)
        else:
            selected = _selected([queries[n] for n in numbers], pack, footprint_m, prior)
            answers = index.within(asked, depth, selected)
        found += zip(numbers, answers, strict=True)
    return _separate(found, queries, pack, top)


def _selected(
    queries: Sequence[Query], pack: MapPack, footprint_m: float, prior: Prior
) -> list[Runs]:
    """The tiles of one footprint that each query can show; the same object for the same tiles."""
    # A prior smaller than the tiles' spacing must still hold the nearest ones.
    around = prior.dilated(pack.stride_m(footprint_m))
    selections: dict[tuple[float, float], Runs] = {}
    for query in queries:
        ahead = (query.patch.east_m, query.patch.north_m)
        if ahead not in selections:
            selections[ahead] = _tiles_around(pack, footprint_m, around, ahead)
    return [selections[query.patch.east_m, query.patch.north_m] for query in queries]


def _tiles_around(
    pack: MapPack, footprint_m: float, prior: Prior, ahead: tuple[float, float]
) -> Runs:
    """Tiles of which a camera inside the prior can show the centre, `ahead` of it, metres."""
    east, north = ahead
    box = prior.box(pack.frame)
    near = pack.tiles.rows_near(
        footprint_m,
        Extent(box.west + east, box.south + north, box.east + east, box.north + north),
    )
    x_m, y_m = pack.tiles.centres_m(footprint_m, near)
    return near.where(prior.contains(pack.frame, x_m - east, y_m - north))


def _separate(
    found: Sequence[tuple[int, Found]], queries: Sequence[Query], pack: MapPack, top: int
) -> list[Match]:
    """The best of all answers, by the query's number; none beside a better one."""
    scores = np.concatenate([answer.scores for _, answer in found])
    rows = np.concatenate([answer.rows for _, answer in found])
    numbers = np.repeat([n for n, _ in found], [len(answer.rows) for _, answer in found])
    order = np.lexsort((numbers, rows, -scores))
    tiles = pack.tiles.at(rows[order])
    reach_m = SEPARATION * tiles.footprint_m
    left = np.ones(len(order), np.bool_)
    kept: list[Match] = []
    while len(kept) < top and left.any():
        best = int(left.argmax())
        at = order[best]
        kept.append(Match(int(rows[at]), float(scores[at]), queries[numbers[at]].view))
        apart_m = np.hypot(tiles.x_m - tiles.x_m[best], tiles.y_m - tiles.y_m[best])
        left &= apart_m > reach_m
    return kept
