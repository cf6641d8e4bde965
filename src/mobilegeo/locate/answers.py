"""From evidence to answers: positions, headings, and the words for what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mobilegeo.camera import GroundView
from mobilegeo.errors import PhotoError
from mobilegeo.fix import Candidate, Fix
from mobilegeo.locate import confidence
from mobilegeo.locate.align import Alignment
from mobilegeo.locate.calibration import AlignedCalibration
from mobilegeo.locate.local_features import CONFIRMED_ODDS, Verification
from mobilegeo.locate.records import Prepared
from mobilegeo.locate.retrieve import Match
from mobilegeo.locate.stopwatch import Stopwatch
from mobilegeo.locate.template import aimed_at
from mobilegeo.maps.pack import MapPack


def aligned_fix(
    pack: MapPack,
    prepared: Prepared,
    alignment: Alignment | None,
    verification: Verification | None = None,
) -> Fix:
    """The answer that an alignment gives, and what local features say of it if asked."""
    source = prepared.photo.source
    if alignment is None:
        reason = "the map holds no data where the photo can have been taken"
        return Fix(source, "no_fix", method="aligned", reason=reason)
    best, constants = alignment.best, prepared.calibration.aligned
    fix = Fix(
        source,
        "fix",
        confidence=_confidence(alignment, constants, verification),
        method="aligned",
        details=_details(alignment, constants) | _verified(verification),
    )
    if fix.confidence < constants.accept:
        return replace(fix, status="no_fix", reason=_doubt(prepared))
    fix = _placed(pack, fix, prepared, (best.x_m, best.y_m), best.view)
    if verification is not None and verification.contradicts:
        remark = f"local features agree on a place {verification.offset_m:.0f} m away"
        fix = replace(fix, reason="; ".join(filter(None, [fix.reason, remark])))
    return replace(fix, sigma_m=confidence.sigma_m(alignment, constants))


def _confidence(
    alignment: Alignment, constants: AlignedCalibration, verification: Verification | None
) -> float:
    """Probability that the place is right; only ever raised by a verification."""
    probability = confidence.probability(alignment, constants)
    if verification is None or not verification.confirms:
        return probability
    return CONFIRMED_ODDS * probability / (1 + (CONFIRMED_ODDS - 1) * probability)


def _verified(verification: Verification | None) -> dict[str, float]:
    """What is told of a verification; no distance where local features found no place."""
    if verification is None:
        return {}
    told: dict[str, float] = {"verify_inliers": verification.inliers}
    if verification.inliers:
        told["verify_offset_m"] = verification.offset_m
    return told


def _details(alignment: Alignment, constants: AlignedCalibration) -> dict[str, float]:
    """Evidence and spreads for the curious; see `Alignment` and `confidence`."""
    covariance = confidence.covariance_m2(alignment, constants)
    east_m, north_m = np.sqrt(np.diag(covariance))
    return {
        "peak": alignment.best.score,
        "excess": confidence.excess(alignment),
        "margin": confidence.margin(alignment),
        "agreement": alignment.agreement,
        "agl_m": alignment.best.view.agl_m,
        "agl_relative_sigma": alignment.log_scale_sigma,
        "heading_sigma_deg": confidence.heading_sigma_deg(alignment, constants),
        "sigma_east_m": float(east_m),
        "sigma_north_m": float(north_m),
        "correlation_east_north": float(covariance[0, 1] / (east_m * north_m)),
    }


def retrieved_fix(pack: MapPack, prepared: Prepared, matches: Sequence[Match]) -> Fix:
    """The answer that tiles alone give."""
    constants = prepared.calibration.retrieved
    answer = confidence.retrieval_answer(matches, pack.tiles, constants)
    source = prepared.photo.source
    fix = Fix(source, "fix", confidence=answer.probability, method="retrieval")
    if fix.confidence < constants.accept:
        return replace(fix, status="no_fix", reason=_doubt(prepared))
    fix = _placed(pack, fix, prepared, (answer.x_m, answer.y_m), matches[0].view)
    return replace(fix, sigma_m=answer.sigma_m)


def _placed(
    pack: MapPack,
    fix: Fix,
    prepared: Prepared,
    place: tuple[float, float],
    view: GroundView,
) -> Fix:
    """The fix with its position and heading, and the camera's where the pose is known."""
    frame, photo = pack.frame, prepared.photo
    point = frame.point(*place)
    heading = (view.heading_deg + frame.convergence_deg(point)) % 360.0
    remarks = [*prepared.known.assumed, *photo.notes, *prepared.remarks]
    if view.centre_ground is None:
        remarks.append("the image centre shows no ground: the middle of the visible ground")
    fix = replace(fix, lat=point.lat, lon=point.lon, heading_deg=heading, reason="; ".join(remarks))
    if photo.telemetry.pitch_deg is None:
        return fix
    centre = aimed_at(view)
    camera = frame.point(place[0] - centre[0], place[1] - centre[1])
    return replace(fix, camera_lat=camera.lat, camera_lon=camera.lon)


def unreadable(name: str, error: PhotoError, watch: Stopwatch) -> Fix:
    """The record of a photo that cannot be read, with the time that it took to find out."""
    return Fix(name, "error", reason=str(error), timing_ms=watch.milliseconds())


def candidates(pack: MapPack, matches: Sequence[Match]) -> tuple[Candidate, ...]:
    """The best tiles, as they are reported."""
    tiles = pack.tiles.at([match.row for match in matches])
    places = zip(tiles.lat.tolist(), tiles.lon.tolist(), tiles.footprint_m.tolist(), strict=True)
    return tuple(
        Candidate(lat, lon, match.score, footprint_m, match.row)
        for match, (lat, lon, footprint_m) in zip(matches, places, strict=True)
    )


def _doubt(prepared: Prepared) -> str:
    known = prepared.known
    where = "on the map" if prepared.prior is None else "on the map where the drone can be"
    doubt = f"nothing {where} matches the photo clearly; it may have been taken elsewhere"
    reason = "; ".join([doubt, *prepared.remarks])
    unknown = [
        option
        for option, is_known in (
            ("--heading-deg", known.heading_known),
            ("--agl-m and --hfov-deg", known.scale_known),
        )
        if not is_known
    ]
    return f"{reason}; it would help to know {' and '.join(unknown)}" if unknown else reason
