"""A photo and a map in, a position with its uncertainty out: normalise → retrieve → align."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import Pose
from mobilegeo.decode import reduced
from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.errors import PackError
from mobilegeo.fix import Fix
from mobilegeo.geo import wrap_deg
from mobilegeo.index import PackIndex
from mobilegeo.locate import retrieve
from mobilegeo.locate.align import Aligner, Alignment
from mobilegeo.locate.answers import aligned_fix, candidates, retrieved_fix
from mobilegeo.locate.calibration import calibration_for
from mobilegeo.locate.coarse import CoarseMap
from mobilegeo.locate.hypotheses import Hypotheses, hypotheses, with_neighbours
from mobilegeo.locate.local_features import Verification, verify_alignment
from mobilegeo.locate.obstacles import Obstacle, nothing_to_match, own_prior, usable
from mobilegeo.locate.prior import Box, BoxPrior, Prior
from mobilegeo.locate.records import Options, Prepared, Reading, Trace
from mobilegeo.locate.resolution import decode_side_px
from mobilegeo.locate.stopwatch import Stopwatch
from mobilegeo.locate.template import aimed_at
from mobilegeo.maps.pack import MapPack
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import Photo, PhotoMetadata, open_photo

MAX_SCORES = 500_000
"""Places times hypotheses that are compared one by one, about a second on two cores; beyond that
the pooled map tells first where to look."""

MAX_COARSE_SCORES = 150_000_000
"""The same for the pooled map, about ten seconds, so that 30 km² are searched with neither heading
nor height known; beyond that alignment looks around the best tiles, which finds less."""

ALIGNED_CANDIDATES = 12
"""Tiles around which alignment looks then."""

MIN_AREA_M = 400.0
"""Side of the area that is compared at least, however small the prior."""


class Localizer:
    """Finds photos on one map.

    Args:
        pack: the map.
        encoder: the encoder that made the pack; the shipped one when `None`.
        options: how to locate.

    Raises:
        PackError: the pack was made with another encoder, or holds no imagery to verify with.
    """

    def __init__(
        self, pack: MapPack, encoder: Encoder | None = None, options: Options | None = None
    ) -> None:
        self.pack = pack
        self.encoder = encoder if encoder is not None else load_encoder()
        pack.require(self.encoder)
        self.options = options or Options()
        if self.options.verify and pack.imagery is None:
            raise PackError(
                pack.path,
                "holds no imagery with which a place could be verified",
                "build it again with `mobilegeo map build --imagery`, or leave out --verify",
            )
        self._calibration = calibration_for(self.encoder)
        self._index = PackIndex(pack)

    def locate(
        self,
        photo: Photo | str | os.PathLike[str],
        *,
        telemetry: Telemetry | None = None,
        prior: Prior | None = None,
    ) -> Fix:
        """Where a photo was taken; see `trace` for arguments and errors."""
        return self.trace(photo, telemetry=telemetry, prior=prior).fix

    def trace(
        self,
        photo: Photo | str | os.PathLike[str],
        *,
        telemetry: Telemetry | None = None,
        prior: Prior | None = None,
    ) -> Trace:
        """Where a photo was taken, with the evidence.

        Args:
            photo: a photo, or its path.
            telemetry: what is known of a photo given by its path, over its own metadata.
            prior: where the camera can be, over the options' prior.

        Raises:
            PhotoError: the photo cannot be read.
        """
        reading = self._taken(photo) if isinstance(photo, Photo) else self.read(photo, telemetry)
        return self.answer(reading, prior)

    def _taken(self, photo: Photo) -> Reading:
        """A photo that is in memory, at the size at which a file would have been decoded."""
        start = time.perf_counter()
        image = reduced(photo.image, self.decode_side_px(photo))
        if image is not photo.image:
            photo = replace(photo, image=image)
        return Reading(photo, time.perf_counter() - start)

    def read(
        self,
        path: str | os.PathLike[str],
        telemetry: Telemetry | None = None,
        footprint_m: float | None = None,
    ) -> Reading:
        """Reads a photo; may be called in any thread, also while another photo is located.

        Args:
            path: of the photo.
            telemetry: what is known of it, over its own metadata.
            footprint_m: as in `prepare`.

        Raises:
            PhotoError: the photo cannot be read.
        """
        start = time.perf_counter()
        opened = open_photo(path, overrides=telemetry)
        photo = opened.decode(self.decode_side_px(opened.metadata, footprint_m))
        return Reading(photo, time.perf_counter() - start)

    def decode_side_px(self, metadata: PhotoMetadata, footprint_m: float | None = None) -> int:
        """The shorter side that a photo must at least be decoded at to be located, pixels."""
        footprints_m = self.pack.footprints_m if footprint_m is None else (footprint_m,)
        only = self.options.retrieval_only
        return decode_side_px(metadata, self.pack.spec, footprints_m, retrieval_only=only)

    def answer(self, reading: Reading, prior: Prior | None = None) -> Trace:
        """Where a photo that was read was taken, with the evidence.

        Args:
            reading: the photo.
            prior: where the camera can be, over the options' prior.
        """
        watch = Stopwatch(reading.seconds)
        trace = self._answer(reading.photo, prior, watch)
        timing = watch.milliseconds()
        return replace(trace, photo=reading.photo, fix=replace(trace.fix, timing_ms=timing))

    def prepare(
        self,
        photo: Photo,
        prior: Prior | None,
        watch: Stopwatch,
        footprint_m: float | None = None,
    ) -> Prepared:
        """Normalises and embeds a photo under every hypothesis.

        Args:
            photo: the photo.
            prior: where its camera can be, over the options' prior.
            watch: times the stages.
            footprint_m: of the tiles to compare with; what suits each hypothesis when `None`.

        Raises:
            Obstacle: the photo cannot be located at all.
        """
        prior = prior or self.options.prior
        height, width = photo.image.shape[:2]
        known = usable(hypotheses(self._pose(photo, prior), photo.camera, width, height))
        prior = prior or own_prior(
            photo, self.pack, _reach_m(known), ignore_gps=self.options.ignore_gps
        )
        with watch.stage("normalise"):
            queries = retrieve.make_queries(photo.image, known.views, self.pack, footprint_m)
            nothing_to_match(queries)
        with watch.stage("encode"):
            embeddings = retrieve.embed_queries(queries, self.encoder)
        remarks = self._calibration.remarks
        if prior is None:
            remarks += self._index.remarks([query.footprint_m for query in queries])
        return Prepared(photo, known, prior, tuple(queries), embeddings, self._calibration, remarks)

    def _pose(self, photo: Photo, prior: Prior | None) -> Pose:
        """The photo's pose in the map's frame, whose north turns from true north."""
        pose, frame = photo.telemetry.pose, self.pack.frame
        if pose.heading_deg is None:
            return pose
        place = photo.telemetry.position or frame.origin
        if prior is not None:
            box = prior.box(frame)
            place = frame.point((box.west + box.east) / 2, (box.south + box.north) / 2)
        heading_deg = wrap_deg(pose.heading_deg - frame.convergence_deg(place))
        return replace(pose, heading_deg=heading_deg)

    def search(
        self,
        queries: Sequence[retrieve.Query],
        embeddings: NDArray[np.float32],
        prior: Prior | None,
    ) -> tuple[retrieve.Match, ...]:
        """The best tiles over all queries, best first.

        Raises:
            Obstacle: no tile lies where the photo can have been taken.
        """
        top = max(self.options.top, ALIGNED_CANDIDATES)
        found = retrieve.search(queries, embeddings, self.pack, self._index, prior, top)
        if not found:
            raise Obstacle("no tile of the map lies where the photo can have been taken")
        return tuple(found)

    def _answer(self, photo: Photo, prior: Prior | None, watch: Stopwatch) -> Trace:
        try:
            prepared = self.prepare(photo, prior, watch)
            with watch.stage("search"):
                matches = self.search(prepared.queries, prepared.embeddings, prepared.prior)
        except Obstacle as obstacle:
            return Trace(Fix(photo.source, "no_fix", reason=obstacle.reason))
        query = next(q for q in prepared.queries if q.view == matches[0].view)
        alignment = verification = None
        if self.options.retrieval_only:
            fix = retrieved_fix(self.pack, prepared, matches)
        else:
            with watch.stage("align"):
                alignment = self.align(prepared, matches)
            if self.options.verify:
                with watch.stage("verify"):
                    verification = self.verify(prepared, alignment)
            fix = aligned_fix(self.pack, prepared, alignment, verification)
        fix = replace(fix, candidates=candidates(self.pack, matches[: self.options.top]))
        return Trace(
            fix,
            query=query,
            matches=matches[: self.options.top],
            alignment=alignment,
            verification=verification,
        )

    def align(self, prepared: Prepared, matches: Sequence[retrieve.Match]) -> Alignment | None:
        """Aligns a photo with all of the map it can lie on, or around its best tiles.

        Returns:
            `None` when the map holds no data there.
        """
        known, prior = prepared.known, prepared.prior
        aligner = Aligner(self.pack, self.encoder, prepared.photo.image, prior)
        area = self._search_area(known, prior)
        if area is None:
            return None
        scores = math.ceil(area.area_m2 / self.pack.spec.cell_m**2) * len(known.views)
        if scores <= MAX_SCORES:
            return aligner.align(known.views, [area])
        if scores <= MAX_COARSE_SCORES:
            found = aligner.align(known.views, [area], self._coarse)
        else:
            near = matches[:ALIGNED_CANDIDATES]
            views = with_neighbours(known.views, {match.view for match in near})
            found = aligner.align(views, self._windows(near))
        # All of the rest was looked at before: chance had as many trials as a full comparison.
        return None if found is None else replace(found, trials=scores)

    def verify(self, prepared: Prepared, alignment: Alignment | None) -> Verification | None:
        """What local features say of an aligned place, where the options ask for it."""
        if not self.options.verify or alignment is None or self.pack.imagery is None:
            return None
        image = prepared.photo.image
        return verify_alignment(image, alignment.best, self.pack, self.pack.imagery)

    @cached_property
    def _coarse(self) -> CoarseMap:
        """The map, pooled; made when first needed, as a small prior does without."""
        return CoarseMap(self.pack)

    def _search_area(self, known: Hypotheses, prior: Prior | None) -> Box | None:
        """Where visible centres can lie: on the map and, for any view, in reach of the prior."""
        box = BoxPrior(self.pack.bounds).box(self.pack.frame)
        if prior is None:
            return box
        reach, around = _reach_m(known), prior.box(self.pack.frame)
        # Beside the places allowed, enough others for chance to be measured on.
        x, y = (around.west + around.east) / 2, (around.south + around.north) / 2
        wide = max(around.east - x + reach, MIN_AREA_M / 2)
        high = max(around.north - y + reach, MIN_AREA_M / 2)
        return box.intersection(Box(x - wide, y - high, x + wide, y + high))

    def _windows(self, matches: Sequence[retrieve.Match]) -> list[Box]:
        """Boxes around candidates, those inside an earlier one left out."""
        tiles = self.pack.tiles.at([match.row for match in matches])
        boxes: list[Box] = []
        for x, y, reach in zip(
            tiles.x_m.tolist(), tiles.y_m.tolist(), tiles.footprint_m.tolist(), strict=True
        ):
            if not any(b.west <= x <= b.east and b.south <= y <= b.north for b in boxes):
                boxes.append(Box(x - reach, y - reach, x + reach, y + reach))
        return boxes


def _reach_m(known: Hypotheses) -> float:
    """How far from the camera the middle of the visible ground can be."""
    return max(math.hypot(*aimed_at(view)) for view in known.views)
