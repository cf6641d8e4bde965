"""Frames of a video with their times, one after the other (PyAV, which brings its own FFmpeg)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.decode import MAX_PIXELS
from mobilegeo.errors import MissingExtraError, PhotoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

EXTENSIONS = (
    ".mp4", ".mov", ".mkv", ".avi", ".m4v", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg",
    ".3gp", ".wmv", ".h264", ".h265",
)  # fmt: skip
"""File names that are taken for videos; FFmpeg decides by the content."""

SIDE_PX = 1000
"""Frames are reduced so that their shorter side has at most so many pixels."""

MAX_BROKEN = 1000
"""With more broken packets than this the video is given up."""

_COVER = 0x400
"""FFmpeg's mark of a still picture in an audio file (AV_DISPOSITION_ATTACHED_PIC)."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a video says of itself.

    Attributes:
        size_px: width and height as displayed.
        rotation_deg: by which the stored frames are turned for display, counterclockwise.
        created: when it was made, where that is told.
    """

    size_px: tuple[int, int]
    rotation_deg: int
    created: datetime | None


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame.

    Attributes:
        number: counts from 0.
        time_s: since the first frame.
        image: uint8 [H, W, 3] RGB as displayed; `None` for a frame that was not asked for.
    """

    number: int
    time_s: float
    image: NDArray[np.uint8] | None


def read_facts(path: str | PathLike[str]) -> VideoFacts:
    """Size, rotation and date of a video, from its first frame.

    Raises:
        PhotoError: the file is missing or no video.
        MissingExtraError: PyAV is not installed.
    """
    with _opened(path) as (container, stream):
        for frame in _frames(path, container, stream):
            turn = _rotation(frame)
            sideways = turn % 180 != 0
            size = (frame.height, frame.width) if sideways else (frame.width, frame.height)
            return VideoFacts(size, turn, _created(container.metadata | stream.metadata))
    raise PhotoError(path, "holds no picture", "give a video that plays")


def read_pictures(path: str | PathLike[str], rate_hz: float | None = None) -> Iterator[Picture]:
    """All frames in order of display; one is in memory at a time.

    Damaged packets are passed over. Times come from the frames' own time stamps, so that a
    variable frame rate is kept; where they are missing the nominal rate stands in.

    Args:
        path: of the video.
        rate_hz: pictures a second that are wanted with pixels; all when `None`.

    Raises:
        PhotoError: the file is missing, no video, or holds no picture.
        MissingExtraError: PyAV is not installed.
    """
    with _opened(path) as (container, stream):
        start, due, last = None, 0.0, -1.0
        step = 1.0 / float(stream.average_rate or 25)
        number = -1
        for number, frame in enumerate(_frames(path, container, stream)):
            stamp = last + step if frame.time is None else float(frame.time)
            start = stamp if start is None else start
            time_s = max(stamp - start, last + 1e-4 if number else 0.0)
            last = time_s
            wanted = rate_hz is None or time_s >= due - 0.5 * step
            if wanted and rate_hz is not None:
                due = max(due + 1.0 / rate_hz, time_s)
            yield Picture(number, time_s, _pixels(frame) if wanted else None)
        if number < 0:
            raise PhotoError(path, "holds no picture", "give a video that plays")


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError(
            path, "needs PyAV to be read", "run pip install 'mobilegeo[video]'"
        ) from error
    if not Path(path).is_file():
        raise PhotoError(path, "does not exist or is no file", "check the path")
    if Path(path).stat().st_size == 0:
        raise PhotoError(path, "is empty (0 bytes)", "copy it from the camera again")
    try:
        container = av.open(path, "r", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        told = getattr(error, "strerror", None) or error
        raise PhotoError(path, f"is no video ({told})", "give a video that plays") from error
    with container:
        videos = [s for s in container.streams.video if not s.disposition & _COVER]
        if not videos:
            raise PhotoError(path, "holds no moving picture, only other streams", "give a video")
        stream = videos[0]
        size = (stream.codec_context.width, stream.codec_context.height)
        if size[0] * size[1] > MAX_PIXELS:
            raise PhotoError(path, f"has frames of {size[0]} × {size[1]} pixels", "reduce it")
        stream.thread_type = "AUTO"
        yield container, stream


def _frames(
    path: str | PathLike[str], container: InputContainer, stream: VideoStream
) -> Iterator[VideoFrame]:
    """Decoded frames; what cannot be decoded is left out."""
    from av.error import EOFError as EndOfFile
    from av.error import FFmpegError

    broken = 0
    packets = container.demux(stream)
    while broken <= MAX_BROKEN:
        try:
            packet = next(packets)
            yield from packet.decode()
        except (StopIteration, EndOfFile):
            return
        except FFmpegError:
            broken += 1
    raise PhotoError(path, f"has more than {MAX_BROKEN} broken packets", "copy it again")


def _pixels(frame: VideoFrame) -> NDArray[np.uint8]:
    """RGB as displayed, uint8 [H, W, 3], its shorter side at most `SIDE_PX`."""
    shrink = min(1.0, SIDE_PX / min(frame.width, frame.height))
    # Chroma is stored at half resolution: odd sizes would be cut.
    width, height = (max(2, 2 * round(shrink * side / 2)) for side in (frame.width, frame.height))
    image = frame.to_ndarray(format="rgb24", width=width, height=height).astype(
        np.uint8, copy=False
    )
    return np.ascontiguousarray(np.rot90(image, _rotation(frame) // 90))


def _rotation(frame: VideoFrame) -> int:
    """By how many degrees the frame is to be turned counterclockwise: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) * 90 % 360


def _created(metadata: dict[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(metadata["creation_time"])
    except (KeyError, TypeError, ValueError):
        return None
