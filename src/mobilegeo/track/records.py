"""What goes into a track and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.photo import Photo

Status = Literal["fix", "predicted", "lost"]


@dataclass(frozen=True)
class Frame:
    """One moment of a video or folder.

    Attributes:
        name: the photo's path, or the video's name and the number of the frame.
        time_s: since the first frame.
        telemetry: what is known of it; of a photo in a folder, all that is known.
        load: reads the pixels; `None` for a frame that only passes.
        clock: when it was taken, where that is known.
    """

    name: str
    time_s: float
    telemetry: Telemetry = field(default_factory=Telemetry)
    load: Callable[[], Photo] | None = None
    clock: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """Where the drone was at one moment; the record of `mobilegeo track --json`.

    Attributes:
        frame: as in `Frame.name`.
        time_s: since the first frame.
        status: `fix`: the frame was found on the map and agrees with the track; `predicted`: known
            from the frames around it and the motion; `lost`: not known well enough to be told.
        time: when, where that is known.
        lat, lon: the drone's own position, degrees; `None` when lost.
        sigma_m: one standard deviation along each axis, metres.
        speed_m_s, course_deg: over ground, clockwise from true north.
        heading_deg: of the camera as found, or as told and corrected.
        confidence: of the frame's own fix, 0 … 1; 0 where it has none.
        reason: why the frame itself was not found.
    """

    frame: str
    time_s: float
    status: Status
    time: datetime | None = None
    lat: float | None = None
    lon: float | None = None
    sigma_m: float | None = None
    speed_m_s: float | None = None
    course_deg: float | None = None
    heading_deg: float | None = None
    confidence: float = 0.0
    reason: str = ""

    def to_record(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "frame": self.frame,
            "time_s": round(self.time_s, 4),
            "time": None if self.time is None else self.time.isoformat(),
            "status": self.status,
            "lat": self.lat,
            "lon": self.lon,
            "sigma_m": self.sigma_m,
            "speed_m_s": self.speed_m_s,
            "course_deg": self.course_deg,
            "heading_deg": self.heading_deg,
            "confidence": self.confidence,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Bias:
    """A constant error of the telemetry: what is to be added to it, and how well that is known.

    Attributes:
        value: in units of the telemetry's own; of the height, a share of it.
        sigma: one standard deviation of `value`.
        is_share: whether `value` is a share, else degrees.
    """

    value: float
    sigma: float
    is_share: bool = False

    def __str__(self) -> str:
        if self.is_share:
            return f"{100 * self.value:+.1f} ± {100 * self.sigma:.1f} %"
        return f"{self.value:+.1f} ± {self.sigma:.1f}°"


@dataclass(frozen=True, slots=True)
class Track:
    """A smoothed track.

    Attributes:
        points: one a frame, in order of time.
        biases: what is to be added to the telemetry: `heading`; `height`; and `pitch` and
            `sideways`, by which the line of sight points higher and more to the right.
        located: how many frames were looked at.
        seconds: time that took.
        notes: what had to be assumed of the source.
    """

    points: tuple[TrackPoint, ...]
    biases: dict[str, Bias]
    located: int
    seconds: float
    notes: tuple[str, ...] = ()

    def count(self, status: Status) -> int:
        """How many points have this status."""
        return sum(point.status == status for point in self.points)
