"""Accuracy against the number of views encoded: which of 54 views of a place to use.

Places of a real scene (`scenes/autzen`, its half that was held out of training, on a map that also
holds 2.5 km² of other towns) and of two generated worlds (mapped in spring, seen in autumn) are
seen from University-1652's spiral. Each view gets another camera's look, 70 % of them a fault as
well (blur, haze, night, cover, noise, a wrong place), and telemetry as wrong as a drone's.
First table: retrieval with the fused embedding, best tile within half a footprint (R@1) and its
median distance. Second: `locate --together`, retrieval and alignment.

    python benchmarks/multiview.py ../shared/data --out runs/multiview
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.geo import distance_m
from mobilegeo.locate import retrieve, views
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.locate.together import locate_together
from mobilegeo.locate.views.sight import Choice
from mobilegeo.metadata.telemetry import Telemetry, TelemetryRow, TelemetryTable
from multiview_scenes import Area, Place, autzen, world
from oblique_scene import drone_look

FAULTS = {
    "none": 0.3, "blur": 0.15, "haze": 0.15, "cover": 0.15, "night": 0.1, "noise": 0.1,
    "wrong place": 0.05,
}  # fmt: skip
COUNTS = (1, 2, 3, 5, 8, 10, 20)
WORLD_SEEDS = (101, 102)
THUMBNAIL_PX = (200, 150)


@dataclass(frozen=True)
class Seen:
    """A place as the drone sees it: what each method may look at.

    Attributes:
        embeddings: float32 [N, D], of all views.
        by_pose, by_signature: the views as known before the network.
        seed: for what is left to chance.
        error_m: from an embedding to the distance of the best tile from the place.
    """

    embeddings: NDArray[np.float32]
    by_pose: views.Views
    by_signature: views.Views
    seed: int
    error_m: Callable[[NDArray[np.float32]], float]


Method = Callable[[Seen, int], NDArray[np.float32]]
"""From a place and the number of views to the fused embedding."""


def spoil(image: NDArray[np.uint8], fault: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image, uint8 [H, W, 3], with another look and a fault."""
    look = drone_look(image, rng).astype(np.float32)
    if fault == "blur":
        look = cv2.GaussianBlur(look, (0, 0), rng.uniform(2.5, 6.0))
    elif fault == "haze":
        clear = rng.uniform(0.08, 0.3)
        look = clear * look + (1 - clear) * rng.uniform(150, 220)
    elif fault == "cover":
        v, u = np.mgrid[-1 : 1 : look.shape[0] * 1j, -1 : 1 : look.shape[1] * 1j]
        turn = rng.uniform(0, 2 * np.pi)
        look[u * np.cos(turn) + v * np.sin(turn) > rng.uniform(-0.5, 0.2)] = rng.uniform(20, 230, 3)
    elif fault == "night":
        look *= rng.uniform(0.06, 0.15)
    look += rng.normal(0, 30 if fault == "noise" else 3, look.shape)
    return np.clip(look, 0, 255).astype(np.uint8)


def photograph(
    area: Area, number: int, rng: np.random.Generator, *, clean: bool = False
) -> tuple[list[NDArray[np.uint8]], list[GroundView]]:
    """Images with faults, and the views that their telemetry tells, of one place."""
    place = area.places[number]
    other = area.places[(number + 1) % len(area.places)]
    shares = [float(fault == "none") for fault in FAULTS] if clean else list(FAULTS.values())
    faults = rng.choice(list(FAULTS), len(place.views), p=shares)
    images, told = [], []
    for index, (view, fault) in enumerate(zip(place.views, faults, strict=True)):
        source: Place = other if fault == "wrong place" else place
        images.append(spoil(source.images[index], fault, rng))
        told.append(
            replace(
                view,
                heading_deg=view.heading_deg + rng.uniform(-5, 5),
                pitch_deg=view.pitch_deg + rng.normal(0, 0.5),
                agl_m=view.agl_m * rng.uniform(0.9, 1.1),
            )
        )
    return images, told


