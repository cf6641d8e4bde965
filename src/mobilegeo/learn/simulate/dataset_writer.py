"""Writes simulated places in University-1652's layout; started again, it goes on.

A place's folders appear under their names only when whole, that of the drone views last, so that a
place whose drone folder is there is done. `simulated.json` records what was asked for, and
`truth.csv` where each view is, for ground with a georeference.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.simulated_views import (
    FORMAT,
    RECORD_FILE,
    TRUTH_FILE,
)
from mobilegeo.learn.simulate.ground import Ground
from mobilegeo.learn.simulate.planning import (
    DRONE,
    SATELLITE,
    PlannedPlace,
    drone_name,
    plan,
    start_deg,
)
from mobilegeo.learn.simulate.settings import Settings, finest_gsd_m, spiral
from mobilegeo.learn.simulate.truth import as_csv, truth_rows
from mobilegeo.learn.simulate.views import drone_images, satellite_image
from mobilegeo.learn.training.data.ordered import in_order
from mobilegeo.output.atomic import write_atomically
from mobilegeo.world.scene import Scene

JPEG_QUALITY = 92

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Summary:
    """What a dataset holds.

    Attributes:
        out: its folder.
        train, test: places.
        images: files, the linked ones counted each time.
        with_truth: places whose position on earth is known.
    """

    out: Path
    train: int
    test: int
    images: int
    with_truth: int


def simulate(
    grounds: Sequence[Ground],
    out: Path,
    settings: Settings,
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> Summary:
    """Simulates a dataset, or what is missing of it.

    Args:
        grounds: reference imagery.
        out: the dataset's folder.
        settings: what and how much.
        workers: threads.
        progress: called with a stage's name, steps done and steps in all.

    Raises:
        UsageError: `out` holds something else, or there are too few places.
        ResourceError: the imagery has no place in it.
    """
    out.mkdir(parents=True, exist_ok=True)
    _begin(out, settings, [ground.name for ground in grounds])
    planned = plan(grounds, settings)
    missing = [place for place in planned if not (out / place.drone_folders[0] / place.id).is_dir()]
    jobs = _jobs(grounds, missing, out, settings)
    for number, _ in enumerate(in_order(jobs, workers, workers + 1), start=1):
        if progress is not None:
            progress("places", number, len(missing))
    rows = [row for place in planned for row in truth_rows(grounds[place.ground], place, settings)]
    if rows:
        write_atomically(out / TRUTH_FILE, as_csv(rows))
    test = sum(place.site.test for place in planned)
    images = sum(len(place.drone_folders) * (len(settings.view_numbers) + 1) for place in planned)
    with_truth = len({row["photo"].split("/")[2] for row in rows})
    return Summary(out, len(planned) - test, test, images, with_truth)


def _begin(out: Path, settings: Settings, names: Sequence[str]) -> None:
    """Writes the record of the run, or checks that the folder holds images of the same run."""
    record = {"format": FORMAT, "imagery": list(names), "settings": asdict(settings)}
    path = out / RECORD_FILE
    others = any(found != path for found in out.iterdir())
    if others and not path.is_file():
        raise UsageError(out, "holds something else", "give a new or empty folder")
    if not others:  # new, or a run that failed before its first image
        write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(path, f"is damaged ({error})", "give a new folder") from error
    changed = _differences(before, record)
    if changed:
        raise UsageError(
            out,
            f"was begun with other {', '.join(changed)}",
            "give the same again, or a new folder",
        )


def _differences(before: Any, now: Mapping[str, Any]) -> list[str]:
    """Names of what differs between two records."""
    if not isinstance(before, dict) or not isinstance(before.get("settings"), dict):
        return ["records"]
    names = [name for name in ("format", "imagery") if before.get(name) != now[name]]
    old, new = before["settings"], now["settings"]
    return names + [
        name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)
    ]


def _jobs(
    grounds: Sequence[Ground], places: Sequence[PlannedPlace], out: Path, settings: Settings
) -> Iterator[Callable[[], None]]:
    """A job a place; its scene is cut when it is asked for, by one thread only."""
    for place in places:
        site = place.site
        scene = grounds[place.ground].scene(
            site,
            settings.reach * site.footprint_m,
            0.7 * finest_gsd_m(settings, site.footprint_m),
        )
        yield partial(_write_place, scene, place, out, settings)


def _write_place(scene: Scene, place: PlannedPlace, out: Path, settings: Settings) -> None:
    number, footprint_m = int(place.id), place.site.footprint_m
    rng = np.random.default_rng((settings.seed, SATELLITE, number))
    satellite = satellite_image(scene, footprint_m, settings.size_px, rng)
    _write_folders(out, place.satellite_folders, place.id, {f"{place.id}.jpg": satellite})
    views = spiral(settings, footprint_m, start_deg(place, settings))
    photos = drone_images(scene, views, settings, (settings.seed, DRONE, number))
    names = [drone_name(view.number) for view in views]
    _write_folders(out, place.drone_folders, place.id, dict(zip(names, photos, strict=True)))


def _write_folders(
    out: Path, folders: Sequence[str], place: str, images: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Writes a place's images into several folders, the first of them last."""
    partials = [out / folder / f".{place}.partial" for folder in folders]
    for partial_folder in partials:
        shutil.rmtree(partial_folder, ignore_errors=True)
        partial_folder.mkdir(parents=True)
    for name, image in images.items():
        _, encoded = cv2.imencode(
            ".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        first = partials[0] / name
        first.write_bytes(encoded.tobytes())
        for other in partials[1:]:
            _link(first, other / name)
    for partial_folder in reversed(partials):
        whole = partial_folder.with_name(place)
        shutil.rmtree(whole, ignore_errors=True)
        partial_folder.rename(whole)


def _link(source: Path, target: Path) -> None:
    """One file under two names; a copy where the disk cannot do that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
