"""Several photos of one place, one answer: select views (MSRM), fuse them, agree on a position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.fix import Fix
from mobilegeo.locate import retrieve, views
from mobilegeo.locate.answers import aligned_fix, retrieved_fix, unreadable
from mobilegeo.locate.answers import candidates as candidates_of
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.obstacles import Obstacle
from mobilegeo.locate.records import Prepared, Reading, Trace
from mobilegeo.locate.stopwatch import Stopwatch
from mobilegeo.locate.views.agreement import agree, agreeing
from mobilegeo.locate.views.sight import Choice, Sight, common_footprint, first_sight, known_before
from mobilegeo.metadata.telemetry import Telemetry, TelemetryTable
from mobilegeo.read_ahead import PHOTO_READERS, read_ahead

Read = TypeVar("Read")

MAX_PHOTOS = 2000
"""Photos of one place that are compared with each other, which takes N² numbers."""

ENOUGH = 3
"""No more views are aligned when so many have given fixes that agree."""


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


@dataclass
class _Outcome:
    """What became of the photos.

    Attributes:
        errors: records of photos that cannot be read.
        refused: file and reason of photos that show nothing to be located by.
        encoded: how many photos went through the network.
    """

    errors: list[Trace] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    encoded: int = 0

    def admit(self, file: Path, read: Callable[[], Read]) -> Read | None:
        """What `read` gives, or `None` and a note of why it gives nothing."""
        watch = Stopwatch()
        try:
            with watch.stage("read"):
                return read()
        except PhotoError as error:
            self.errors.append(Trace(unreadable(str(file), error, watch)))
        except Obstacle as obstacle:
            self.refused.append(f"{file.name}: {obstacle.reason}")
        return None


def locate_together(
    localizer: Localizer,
    files: Sequence[Path],
    table: TelemetryTable,
    overrides: Telemetry,
    choice: Choice | None = None,
) -> Iterator[Trace]:
    """Locates one place from all photos of it.

    Every photo is looked at as a thumbnail; only those chosen are decoded in full and encoded.

    Args:
        localizer: the map.
        files: photos of one place, in the order taken.
        table: what a telemetry file says of them.
        overrides: what the user says of all of them, over the table.
        choice: how many views to use, and which.

    Yields:
        One answer for the place, under the name of its surest photo; and before it, one record
        with status `error` for each photo that cannot be read.

    Raises:
        UsageError: there are more photos than `MAX_PHOTOS`.
    """
    if len(files) > MAX_PHOTOS:
        raise UsageError(
            f"{len(files)} photos",
            f"more than {MAX_PHOTOS} of one place",
            "give every n-th of them",
        )
    choice, watch, outcome = choice or Choice(), Stopwatch(), _Outcome()

    def look(file: Path) -> Sight:
        return first_sight(file, overrides.over(table.lookup(file)), localizer.pack.footprints_m)

    sights = []
    for file, looking in read_ahead(files, look, readers=PHOTO_READERS):
        with watch.stage("read"):
            sight = outcome.admit(file, looking.result)
        if sight is not None:
            sights.append(sight)
    prepared, weights = _prepare_chosen(localizer, sights, choice, watch, outcome)
    yield from outcome.errors
    if prepared:
        trace = _fused(localizer, prepared, weights, watch)
        yield replace(trace, fix=_accounted(trace.fix, prepared, len(files), outcome, watch))
    elif outcome.refused:
        fix = Fix(str(files[0]), "no_fix", reason="; ".join(outcome.refused))
        yield Trace(replace(fix, timing_ms=watch.milliseconds()))


def _accounted(
    fix: Fix, prepared: Sequence[Prepared], photos: int, outcome: _Outcome, watch: Stopwatch
) -> Fix:
    """The fix with the number of photos, of those encoded and of those used."""
    names = ", ".join(Path(item.photo.source).name for item in prepared)
    used = f"{len(prepared)} of {photos} views used: {names}"
    counts = {"photos": photos, "encoded": outcome.encoded, "used": len(prepared)}
    return replace(
        fix,
        reason="; ".join(filter(None, [fix.reason, used])),
        details=fix.details | counts,
        timing_ms=watch.milliseconds(),
    )


def _prepare_chosen(
    localizer: Localizer,
    sights: Sequence[Sight],
    choice: Choice,
    watch: Stopwatch,
    outcome: _Outcome,
) -> tuple[list[Prepared], views.Float64]:
    """The chosen photos, decoded and encoded, and their importance.

    Where a photo fails, it is chosen anew without it.
    """
    pool, ready = list(sights), dict[int, Prepared]()
    while pool:
        with watch.stage("normalise"):
            known = known_before(pool)
            picked = choice.of(known)
        footprint_m = common_footprint(pool)
        failed = []
        # Where the scale is searched over, each hypothesis has a footprint of its own.
        todo = [
            (number, pool[number], footprint_m if pool[number].certain else None)
            for number in picked
            if id(pool[number]) not in ready
        ]
        read = partial(_read, localizer)
        for (number, sight, own_m), reading in read_ahead(todo, read, readers=PHOTO_READERS):
            item = outcome.admit(sight.file, partial(_prepare, localizer, reading, own_m, watch))
            if item is None:
                failed.append(number)
            else:
                ready[id(sight)] = item
        outcome.encoded = len(ready)
        if not failed:
            chosen = [ready[id(pool[number])] for number in picked]
            return chosen, known.importance[picked]
        pool = [sight for number, sight in enumerate(pool) if number not in failed]
    return [], np.zeros(0)


def _read(localizer: Localizer, chosen: tuple[int, Sight, float | None]) -> Reading:
    _, sight, footprint_m = chosen
    return localizer.read(str(sight.file), sight.given, footprint_m)


def _prepare(
    localizer: Localizer, reading: Future[Reading], footprint_m: float | None, watch: Stopwatch
) -> Prepared:
    with watch.stage("read"):
        photo = reading.result().photo
    return localizer.prepare(photo, None, watch, footprint_m)


def _fused(
    localizer: Localizer, prepared: Sequence[Prepared], weights: views.Float64, watch: Stopwatch
) -> Trace:
    """The answer of the chosen views, the first of which leads."""
    chosen = _best_views(localizer, prepared)
    lead = chosen[0]
    fused = views.fuse(np.stack([view.embedding for view in chosen]), weights)
    try:
        with watch.stage("search"):
            matches = localizer.search([lead.query], fused[None], lead.prepared.prior)
    except Obstacle as obstacle:
        return Trace(Fix(lead.prepared.photo.source, "no_fix", reason=obstacle.reason))
    if localizer.options.retrieval_only:
        fix = retrieved_fix(localizer.pack, lead.prepared, matches)
    else:
        with watch.stage("align"):
            fix = _aligned_together(localizer, chosen)
    top = matches[: localizer.options.top]
    fix = replace(fix, candidates=candidates_of(localizer.pack, top))
    shown = next(view for view in chosen if view.prepared.photo.source == fix.photo)
    return Trace(fix, photo=shown.prepared.photo, query=shown.query, matches=top)


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


def _aligned_together(localizer: Localizer, chosen: Sequence[View]) -> Fix:
    """Aligns views one after another until `ENOUGH` of them agree."""
    fixes: list[Fix] = []
    for view in chosen:
        fixes.append(_aligned(localizer, view))
        if len(agreeing(fixes)) >= ENOUGH:
            break
    fix = agree(fixes)
    return replace(fix, details=fix.details | {"aligned": len(fixes)})


def _aligned(localizer: Localizer, view: View) -> Fix:
    prepared = view.prepared
    try:
        matches = localizer.search(prepared.queries, prepared.embeddings, prepared.prior)
    except Obstacle as obstacle:
        return Fix(prepared.photo.source, "no_fix", reason=obstacle.reason)
    alignment = localizer.align(prepared, matches)
    verification = localizer.verify(prepared, alignment)
    return aligned_fix(localizer.pack, prepared, alignment, verification)
