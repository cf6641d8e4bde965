r"""Photos of the map and photos of elsewhere: what gets a fix, and what that fix is worth.

Maps: generated worlds, and folders made by `real_drone.py` or `oblique_scene.py`. Each map is given
its own photos, as they are and spoilt (blur, haze, noise, colour, JPEG, telemetry falsified beyond
the usual), with the pose known, without heading, without height, without both; and photos of
elsewhere with a plausible pose: those of the other maps, aerial tiles of other towns, real drone
photos of other sites, and pictures without any place: water, night, lens cap, noise, repeated
texture, horizon.

There are two splits that share no world, no scene, no photo and no tile: `calibrate`, from which
`calibrate.py` takes its constants, and `held-out`, on which they are judged.

    python benchmarks/outside.py ../shared/data --split held-out --out runs/outside \
        --folder runs/sheffield:../shared/data/drone/sheffield_cross/images --folder runs/autzen
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mobilegeo.camera import CameraModel
from mobilegeo.encoder import encoder_for, load_encoder
from mobilegeo.evaluation import Truth, read_truth_csv
from mobilegeo.evaluation.metrics import auroc, radius_in_sigmas
from mobilegeo.geo import distance_m, wrap_deg
from mobilegeo.locate import confidence
from mobilegeo.locate.calibration import AlignedCalibration, calibration_for, shipped
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.locate.resolution import DECODE_SIDE_PX
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.metadata.telemetry import Telemetry, TelemetryTable, read_telemetry_csv
from mobilegeo.photo import Photo, read_photo
from mobilegeo.world.demo import write_demo

RIGHT_M = 25.0
TOP = 20
"""Tiles that a trial looks at."""
WORLD_SEEDS = {"calibrate": 1000, "held-out": 2000}
UNKNOWN: dict[str, tuple[str, ...]] = {
    "known": (),
    "no heading": ("heading_deg",),
    "no height": ("agl_m",),
    "neither": ("heading_deg", "agl_m"),
}
TILES = {
    "calibrate": (("tiles/kampala", 8), ("tiles/dubai", 8)),
    "held-out": (("tiles/banepa", 8), ("drone/caliterra", 8), ("drone/lewis", 8)),
}
CLASSES = 12
"""Land-use classes of `tiles/ucmerced` in each split, every other one by name, one tile each."""

SHARED = {"calibrate": 0, "held-out": 1}


@dataclass
class Case:
    """A map and its photos."""

    name: str
    localizer: Localizer
    photos: list[tuple[Photo, Truth]]


@dataclass
class Trial:
    """One photo on one map; evidence is absent when the photo was turned away before alignment."""

    case: str
    photo: str
    group: str
    inside: bool
    spoilt: bool
    mode: str
    milliseconds: float
    error_m: float | None = None
    heading_error_deg: float | None = None
    peak: float = 0.0
    margin: float = 0.0
    excess: float = 0.0
    agreement: float = 0.0
    sigma_m: float = 0.0
    heading_sigma_deg: float = 0.0
    retrieval_score: float = 0.0
    retrieval_lead: float = 0.0
    retrieval_error_m: float | None = None
    footprint_m: float = 0.0
    aligned: bool = False
    top5_error_m: float | None = None
    lat: float | None = None
    lon: float | None = None

    @property
    def right(self) -> bool:
        """Whether the aligned answer is the right place."""
        return self.error_m is not None and self.error_m <= RIGHT_M


def world_case(folder: Path, seed: int, photos: int) -> Case:
    """A generated world with its pack, made once."""
    if not (folder / "map.pack").is_dir():
        files = write_demo(folder, seed, photos=24)
        build_pack(open_map([files.map_tif]), folder / "map.pack", load_encoder())
    return folder_case(folder, folder / "photos", photos)


def folder_case(folder: Path, images: Path, photos: int) -> Case:
    """A map with its pack, photos and their truth."""
    pack = MapPack.open(folder / "map.pack")
    localizer = Localizer(pack, encoder_for(pack), Options(ignore_gps=True, top=TOP))
    return Case(folder.name, localizer, photos_of(folder, images, photos))


def photos_of(folder: Path, images: Path, photos: int | None = None) -> list[tuple[Photo, Truth]]:
    """Photos of a map with their truth: all, or so many, evenly spaced in its table."""
    table = TelemetryTable("", ())
    if (folder / "telemetry.csv").exists():
        table = read_telemetry_csv(folder / "telemetry.csv")
    truth = read_truth_csv(folder / "truth.csv")
    chosen = []
    for row in truth[:: 1 if photos is None else max(1, len(truth) // photos)]:
        file = images / row.photo
        known = table.lookup(file)
        chosen.append((read_photo(file, overrides=known, min_side_px=DECODE_SIDE_PX), row))
    return chosen


def spoil(photo: Photo, rng: np.random.Generator) -> Photo:
    """A photo as a bad camera in bad air takes it, its telemetry wrong beyond the usual."""
    image = cv2.GaussianBlur(photo.image, (0, 0), rng.uniform(0.5, 6.0)).astype(np.float32)
    haze = rng.uniform(0.0, 0.7)
    image = (1 - haze) * image + haze * rng.uniform(150, 230)
    image = 255 * (np.clip(image, 0, 255) / 255) ** rng.uniform(0.6, 1.8)
    image = image * rng.uniform(0.75, 1.25, 3) + rng.normal(0, rng.uniform(2, 30), image.shape)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))]
    _, data = cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8), quality)
    known = photo.telemetry
    telemetry = replace(
        known,
        heading_deg=(known.heading_deg + rng.normal(0, 6)) % 360,
        agl_m=known.agl_m * np.exp(rng.normal(0, 0.1)),
    )
    return replace(photo, image=cv2.imdecode(data, cv2.IMREAD_COLOR), telemetry=telemetry)


def forget(photo: Photo, names: tuple[str, ...]) -> Photo:
    """The photo without some of its telemetry."""
    return replace(photo, telemetry=replace(photo.telemetry, **dict.fromkeys(names)))


def posed(image: np.ndarray, source: str, rng: np.random.Generator) -> Photo:
    """A picture that claims to be a drone photo."""
    known = Telemetry(
        heading_deg=rng.uniform(0, 360),
        pitch_deg=-90.0 + rng.uniform(0, 30),
        roll_deg=0.0,
        agl_m=rng.uniform(60, 200),
        hfov_deg=rng.uniform(60, 84),
    )
    size = (image.shape[1], image.shape[0])
    camera = CameraModel(known.hfov_deg)
    return Photo(
        source=source, full_size=size, time=None, gps=None, pose=known.pose, camera=camera,
        telemetry=known, image=image,
    )  # fmt: skip


def strangers(data: Path, split: str, rng: np.random.Generator) -> list[tuple[str, Photo]]:
    """Pictures of other places and of none, each with the name of its kind."""
    files: list[tuple[str, Path]] = []
    for name, count in TILES[split]:
        found = sorted(f for f in (data / name).rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
        files += [(name, f) for f in found[:: max(1, len(found) // count)][:count]]
    folders = sorted(f for f in (data / "tiles/ucmerced").rglob("*") if f.is_dir())
    classes = [f for f in folders if any(f.glob("*.[jpt]*"))][SHARED[split] :: 2][:CLASSES]
    files += [("tiles/ucmerced", sorted(f.iterdir())[7]) for f in classes]
    pictures = []
    for name, file in files:
        image = cv2.imread(str(file))
        scale = 800 / min(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pictures.append(
            (name, posed(np.ascontiguousarray(image[:800, :1200, ::-1]), file.name, rng))
        )
    pictures += [(name, posed(image, name, rng)) for name, image in placeless(rng)]
    return pictures


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif")


def placeless(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Pictures that show no place: uint8 [600, 800, 3] each."""
    shape = (600, 800, 3)
    noise = rng.normal(0, 1, shape)
    soft = cv2.GaussianBlur(noise, (0, 0), 12)
    ripples = cv2.GaussianBlur(rng.normal(0, 1, shape[:2]), (0, 0), sigmaX=9, sigmaY=2)[..., None]
    rows, columns = np.indices(shape[:2])
    period = rng.integers(30, 60)
    bricks = ((columns + (rows // period % 2) * period // 2) % period < 4) | (rows % period < 4)
    fields = np.sin(rows / rng.uniform(5, 9))[..., None]
    lights = (rng.random(shape[:2]) > 0.9995).astype(np.float32)
    lights = cv2.GaussianBlur(lights, (0, 0), 2)[..., None] * 4000
    ramp = np.linspace(1, 0, shape[0])[:, None, None]
    pictures = {
        "noise": 128 + 50 * noise,
        "smooth noise": 128 + 40 * soft / soft.std(),
        "water": np.array([40, 70, 90]) + 10 * ripples / ripples.std() + 2 * noise,
        "night": 6 + lights + 2 * noise,
        "lens cap": 4 + 1.5 * noise,
        "flat colour": np.array([120, 150, 90]) + 0.5 * noise,
        "bricks": np.where(bricks[..., None], 190, 120) + 6 * noise,
        "furrows": np.array([110, 120, 70]) + 25 * fields + 8 * noise,
        "horizon": np.array([150, 180, 220]) * ramp + np.array([70, 80, 50]) * (1 - ramp) + noise,
    }
    for name, picture in pictures.items():
        yield name, np.clip(np.broadcast_to(picture, shape), 0, 255).astype(np.uint8)


def trial(case: Case, photo: Photo, truth: Truth | None, group: str, mode: str, bad: bool) -> Trial:
    """Locates one photo and notes the evidence."""
    trace = case.localizer.trace(forget(photo, UNKNOWN[mode]))
    found, pack = trace.alignment, case.localizer.pack
    name = Path(photo.source).name
    spent = trace.fix.timing_ms["total"]
    result = Trial(case.name, name, group, truth is not None, bad, mode, spent)
    if found is None:
        return result
    constants = calibration_for(case.localizer.encoder).retrieved
    answer = confidence.retrieval_answer(trace.matches, pack.tiles, constants)
    score, lead = confidence.retrieval_evidence(trace.matches, pack.tiles)
    point = pack.frame.point(found.best.x_m, found.best.y_m)
    result.lat, result.lon = point.lat, point.lon
    heading = found.best.view.heading_deg + pack.frame.convergence_deg(point)
    if truth is not None:
        result.error_m = distance_m(truth.position, point)
        result.retrieval_error_m = distance_m(
            truth.position, pack.frame.point(answer.x_m, answer.y_m)
        )
        x, y = pack.frame.xy(truth.position)
        best = pack.tiles.at([match.row for match in trace.matches[:5]])
        result.top5_error_m = float(np.hypot(best.x_m - x, best.y_m - y).min())
        if truth.heading_deg is not None:
            result.heading_error_deg = abs(wrap_deg(heading - truth.heading_deg))
    result.peak, result.margin = found.best.score, confidence.margin(found)
    result.excess, result.agreement = confidence.excess(found), found.agreement
    result.sigma_m = float(np.sqrt(np.trace(found.covariance) / 2))
    result.heading_sigma_deg = found.heading_sigma_deg
    result.retrieval_score, result.retrieval_lead = score, lead
    result.footprint_m = float(pack.tiles.footprint_m[trace.matches[0].row])
    result.aligned = True
    return result


def plan(
    cases: list[Case], number: int, others: list[tuple[str, Photo]], seed: int
) -> Iterator[tuple]:
    """Arguments of `trial` for one map."""
    rng = np.random.default_rng([seed, number])
    case = cases[number]
    for index, (photo, truth) in enumerate(case.photos):
        yield photo, truth, "own", "known", False
        yield spoil(photo, rng), truth, "own", "known", True
        if index % 3 == 0:
            yield photo, truth, "own", "no heading", False
        if index % 3 == 1:
            yield photo, truth, "own", "no height", False
        if index % 12 == 2:
            yield photo, truth, "own", "neither", False
    away = [
        ("other map", photo)
        for other in cases
        if other.name != case.name
        for photo, _ in other.photos[number % 3 :: 5]
    ]
    for index, (group, photo) in enumerate(away + others[number % 2 :: 2]):
        yield photo, None, group, "known", False
        if index % 5 == 0:
            yield photo, None, group, "no heading", False
        if index % 30 == 1:
            yield photo, None, group, "neither", False


def chances(trials: list[Trial], constants: AlignedCalibration | None = None) -> np.ndarray:
    """Probability of each trial, 0 where turned away; with the shipped constants if none given."""
    c = constants or shipped().aligned
    x = [c.bias + c.peak * t.peak + c.margin * t.margin + c.agreement * t.agreement for t in trials]
    return np.array(
        [confidence.logistic(v) if t.aligned else 0.0 for v, t in zip(x, trials, strict=True)]
    )


def report(trials: list[Trial]) -> None:
    """Prints what the shipped constants are worth."""
    p = chances(trials)
    right = np.array([t.right for t in trials])
    inside = np.array([t.inside for t in trials])
    clean = np.array([not t.spoilt for t in trials])
    taken = p >= shipped().aligned.accept
    print("| known | photos | right place | fixes | wrong fixes | median | 90 % within | ms |")
    print("|---|---|---|---|---|---|---|---|")
    for mode in UNKNOWN:
        for case in ["all", *sorted({t.case for t in trials})]:
            rows = [i for i, t in enumerate(trials) if t.inside and not t.spoilt and t.mode == mode
                    and case in ("all", t.case)]  # fmt: skip
            if rows and (case == "all" or mode == "known" or not case.startswith("world")):
                found = np.array([trials[i].error_m for i in rows if taken[i]])
                spent = np.median([trials[i].milliseconds for i in rows])
                print(
                    f"| {mode}, {case} | {len(rows)} | {right[rows].mean():.1%} |"
                    f" {taken[rows].mean():.1%} | {(taken & ~right)[rows].sum()} |"
                    f" {np.median(found):.2f} m | {np.percentile(found, 90):.2f} m | {spent:.0f} |"
                )
    print("\n| photos of elsewhere | photos | fixes | highest confidence |\n|---|---|---|---|")
    for group in ["all", *sorted({t.group for t in trials if not t.inside})]:
        rows = [i for i, t in enumerate(trials) if not t.inside and group in ("all", t.group)]
        print(f"| {group} | {len(rows)} | {taken[rows].sum()} | {p[rows].max():.3f} |")
    spoilt = inside & ~clean
    print(f"\nspoilt: right place {right[spoilt].mean():.1%}, fixes {taken[spoilt].mean():.1%},"
          f" wrong {(taken & ~right)[spoilt].sum()} of {taken[spoilt].sum()}")  # fmt: skip
    print(f"AUROC of right against wrong places: confidence {auroc(p, right):.4f}", end="")
    for name in ("agreement", "margin", "peak", "excess", "retrieval_lead"):
        values = np.array([getattr(t, name) for t in trials])
        print(f", {name} {auroc(values, right):.4f}", end="")
    print("\n\n| confidence | trials | mean | right |\n|---|---|---|---|")
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 0.99), (0.99, 1.01)):
        rows = (p >= low) & (p < high)
        if rows.any():
            print(f"| {low:g} … {min(1, high):g} | {rows.sum()} | {p[rows].mean():.3f} |"
                  f" {right[rows].mean():.3f} |")  # fmt: skip
    coverage(trials, taken & right & clean)


def coverage(trials: list[Trial], chosen: np.ndarray) -> None:
    """Prints how many errors the stated spreads hold, by kind of map and by what is known."""
    c = shipped().aligned
    print("\n| errors held by | fixes | 68 % circle | 95 % circle | 68 % of headings |")
    print("|---|---|---|---|---|")
    for kind in ("world", "sheffield", "autzen"):
        for mode in UNKNOWN:
            rows = [t for t, take in zip(trials, chosen, strict=True)
                    if take and t.case.startswith(kind) and t.mode == mode]  # fmt: skip
            if not rows:
                continue
            ratio = [t.error_m / np.hypot(c.floor_m, c.spread * t.sigma_m) for t in rows]
            turned = [
                t.heading_error_deg
                <= np.hypot(c.heading_floor_deg, c.heading_spread * t.heading_sigma_deg)
                for t in rows
            ]
            held = [np.mean(np.array(ratio) <= radius_in_sigmas(share)) for share in (0.68, 0.95)]
            print(f"| {kind}, {mode} | {len(rows)} | {held[0]:.1%} | {held[1]:.1%} |"
                  f" {np.mean(turned):.1%} |")  # fmt: skip


def read_trials(path: Path) -> list[Trial]:
    """The trials kept in a file."""
    return [Trial(**record) for record in json.loads(path.read_text())]


def main() -> None:
    """Makes the trials of a split once, kept in OUT/SPLIT.json, and prints the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=list(WORLD_SEEDS), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--photos", type=int, default=18, help="of each map")
    parser.add_argument("--folder", action="append", default=[], metavar="FOLDER[:PHOTOS]")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / f"{options.split}.json"
    part = kept.with_suffix(".part")
    if not kept.exists():
        first = WORLD_SEEDS[options.split]
        seeds = range(first, first + options.worlds)
        cases = [world_case(options.out / f"world{s}", s, options.photos) for s in seeds]
        for entry in options.folder:
            folder, _, images = entry.partition(":")
            cases.append(folder_case(Path(folder), Path(images or folder), 2 * options.photos))
        others = strangers(options.data, options.split, np.random.default_rng(first))
        trials = []
        for number, case in enumerate(cases):
            trials += [trial(case, *arguments) for arguments in plan(cases, number, others, first)]
            print(f"{case.name}: {len(trials)} trials", flush=True)
            part.write_text(json.dumps([asdict(t) for t in trials]))
        part.replace(kept)
    report(read_trials(kept))


if __name__ == "__main__":
    main()
