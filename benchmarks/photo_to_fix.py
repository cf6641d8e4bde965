"""From a 12-megapixel photo, and from a decoded frame, to a fix: every stage's time and share.

A generated world of 0.64 km² becomes a pack of some 20,000 tiles: small footprints, close together.
Its photos, taken in another season with a drone's telemetry errors, are enlarged to 4000 × 3000
pixels with fresh noise, so that the JPEGs are as large as a camera's, and carry EXIF and XMP. Each
is located within 200 m of where its camera says it was: with `--retrieval-only` and with alignment,
from the file and from a frame of 1333 × 1000 pixels in memory, as `mobilegeo track` gets them of a
video. All four take turns, photo by photo. Percentiles of the stages do not add up to the total's.

    python benchmarks/photo_to_fix.py --out runs/photo_to_fix
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mobilegeo.bench.machine import cores, cpu_name
from mobilegeo.bench.pipeline import STAGES
from mobilegeo.bench.spread import Spread
from mobilegeo.encoder.registry import load_encoder
from mobilegeo.evaluation.truth import Truth, read_truth_csv
from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.prior import CirclePrior
from mobilegeo.locate.records import Options
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.source import open_map
from mobilegeo.photo import Photo, read_photo
from mobilegeo.video import SIDE_PX
from mobilegeo.world.demo import write_demo
from mobilegeo.world.photo_file import Record, write_photo

SEED = 1
WORLD_M = (800.0, 800.0)
FOOTPRINTS_M = (60.0, 120.0, 240.0)
STRIDE = 0.1
PHOTO_PX = (4000, 3000)
GRAIN = 7.0
"""Standard deviation of the noise, of 255: gives about 4 MB at JPEG quality 90."""
RADIUS_M = 200.0
WARM_UP = 1


def enlarge(source: Path, target: Path, rng: np.random.Generator) -> None:
    """Writes a photo again at `PHOTO_PX`, with the same telemetry."""
    photo = read_photo(source)
    image = cv2.resize(photo.image, PHOTO_PX, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    image += GRAIN * rng.standard_normal(image.shape, dtype=np.float32)
    known = photo.telemetry
    record = Record(
        known.position, 0.0, known.heading_deg, known.pitch_deg, known.roll_deg, known.agl_m,
        known.hfov_deg, photo.time,
    )  # fmt: skip
    write_photo(target, np.clip(image, 0, 255).astype(np.uint8), record)


def scenery(out: Path, encoder: object, name: str, photos: int) -> tuple[MapPack, list[Path]]:
    """The pack and the photos, made once and kept in `out`."""
    large = out / f"large_{photos}"
    if not large.is_dir():
        world = write_demo(out / f"world_{photos}", SEED, photos, WORLD_M)
        large.with_suffix(".new").mkdir(exist_ok=True)
        for number, source in enumerate(world.photos):
            target = large.with_suffix(".new") / source.name
            enlarge(source, target, np.random.default_rng([SEED, number]))
        large.with_suffix(".new").replace(large)
    path = out / f"{Path(name).stem}.pack"
    if path.exists():
        return MapPack.open(path, encoder=encoder), sorted(large.iterdir())
    source = open_map([out / f"world_{photos}" / "map.tif"])
    pack = build_pack(source, path, encoder, footprints_m=FOOTPRINTS_M, stride=STRIDE, resume=True)
    return pack, sorted(large.iterdir())


def frame_of(path: Path) -> Photo:
    """The photo as a decoder of videos hands frames over, its shorter side `SIDE_PX`."""
    photo = read_photo(path)
    size = (SIDE_PX * PHOTO_PX[0] // PHOTO_PX[1], SIDE_PX)
    image = cv2.resize(photo.image, size, interpolation=cv2.INTER_AREA)
    return Photo(
        source=photo.source,
        full_size=size,
        gps=photo.gps,
        pose=photo.pose,
        camera=photo.camera,
        telemetry=photo.telemetry,
        image=image,
    )


def report(runs: dict[str, list[Fix]], truths: dict[str, Truth]) -> str:
    """The table: a column a way, a row a stage, then what was found."""
    spreads = {
        way: {stage: Spread.of([fix.timing_ms[stage] for fix in fixes]) for stage in STAGES}
        for way, fixes in runs.items()
    }
    lines = ["| p50 / p95 ms (share) | " + " | ".join(runs) + " |", "|---" * (len(runs) + 1) + "|"]
    for stage in STAGES:
        cells = []
        for spread in spreads.values():
            share = spread[stage].p50_ms / spread["total"].p50_ms
            cells.append(f"{spread[stage].p50_ms:.1f} / {spread[stage].p95_ms:.1f} ({share:.0%})")
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    found = {way: [fix for fix in fixes if fix.status == "fix"] for way, fixes in runs.items()}
    counts = [f"{len(found[way])} of {len(runs[way])}" for way in runs]
    lines.append("| fixes | " + " | ".join(counts) + " |")
    errors = [f"{np.median([error_m(f, truths) for f in found[way]]):.1f} m" for way in runs]
    lines.append("| median error | " + " | ".join(errors) + " |")
    return "\n".join(lines)


def error_m(fix: Fix, truths: dict[str, Truth]) -> float:
    """Distance from the true position."""
    return distance_m(truths[Path(fix.photo).name].position, LatLon(fix.lat, fix.lon))


def main() -> None:
    """Locates every photo in all ways, in turn, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="kept between runs")
    parser.add_argument("--encoder", default="first", help="shipped name or path of an .onnx file")
    parser.add_argument("--runtime", default=None)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    encoder = load_encoder(options.encoder, threads=options.threads, runtime=options.runtime)
    pack, files = scenery(options.out, encoder, options.encoder, options.photos)
    truth = read_truth_csv(options.out / f"world_{options.photos}" / "truth.csv")
    truths = {Path(row.photo).name: row for row in truth}

    retrieve = Localizer(pack, encoder, Options(retrieval_only=True))
    align = Localizer(pack, encoder)
    frames = {file: frame_of(file) for file in files}
    ways: dict[str, Callable[[Path, CirclePrior], Fix]] = {
        "12 MP, retrieval only": lambda file, prior: retrieve.locate(file, prior=prior),
        "12 MP, aligned": lambda file, prior: align.locate(file, prior=prior),
        "frame, retrieval only": lambda file, prior: retrieve.locate(frames[file], prior=prior),
        "frame, aligned": lambda file, prior: align.locate(frames[file], prior=prior),
    }
    runs: dict[str, list[Fix]] = {way: [] for way in ways}
    for number in range(WARM_UP + options.rounds):
        for file in files:
            prior = CirclePrior(frames[file].gps, RADIUS_M)
            for way, locate in ways.items():
                fix = locate(file, prior)
                if number >= WARM_UP:
                    runs[way].append(fix)
    megabytes = np.mean([file.stat().st_size for file in files]) / 1e6
    print(
        f"{cpu_name()}, {cores()} cores; encoder {pack.encoder_id}, runtime {encoder.runtime}; "
        f"{len(pack.tiles)} tiles; {len(files)} photos of {megabytes:.1f} MB, "
        f"{options.rounds} rounds\n"
    )
    print(report(runs, truths))


if __name__ == "__main__":
    main()
