"""Several photos of one place, one answer: select views (MSRM), fuse them, agree on a position."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import PhotoError
from mobilegeo.fix import Fix
from mobilegeo.locate import retrieve, views
from mobilegeo.locate.answers import aligned_fix, retrieved_fix
from mobilegeo.locate.answers import candidates as candidates_of
from mobilegeo.locate.localizer import DECODE_SIDE_PX, Localizer
from mobilegeo.locate.obstacles import Obstacle
from mobilegeo.locate.records import Prepared, Trace
from mobilegeo.locate.stopwatch import Stopwatch
from mobilegeo.metadata.telemetry import Telemetry, TelemetryTable
from mobilegeo.photo import read_photo

AGREEMENT = 3.0
"""Aligned views within this many standard deviations of the surest are averaged with it."""


@dataclass(frozen=True)
class View:
    """One photo of the place under its best hypothesis.

    Attributes:
        prepared: the photo.
        query: the hypothesis that fits the map best, at the footprint common to all views.
        embedding: float32 [D].
    """

    prepared: Prepared
    query: retrieve.Query
    embedding: NDArray[np.float32]


def locate_together(
    localizer: Localizer,
    files: Sequence[Path],
    table: TelemetryTable,
    overrides: Telemetry,
) -> Iterator[Trace]:
    """Locates one place from all photos of it.

    Args:
        localizer: the map.
        files: photos of one place.
        table: what a telemetry file says of them.
        overrides: what the user says of all of them, over the table.

    Yields:
        One answer for the place, under the name of its most informative photo; and before it, one
        record with status `error` for each photo that cannot be read.
    """
    watch = Stopwatch()
    prepared: list[Prepared] = []
    obstacles: list[str] = []
    for file in files:
        known = overrides.over(table.lookup(file))
        try:
            with watch.stage("read"):
                photo = read_photo(str(file), overrides=known, min_side_px=DECODE_SIDE_PX)
            prepared.append(localizer.prepare(photo, None, watch))
        except PhotoError as error:
            yield Trace(Fix(str(file), "error", reason=str(error)))
        except Obstacle as obstacle:
            obstacles.append(f"{file.name}: {obstacle.reason}")
    if not prepared:
        if obstacles:
            yield Trace(Fix(str(files[0]), "no_fix", reason="; ".join(obstacles)))
        return
    trace = _fused(localizer, prepared, watch)
    yield replace(trace, fix=replace(trace.fix, timing_ms=watch.milliseconds()))


def _fused(localizer: Localizer, prepared: Sequence[Prepared], watch: Stopwatch) -> Trace:
    candidates = _best_views(localizer, prepared)
    embeddings = np.stack([view.embedding for view in candidates])
    weights = views.importance(embeddings)
    chosen = views.select(weights, _distances(candidates, embeddings))
    lead = candidates[chosen[0]]
    fused = views.fuse(embeddings[chosen], weights[chosen])
    try:
        with watch.stage("search"):
            matches = localizer.search([lead.query], fused[None], lead.prepared.prior)
    except Obstacle as obstacle:
        return Trace(Fix(lead.prepared.photo.source, "no_fix", reason=obstacle.reason))
    if localizer.options.retrieval_only:
        fix = retrieved_fix(localizer.pack, lead.prepared, matches)
    else:
        with watch.stage("align"):
            fixes = [_aligned(localizer, candidates[number]) for number in chosen]
        fix = agree(fixes)
    top = matches[: localizer.options.top]
    names = ", ".join(Path(candidates[n].prepared.photo.source).name for n in chosen)
    reason = f"{len(chosen)} of {len(prepared)} views used: {names}"
    fix = replace(
        fix,
        photo=lead.prepared.photo.source,
        reason="; ".join(filter(None, [fix.reason, reason])),
        candidates=candidates_of(localizer.pack, top),
    )
    return Trace(fix, photo=lead.prepared.photo, query=lead.query, matches=top)


def _best_views(localizer: Localizer, prepared: Sequence[Prepared]) -> list[View]:
    """Each photo under its best hypothesis, all at the footprint that most of them prefer."""
    best = [_best_query(localizer, item) for item in prepared]
    footprint_m = Counter(query.footprint_m for query, _ in best).most_common(1)[0][0]
    result = []
    for item, (query, embedding) in zip(prepared, best, strict=True):
        if query.footprint_m != footprint_m:
            query = retrieve.query_at(  # noqa: PLW2901
                item.photo.image, query.view, footprint_m, localizer.pack.spec.size_px
            )
            embedding = retrieve.embed_queries([query], localizer.encoder)[0]  # noqa: PLW2901
        result.append(View(item, query, embedding))
    return result


def _best_query(localizer: Localizer, item: Prepared) -> tuple[retrieve.Query, NDArray[np.float32]]:
    number = 0
    if len(item.queries) > 1:
        try:
            best = localizer.search(item.queries, item.embeddings, item.prior)[0]
            number = next(i for i, q in enumerate(item.queries) if q.view == best.view)
        except Obstacle:
            number = 0
    return item.queries[number], item.embeddings[number]


def _distances(candidates: Sequence[View], embeddings: NDArray[np.float32]) -> views.Float64:
    """By pose where every photo's is known, else by what they show."""
    poses = [view.prepared.photo.telemetry for view in candidates]
    if any(pose.heading_deg is None or pose.agl_m is None for pose in poses):
        return views.feature_distances(embeddings)
    agl_m = np.array([pose.agl_m for pose in poses], dtype=np.float64)
    heading_deg = np.array([pose.heading_deg for pose in poses], dtype=np.float64)
    return views.pose_distances(agl_m, heading_deg)


