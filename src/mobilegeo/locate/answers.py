"""From evidence to answers: positions, headings, and the words for what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mobilegeo.camera import GroundView
from mobilegeo.fix import Candidate, Fix
from mobilegeo.locate import confidence
from mobilegeo.locate.align import Alignment
from mobilegeo.locate.hypotheses import Hypotheses
from mobilegeo.locate.records import Prepared
from mobilegeo.locate.retrieve import Match
from mobilegeo.locate.template import aimed_at
from mobilegeo.maps.pack import MapPack
from mobilegeo.photo import Photo


def aligned_fix(pack: MapPack, prepared: Prepared, alignment: Alignment | None) -> Fix:
    """The answer that an alignment gives."""
    photo, known = prepared.photo, prepared.known
    if alignment is None:
        reason = "the map holds no data where the photo can have been taken"
        return Fix(photo.source, "no_fix", method="aligned", reason=reason)
    best = alignment.best
    fix = Fix(
        photo.source,
        "fix",
        confidence=confidence.probability(alignment),
        method="aligned",
        details={
            "peak": best.score,
            "excess": confidence.excess(alignment),
            "margin": confidence.margin(alignment),
            "agl_m": best.view.agl_m,
        },
    )
    if fix.confidence < confidence.ALIGNED.accept:
        return replace(fix, status="no_fix", reason=_doubt(prepared))
    fix = _placed(pack, fix, photo, known, (best.x_m, best.y_m), best.view)
    return replace(fix, sigma_m=confidence.sigma_m(alignment))


def retrieved_fix(pack: MapPack, prepared: Prepared, matches: Sequence[Match]) -> Fix:
    """The answer that tiles alone give."""
    photo, known = prepared.photo, prepared.known
    answer = confidence.retrieval_answer(matches, pack.tiles)
    fix = Fix(photo.source, "fix", confidence=answer.probability, method="retrieval")
    if fix.confidence < confidence.RETRIEVED.accept:
        return replace(fix, status="no_fix", reason=_doubt(prepared))
    fix = _placed(pack, fix, photo, known, (answer.x_m, answer.y_m), matches[0].view)
    return replace(fix, sigma_m=answer.sigma_m)


def _placed(
    pack: MapPack,
    fix: Fix,
    photo: Photo,
    known: Hypotheses,
    place: tuple[float, float],
    view: GroundView,
) -> Fix:
    """The fix with its position and heading, and the camera's where the pose is known."""
    frame = pack.frame
    point = frame.point(*place)
    heading = (view.heading_deg + frame.convergence_deg(point)) % 360.0
    remarks = [*known.assumed, *photo.notes]
    if view.centre_ground is None:
        remarks.append("the image centre shows no ground: the middle of the visible ground")
    fix = replace(fix, lat=point.lat, lon=point.lon, heading_deg=heading, reason="; ".join(remarks))
    if photo.telemetry.pitch_deg is None:
        return fix
    centre = aimed_at(view)
    camera = frame.point(place[0] - centre[0], place[1] - centre[1])
    return replace(fix, camera_lat=camera.lat, camera_lon=camera.lon)


def candidates(pack: MapPack, matches: Sequence[Match]) -> tuple[Candidate, ...]:
    """The best tiles, as they are reported."""
    tiles = pack.tiles
    return tuple(
        Candidate(
            float(tiles.lat[m.row]),
            float(tiles.lon[m.row]),
            m.score,
            float(tiles.footprint_m[m.row]),
            m.row,
        )
        for m in matches
    )


def _doubt(prepared: Prepared) -> str:
    known = prepared.known
    where = "on the map" if prepared.prior is None else "on the map where the drone can be"
    reason = f"nothing {where} matches the photo clearly; it may have been taken elsewhere"
    unknown = [
        option
        for option, is_known in (
            ("--heading-deg", known.heading_known),
            ("--agl-m and --hfov-deg", known.scale_known),
        )
        if not is_known
    ]
    return f"{reason}; it would help to know {' and '.join(unknown)}" if unknown else reason
