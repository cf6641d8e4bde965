"""Many photos, one after the other; a bad one never stops the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.locate.answers import unreadable
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Reading, Trace
from mobilegeo.locate.stopwatch import Stopwatch
from mobilegeo.metadata.telemetry import Telemetry, TelemetryTable
from mobilegeo.read_ahead import PHOTO_READERS, read_ahead

PHOTO_EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")


def photo_files(paths: Sequence[Path]) -> list[Path]:
    """The photos named, with folders replaced by the photos in them, by name.

    Raises:
        UsageError: a folder holds no photos.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(f for f in path.iterdir() if f.suffix.lower() in PHOTO_EXTENSIONS)
        if not inside:
            raise UsageError(path, "the folder holds no photos", "name photos or their folder")
        files += inside
    return files


def locate_photos(
    localizer: Localizer,
    files: Sequence[Path],
    table: TelemetryTable,
    overrides: Telemetry,
) -> Iterator[Trace]:
    """Locates photos in order; one that cannot be read gives a record with status `error`.

    The next photos are read while one is located. Each record's times are those of its own photo,
    as if it were alone: together they exceed the time that passes.

    Args:
        localizer: the map.
        files: photos.
        table: what a telemetry file says of them.
        overrides: what the user says of all of them, over the table.
    """

    def read(file: Path) -> Reading | Trace:
        watch = Stopwatch()
        try:
            with watch.stage("read"):
                return localizer.read(str(file), overrides.over(table.lookup(file)))
        except PhotoError as error:
            return Trace(unreadable(str(file), error, watch))

    for _, reading in read_ahead(files, read, readers=PHOTO_READERS):
        outcome = reading.result()
        yield outcome if isinstance(outcome, Trace) else localizer.answer(outcome)
