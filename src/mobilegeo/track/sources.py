"""What a track is made from: a folder of photos, or a video with the telemetry beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.locate.batch import photo_files
from mobilegeo.locate.resolution import DECODE_SIDE_PX
from mobilegeo.metadata.srt import SrtFile, read_srt
from mobilegeo.metadata.telemetry import Telemetry, TelemetryTable, read_telemetry_csv
from mobilegeo.photo import Photo, PhotoMetadata, open_photo, read_metadata
from mobilegeo.track.records import Frame
from mobilegeo.track.series import TelemetrySeries
from mobilegeo.video import EXTENSIONS, Picture, VideoFacts, read_facts, read_pictures

VIDEO_RATE_HZ = 2.0
"""Frames of a video that are located in a second, if nothing else is asked for."""

SideRule = Callable[[PhotoMetadata], int]
"""Tells how many pixels the shorter side of a photo must have at least."""

PHOTO_STEP_S = 1.0
"""Time from photo to photo where nothing tells."""


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        frames: makes an iterator over all frames in order of time; those to be located can load
            their pixels.
        count: how many frames there are, where that is known beforehand.
        notes: what was found beside it or had to be assumed.
    """

    frames: Callable[[], Iterator[Frame]]
    count: int | None
    notes: tuple[str, ...]


def open_source(
    path: Path,
    *,
    telemetry: Path | None = None,
    overrides: Telemetry | None = None,
    rate_hz: float | None = None,
    side_px: SideRule = lambda _: DECODE_SIDE_PX,
) -> Source:
    """Opens a video or a folder of photos.

    Args:
        path: a video file or a folder.
        telemetry: a CSV or an SRT; for a video the SRT of the same name if `None`.
        overrides: what holds for all frames, over all telemetry.
        rate_hz: at most so many frames a second are located; `VIDEO_RATE_HZ` for a video and
            every photo of a folder if `None`.
        side_px: how finely photos of a folder are decoded.

    Raises:
        PhotoError: the source is missing, no video or empty.
        UsageError: the telemetry cannot be meant.
        MissingExtraError: a video, and PyAV is not installed.
    """
    if rate_hz is not None and not 0.0 < rate_hz <= 1000.0:
        raise UsageError(
            f"--fps {rate_hz:g}", "is not above 0 and up to 1000", "give frames a second"
        )
    overrides = overrides or Telemetry()
    if path.is_dir():
        return _open_folder(path, telemetry, overrides, rate_hz, side_px)
    if not path.exists():
        raise PhotoError(path, "does not exist", "give a video or a folder of photos")
    if path.suffix.lower() not in EXTENSIONS:
        raise PhotoError(
            path, "is neither a folder nor a video", f"give one of {', '.join(EXTENSIONS)}"
        )
    return _open_video(path, telemetry, overrides, rate_hz or VIDEO_RATE_HZ)


def _open_folder(
    path: Path,
    telemetry: Path | None,
    overrides: Telemetry,
    rate_hz: float | None,
    side_px: SideRule,
) -> Source:
    files = photo_files([path])
    table, series = _folder_telemetry(telemetry)
    known = [_metadata(file, table.lookup(file), overrides) for file in files]
    told = {row.photo.name.casefold(): row.time_s for row in table.rows}
    given = [told.get(file.name.casefold()) for file in files]
    times, notes = _times(
        given, [None if m is None else m.time for m in known], 1.0 / rate_hz if rate_hz else None
    )
    untold = sum(file.name.casefold() not in told for file in files)
    if len(table) and untold:
        notes.append(f"{Path(table.source).name} has no row for {untold} of {len(files)} photos")

    def frames() -> Iterator[Frame]:
        due = -1e-6
        for number in sorted(range(len(files)), key=lambda n: times[n]):
            file, metadata, time_s = files[number], known[number], times[number]
            wanted = rate_hz is None or time_s >= due
            if wanted and rate_hz is not None:
                due = max(due + 1.0 / rate_hz, time_s + 0.5 / rate_hz)
            from_file = Telemetry() if metadata is None else metadata.telemetry
            values = overrides.over(series.at(time_s)).over(from_file)
            load = partial(_read, file, values, side_px) if wanted else None
            clock = None if metadata is None else metadata.time
            yield Frame(str(file), time_s, values, load, clock)

    return Source(frames, len(files), tuple(notes))


def _read(file: Path, values: Telemetry, side_px: SideRule) -> Photo:
    opened = open_photo(file, overrides=values)
    return opened.decode(side_px(opened.metadata))


def _folder_telemetry(path: Path | None) -> tuple[TelemetryTable, TelemetrySeries]:
    """What a CSV tells of photos and an SRT of moments, one of them empty."""
    if path is None:
        return TelemetryTable("", ()), TelemetrySeries(())
    if path.suffix.lower() == ".srt":
        blocks = read_srt(path).blocks
        return TelemetryTable("", ()), TelemetrySeries((b.time_s, b.telemetry) for b in blocks)
    return read_telemetry_csv(path), TelemetrySeries(())