def see(
    area: Area, number: int, seed: int, footprint_m: float, encoder: Encoder, *, clean: bool
) -> Seen:
    """Encodes all views of a place, and glances at them as `locate --together` does."""
    images, told = photograph(area, number, np.random.default_rng([seed, number]), clean=clean)
    pack = area.pack
    pairs = list(zip(images, told, strict=True))
    queries = [retrieve.query_at(i, view, footprint_m, pack.spec.size_px) for i, view in pairs]
    glimpses = []
    for image, view in pairs:
        small = cv2.resize(image, THUMBNAIL_PX, interpolation=cv2.INTER_AREA)
        patch = retrieve.query_at(small, view, footprint_m, views.THUMBNAIL_PX).patch
        glimpses.append(views.glimpse(patch))
    poses = np.array([(view.agl_m, view.heading_deg) for view in told])
    rows = np.flatnonzero(pack.tiles.footprint_m == footprint_m)
    vectors = np.asarray(pack.vectors[rows], dtype=np.float32)
    x_m, y_m = pack.frame.xy(area.places[number].point)

    def error_m(embedding: NDArray[np.float32]) -> float:
        best = rows[int(np.argmax(vectors @ embedding))]
        return float(np.hypot(pack.tiles.x_m[best] - x_m, pack.tiles.y_m[best] - y_m))

    return Seen(
        retrieve.embed_queries(queries, encoder),
        views.before_the_network(glimpses, views.pose_distances(*poses.T)),
        views.before_the_network(glimpses, None),
        seed,
        error_m,
    )


def _mean(seen: Seen, chosen: list[int]) -> NDArray[np.float32]:
    return views.fuse(seen.embeddings[chosen], np.zeros(len(chosen)))


def _plain(name: str) -> Method:
    """Chosen by the order taken alone, and averaged."""
    return lambda seen, k: _mean(seen, views.SELECTORS[name](seen.by_pose, k))


def _random(seen: Seen, k: int) -> NDArray[np.float32]:
    return _mean(seen, views.RandomViews(seen.seed)(seen.by_pose, k))


def _before(name: str, *, poses: bool) -> Method:
    """Chosen without the network, fused by the detail of the thumbnails."""

    def method(seen: Seen, k: int) -> NDArray[np.float32]:
        known = seen.by_pose if poses else seen.by_signature
        chosen = views.SELECTORS[name](known, k)
        return views.fuse(seen.embeddings[chosen], known.importance[chosen])

    return method


def _after(name: str, *, poses: bool) -> Method:
    """Chosen from all embeddings, fused by the paper's importance."""

    def method(seen: Seen, k: int) -> NDArray[np.float32]:
        known = views.embedded(seen.embeddings, seen.by_pose.distances if poses else None)
        chosen = views.SELECTORS[name](known, k)
        return views.fuse(seen.embeddings[chosen], known.importance[chosen])

    return method


def _spread(seen: Seen, k: int) -> NDArray[np.float32]:
    """Far apart by pose, whatever the thumbnails show."""
    known = replace(seen.by_pose, importance=np.zeros(len(seen.by_pose)))
    return _mean(seen, views.SELECTORS["msrm"](known, k))


def _most_detail(seen: Seen, k: int) -> NDArray[np.float32]:
    return _mean(seen, [int(n) for n in np.argsort(-seen.by_pose.importance)[:k]])


METHODS: dict[str, tuple[str, Method]] = {
    "all, averaged": ("54", _plain("all")),
    "all, weighted by the paper's importance": ("54", _after("all", poses=True)),
    "MSRM as in the paper, poses": ("54", _after("msrm", poses=True)),
    "MSRM as in the paper, features": ("54", _after("msrm", poses=False)),
    "log-det of embeddings": ("54", _after("logdet", poses=False)),
    "random": ("k", _random),
    "evenly spaced": ("k", _plain("even")),
    "before: poses alone": ("k", _spread),
    "before: detail alone": ("k", _most_detail),
    "before: MSRM, detail and poses": ("k", _before("msrm", poses=True)),
    "before: log-det, detail and poses": ("k", _before("logdet", poses=True)),
    "before: MSRM, detail and signatures": ("k", _before("msrm", poses=False)),
    "before: log-det, detail and signatures": ("k", _before("logdet", poses=False)),
}
"""Name → how many views are encoded to use k, and the method."""