def _aligned(localizer: Localizer, view: View) -> Fix:
    prepared = view.prepared
    try:
        matches = localizer.search(prepared.queries, prepared.embeddings, prepared.prior)
    except Obstacle as obstacle:
        return Fix(prepared.photo.source, "no_fix", reason=obstacle.reason)
    return aligned_fix(localizer.pack, prepared, localizer.align(prepared, matches))


def agree(fixes: Sequence[Fix]) -> Fix:
    """One fix from the aligned fixes of several views.

    The surest fix and those that agree with it are averaged by their inverse variances. Views do
    not point at quite the same spot, so the spread of the fixes enters the standard deviation.
    Confidence is the probability that not all of them are wrong.

    Args:
        fixes: at least one.

    Returns:
        The surest fix with the average in place of its position; a `no_fix` if there is no fix.
    """
    from mobilegeo.geo import LatLon, LocalFrame

    surest = max(fixes, key=lambda fix: (fix.status == "fix", fix.confidence))
    if surest.lat is None or surest.lon is None or surest.sigma_m is None:
        return surest
    frame = LocalFrame(LatLon(surest.lat, surest.lon))
    points, sigmas, doubts = [], [], []
    for fix in fixes:
        if fix.lat is None or fix.lon is None or fix.sigma_m is None:
            continue
        x, y = frame.xy(LatLon(fix.lat, fix.lon))
        if math.hypot(x, y) <= AGREEMENT * math.hypot(fix.sigma_m, surest.sigma_m):
            points.append((x, y))
            sigmas.append(fix.sigma_m)
            doubts.append(1.0 - fix.confidence)
    weights = 1.0 / np.square(sigmas)
    weights /= weights.sum()
    xy = np.array(points)
    mean = weights @ xy
    spread = math.sqrt(float(weights @ ((xy - mean) ** 2).sum(axis=1)) / 2 / len(xy))
    formal = math.sqrt(float((weights**2) @ np.square(sigmas)))
    place = frame.point(float(mean[0]), float(mean[1]))
    return replace(
        surest,
        lat=place.lat,
        lon=place.lon,
        sigma_m=math.hypot(formal, spread),
        confidence=1.0 - math.prod(doubts),
    )