def _metadata(file: Path, telemetry: Telemetry, overrides: Telemetry) -> PhotoMetadata | None:
    """What is known of a photo; `None` for one that cannot be read."""
    try:
        return read_metadata(file, telemetry=telemetry, overrides=overrides)
    except PhotoError:
        return None


def _times(
    given: Sequence[float | None], clocks: Sequence[datetime | None], step_s: float | None
) -> tuple[list[float], list[str]]:
    """Seconds since the first photo for each, and what had to be assumed.

    Times of the table come first, then the photos' clocks, then an even step. A photo without a
    time lies between its neighbours by name; photos of one second share it evenly.
    """
    stamps = list(given)
    if not any(value is not None for value in stamps):
        walls = [None if c is None else c.replace(tzinfo=None) for c in clocks]
        first = min((wall for wall in walls if wall is not None), default=None)
        stamps = [
            None if w is None or first is None else (w - first).total_seconds() for w in walls
        ]
    known = [n for n, value in enumerate(stamps) if value is not None]
    if len(known) < 2 and len(stamps) > 1:
        step_s = step_s or PHOTO_STEP_S
        note = f"the photos have no times: taken as {step_s:g} s apart, in the order of their names"
        return [n * step_s for n in range(len(stamps))], [note]
    filled = _spread(_filled(stamps))
    start = min(filled)
    return [value - start for value in filled], []


def _filled(stamps: Sequence[float | None]) -> list[float]:
    """The times with gaps bridged evenly, and continued by `PHOTO_STEP_S` at the ends."""
    known = [n for n, value in enumerate(stamps) if value is not None]
    if not known:
        return [0.0] * len(stamps)
    numbers = np.arange(len(stamps))
    beyond = numbers - np.clip(numbers, known[0], known[-1])
    filled = np.interp(numbers, known, [value for value in stamps if value is not None])
    return [float(value) for value in filled + PHOTO_STEP_S * beyond]


def _spread(times: Sequence[float]) -> list[float]:
    """Equal times, as clocks with whole seconds give them, spread over the time to the next."""
    order = sorted(range(len(times)), key=lambda n: times[n])
    spread = list(times)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and times[order[end]] == times[order[start]]:
            end += 1
        room = times[order[end]] - times[order[start]] if end < len(order) else 1.0
        for offset, number in enumerate(order[start:end]):
            spread[number] += min(1.0, room) * offset / (end - start)
        start = end
    return spread


def _open_video(path: Path, telemetry: Path | None, overrides: Telemetry, rate_hz: float) -> Source:
    facts = read_facts(path)
    notes = []
    if telemetry is None:
        telemetry = _srt_beside(path)
        if telemetry is not None:
            notes.append(f"telemetry from {telemetry.name}")
    series, start, more = _video_telemetry(telemetry, facts)
    notes += more
    start = start or facts.created

    def frames() -> Iterator[Frame]:
        for picture in read_pictures(path, rate_hz):
            values = overrides.over(series.at(picture.time_s))
            name = f"{path.name}#{picture.number}"
            clock = None if start is None else start + timedelta(seconds=picture.time_s)
            load = None
            if picture.image is not None:
                load = partial(_photo, name, picture, facts, values)
            yield Frame(name, picture.time_s, values, load, clock)

    return Source(frames, None, tuple(notes))


def _srt_beside(path: Path) -> Path | None:
    """The subtitle file of the same name, in whatever case its extension is written."""
    beside = [path.with_suffix(ending) for ending in (".srt", ".SRT", ".Srt")]
    return next((file for file in beside if file.is_file()), None)


def _video_telemetry(
    path: Path | None, facts: VideoFacts
) -> tuple[TelemetrySeries, datetime | None, list[str]]:
    """Telemetry over time, the clock at the start where it is told, and remarks."""
    if path is None:
        return TelemetrySeries(()), None, ["no telemetry: heading and height are searched"]
    if path.suffix.lower() != ".srt":
        rows = read_telemetry_csv(path, key="time_s").rows
        return TelemetrySeries((row.time_s or 0.0, row.telemetry) for row in rows), None, []
    parsed: SrtFile = read_srt(path)
    remarks = []
    if parsed.skipped:
        remarks.append(f"{parsed.skipped} subtitles of {path.name} could not be read")
    told = next((block for block in parsed.blocks if block.clock is not None), None)
    start = None
    if told is not None and told.clock is not None:
        start = told.clock - timedelta(seconds=told.time_s)
    series = TelemetrySeries((b.time_s, b.seen_by(facts.size_px)) for b in parsed.blocks)
    return series, start, remarks


def _photo(name: str, picture: Picture, facts: VideoFacts, values: Telemetry) -> Photo:
    assert picture.image is not None, "only frames with pixels are loaded"
    return Photo(source=name, full_size=facts.size_px, telemetry=values, image=picture.image)