def retrieval_table(
    areas: list[Area], seeds: int, footprint_m: float, encoder: Encoder, *, clean: bool
) -> None:
    """Prints R@1 (mean ± spread over seeds) and median metres of every method."""
    errors: dict[tuple[str, str, int], list[list[float]]] = {}
    for area in areas:
        for seed in range(seeds):
            seen = [
                see(area, number, seed, footprint_m, encoder, clean=clean)
                for number in range(len(area.places))
            ]
            for name, (_, method) in METHODS.items():
                for k in COUNTS:
                    found = [each.error_m(method(each, k)) for each in seen]
                    errors.setdefault((area.name.split()[0], name, k), []).append(found)
    for group in dict.fromkeys(area.name.split()[0] for area in areas):
        print(
            f"\n### {group}\n\n| views used | encoded |",
            " | ".join(f"k = {k}" for k in COUNTS),
            "|",
        )
        print("|---" * (2 + len(COUNTS)) + "|")
        for name, (encoded, _) in METHODS.items():
            cells = [_cell(errors[group, name, k], footprint_m) for k in COUNTS]
            if name.startswith("all"):
                cells[1:] = [""] * (len(cells) - 1)
            print(f"| {name} | {encoded} |", " | ".join(cells), "|")


def _cell(runs: list[list[float]], footprint_m: float) -> str:
    rates = [100 * float(np.mean(np.array(run) <= footprint_m / 2)) for run in runs]
    return f"{np.mean(rates):.0f} ± {np.std(rates):.0f} %, {np.median(np.concatenate(runs)):.0f} m"


def together_table(area: Area, places: int, out: Path, encoder: Encoder) -> None:
    """Prints what `locate --together` answers for a few places of an area."""
    print(f"\n### together, {area.name}\n")
    print("| selection | views | places | fixes | right (25 m) | median | encoded |")
    print("|---|---|---|---|---|---|---|")
    localizer = Localizer(area.pack, encoder, Options(ignore_gps=True))
    photos = [_write(area, number, out / f"{number:02}") for number in range(places)]
    for selection in ("msrm", "even"):
        for count in (1, 3, 8):
            errors, encoded = [], []
            for number, (files, table) in enumerate(photos):
                choice = Choice(count, selection)
                (fix,) = (
                    t.fix for t in locate_together(localizer, files, table, Telemetry(), choice)
                )
                encoded.append(fix.details["encoded"])
                if fix.lat is not None and fix.lon is not None:
                    here = replace(area.places[number].point, lat=fix.lat, lon=fix.lon)
                    errors.append(distance_m(here, area.places[number].point))
            right = sum(error <= 25 for error in errors)
            median = f"{np.median(errors):.1f} m" if errors else "–"
            row = f"| {selection} | {count} | {places} | {len(errors)} | {right} | {median} |"
            print(row, f"{np.mean(encoded):.1f} |", flush=True)


def _write(area: Area, number: int, folder: Path) -> tuple[list[Path], TelemetryTable]:
    folder.mkdir(parents=True, exist_ok=True)
    images, told = photograph(area, number, np.random.default_rng([0, number]))
    files, rows = [], []
    for index, (image, view) in enumerate(zip(images, told, strict=True)):
        file = folder / f"{index:02}.jpg"
        cv2.imwrite(str(file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        telemetry = Telemetry(
            view.heading_deg % 360, view.pitch_deg, 0.0, view.agl_m, view.hfov_deg
        )
        rows.append(TelemetryRow(PurePosixPath(file.name), telemetry, index + 2))
        files.append(file)
    return files, TelemetryTable(str(folder), tuple(rows))


def main() -> None:
    """Makes or reads the areas and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--places", type=int, default=20, help="on the real scene")
    parser.add_argument("--world-places", type=int, default=8, help="on each generated world")
    parser.add_argument("--seeds", type=int, default=3, help="of faults, telemetry and chance")
    parser.add_argument("--footprint-m", type=float, default=80.0, help="80 or 160")
    parser.add_argument("--clean", action="store_true", help="views without faults")
    parser.add_argument("--together-places", type=int, default=6)
    options = parser.parse_args()
    encoder = load_encoder()
    areas = [autzen(options.data, options.out / "autzen", encoder, options.places)]
    areas += [
        world(options.out / f"world{seed}", encoder, seed, options.world_places)
        for seed in WORLD_SEEDS
    ]
    if options.seeds:
        retrieval_table(areas, options.seeds, options.footprint_m, encoder, clean=options.clean)
    if options.together_places:
        together_table(areas[0], options.together_places, options.out / "photos", encoder)


if __name__ == "__main__":
    main()
