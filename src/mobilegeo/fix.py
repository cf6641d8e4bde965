"""The answer: where a photo was taken, or why that cannot be said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["fix", "no_fix", "error"]
Method = Literal["retrieval", "aligned"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tile of the map that looks like the photo.

    Attributes:
        lat, lon: the tile's centre, degrees.
        score: cosine similarity of the embeddings, −1 … 1.
        footprint_m: side of the tile, metres.
        row: the tile's row in the pack.
    """

    lat: float
    lon: float
    score: float
    footprint_m: float
    row: int = -1


@dataclass(frozen=True, slots=True)
class Fix:
    """One photo's answer; the record of `mobilegeo locate --json`.

    Attributes:
        photo: the photo as it was named.
        status: `fix`, `no_fix` (an answer) or `error` (the photo could not be read).
        lat, lon: the ground at the image centre, degrees; `None` without a fix.
        sigma_m: one standard deviation of the position, metres along each axis.
        confidence: probability that the fix is right, 0 … 1.
        heading_deg: heading as estimated, clockwise from true north.
        method: the last stage that shaped the answer.
        reason: why there is no fix, or what had to be assumed; empty when there is nothing to say.
        camera_lat, camera_lon: the drone's own position, where the pose is known.
        candidates: the best tiles, best first.
        timing_ms: milliseconds by stage: read, normalise, encode, search, align, total.
        details: further figures for the curious (peak, margin, scale …), all JSON numbers.
    """

    photo: str
    status: Status
    lat: float | None = None
    lon: float | None = None
    sigma_m: float | None = None
    confidence: float = 0.0
    heading_deg: float | None = None
    method: Method | None = None
    reason: str = ""
    camera_lat: float | None = None
    camera_lon: float | None = None
    candidates: tuple[Candidate, ...] = ()
    timing_ms: dict[str, float] = field(default_factory=dict)
    details: dict[str, float] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """The contract's JSON object."""
        return {
            "photo": self.photo,
            "status": self.status,
            "lat": self.lat,
            "lon": self.lon,
            "sigma_m": self.sigma_m,
            "confidence": self.confidence,
            "heading_deg": self.heading_deg,
            "method": self.method,
            "reason": self.reason,
            "camera_lat": self.camera_lat,
            "camera_lon": self.camera_lon,
            "candidates": [
                {"lat": c.lat, "lon": c.lon, "score": c.score, "footprint_m": c.footprint_m}
                for c in self.candidates
            ],
            "timing_ms": self.timing_ms,
            "details": self.details,
        }
