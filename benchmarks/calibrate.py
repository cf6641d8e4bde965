"""Fits the constants of `locate/confidence.py` on photos whose position is known.

Maps: generated worlds (each photographed in another season than mapped) and, where given, folders
made by `real_drone.py`. Every photo is located on its own map, and on one map that does not show
it (every fix there is wrong). A copy of each photo is spoilt (blur, haze, noise, colour, JPEG) and
its telemetry falsified beyond what is usual, so that there are doubtful cases to learn from. Some
photos are also tried without their heading, some without heading and height.

Half of the maps are left out of the fit and used to report what it is worth.

    python benchmarks/calibrate.py --out runs/calibrate --worlds 8 --folders runs/sheffield
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mobilegeo.encoder import encoder_for, load_encoder
from mobilegeo.evaluation import read_truth_csv
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.locate import confidence
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.metadata.telemetry import TelemetryTable, read_telemetry_csv
from mobilegeo.photo import Photo, read_photo
from mobilegeo.world.demo import write_demo

RIGHT_M = 25.0
UNKNOWN = {
    "known": (),
    "no heading": ("heading_deg",),
    "no heading, no height": ("heading_deg", "agl_m"),
}


@dataclass
class Case:
    """A map and its photos."""

    name: str
    localizer: Localizer
    photos: list[tuple[Photo, LatLon]]


@dataclass
class Trial:
    """One photo on one map."""

    case: str
    photo: str
    inside: bool
    spoilt: bool
    mode: str
    error_m: float | None
    peak: float
    strength: float
    noise_std: float
    width_m: float
    excess: float
    margin: float
    retrieval_score: float
    retrieval_lead: float
    retrieval_error_m: float | None
    footprint_m: float

    @property
    def right(self) -> bool:
        """Whether the aligned answer is the right place."""
        return self.error_m is not None and self.error_m <= RIGHT_M


def world_case(folder: Path, seed: int, photos: int) -> Case:
    """A generated world with its pack, made once."""
    if not (folder / "map.pack").is_dir():
        files = write_demo(folder, seed, photos=photos)
        build_pack(open_map([files.map_tif]), folder / "map.pack", load_encoder())
    return _case(folder, sorted((folder / "photos").glob("*.jpg")), TelemetryTable("", ()))


def folder_case(folder: Path, images: Path, photos: int) -> Case:
    """A folder made by `real_drone.py`, and where its photos are; evenly spaced ones are taken."""
    table = read_telemetry_csv(folder / "telemetry.csv")
    rows = table.rows[:: max(1, len(table) // photos)]
    return _case(folder, [images / str(row.photo) for row in rows], table)


def _case(folder: Path, files: list[Path], table: TelemetryTable) -> Case:
    truth = {row.photo: row.position for row in read_truth_csv(folder / "truth.csv")}
    pack = MapPack.open(folder / "map.pack")
    options = Options(ignore_gps=True, top=20)
    photos = [
        (read_photo(file, telemetry=table.lookup(file), min_side_px=700), truth[file.name])
        for file in files
    ]
    return Case(folder.name, Localizer(pack, encoder_for(pack), options), photos)


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


def trial(case: Case, photo: Photo, truth: LatLon | None, mode: str, spoilt: bool) -> Trial | None:
    """Locates one photo and notes the evidence; `None` when it was turned away before."""
    trace = case.localizer.trace(forget(photo, UNKNOWN[mode]))
    found, pack = trace.alignment, case.localizer.pack
    if found is None:
        return None
    answer = confidence.retrieval_answer(trace.matches, pack.tiles)
    score, lead = confidence.retrieval_evidence(trace.matches, pack.tiles)

    def error(x_m: float, y_m: float) -> float | None:
        return None if truth is None else distance_m(truth, pack.frame.point(x_m, y_m))

    return Trial(
        case.name, Path(photo.source).name, truth is not None, spoilt, mode,
        error(found.best.x_m, found.best.y_m), found.best.score, found.best.strength,
        found.noise_std, found.width_m,
        confidence.excess(found), confidence.margin(found), score, lead,
        error(answer.x_m, answer.y_m), float(pack.tiles.footprint_m[trace.matches[0].row]),
    )  # fmt: skip


def run(cases: list[Case], seed: int) -> list[Trial]:
    """All trials of all photos on their own map, and on the next one."""
    rng = np.random.default_rng(seed)
    trials = []
    for number, case in enumerate(cases):
        # Not the next one: two folders in a row may show the same ground.
        stranger = cases[(number + len(cases) // 2) % len(cases)]
        for index, (photo, truth) in enumerate(case.photos):
            bad = spoil(photo, rng)
            plan = [("known", photo, False), ("known", bad, True)]
            if index % 3 == 0:
                plan += [("no heading", photo, False), ("no heading", bad, True)]
            if index % 9 == 0:
                plan += [("no heading, no height", photo, False)]
            for mode, version, spoilt in plan:
                trials.append(trial(case, version, truth, mode, spoilt))
                trials.append(trial(stranger, version, None, mode, spoilt))
        print(f"{case.name}: {len(case.photos)} photos", flush=True)
    return [t for t in trials if t is not None]


def logistic_fit(evidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Logistic regression by Newton's method with a little ridge; [1 + K] coefficients."""
    design = np.column_stack([np.ones(len(evidence)), evidence])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-2 * np.eye(len(weights))
        weights += np.linalg.solve(hessian, design.T @ (right - p) - 1e-2 * weights)
    return weights


def describe(trials: list[Trial], accept: float, fit: np.ndarray) -> None:
    """Prints rates of right and wrong fixes, by mode."""
    for mode in UNKNOWN:
        chosen = [t for t in trials if t.mode == mode]
        if not chosen:
            continue
        p = 1 / (1 + np.exp(-(fit[0] + np.array([[t.peak, t.margin] for t in chosen]) @ fit[1:])))
        inside = np.array([t.inside for t in chosen])
        spoilt = np.array([t.spoilt for t in chosen])
        right = np.array([t.right for t in chosen])
        taken = p >= accept
        print(
            f"{mode:22} n {len(chosen):4}  right place {right[inside & ~spoilt].mean():.3f}"
            f" (spoilt {right[inside & spoilt].mean() if spoilt.any() else np.nan:.3f})"
            f"  accepted {taken[inside & ~spoilt].mean():.3f}"
            f"  wrong among accepted {(taken & ~right).sum()}/{taken.sum()}"
            f"  outside accepted {(taken & ~inside).sum()}/{(~inside).sum()}"
        )


def compare_evidence(trials: list[Trial]) -> None:
    """Prints log loss and AUROC of regressions on other evidence, each map left out in turn."""
    columns = {name: np.array([getattr(t, name) for t in trials]) for name in
               ("peak", "margin", "excess")}  # fmt: skip
    right = np.array([t.right for t in trials], dtype=float)
    maps = np.array([t.case for t in trials])
    for names in (("excess", "margin"), ("peak", "margin"), ("peak", "margin", "excess")):
        evidence = np.stack([columns[name] for name in names], axis=1)
        p = np.empty(len(trials))
        for left_out in set(maps):
            fit = logistic_fit(evidence[maps != left_out], right[maps != left_out])
            p[maps == left_out] = 1 / (1 + np.exp(-(fit[0] + evidence[maps == left_out] @ fit[1:])))
        loss = -np.mean(np.log(np.clip(np.where(right > 0, p, 1 - p), 1e-9, 1)))
        above = p[right > 0][:, None] > p[right == 0][None]
        print(f"{', '.join(names)}: log loss {loss:.3f}, AUROC {above.mean():.4f}")


def main() -> None:
    """Runs the trials (kept in OUT/trials.json) and prints the fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--photos", type=int, default=18)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--folders", nargs="*", type=Path, default=[])
    parser.add_argument("--photo-folder", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "trials.json"
    if not kept.exists():
        seeds = range(options.seed, options.seed + options.worlds)
        cases = [world_case(options.out / f"world{s}", s, options.photos) for s in seeds]
        cases += [
            folder_case(folder, options.photo_folder, options.photos) for folder in options.folders
        ]
        kept.write_text(json.dumps([asdict(t) for t in run(cases, options.seed)]))
    trials = [Trial(**t) for t in json.loads(kept.read_text())]
    names = sorted({t.case for t in trials})
    fitted = set(names[::2])
    train = [t for t in trials if t.case in fitted]
    test = [t for t in trials if t.case not in fitted]

    evidence = np.array([[t.peak, t.margin] for t in train])
    fit = logistic_fit(evidence, np.array([t.right for t in train], dtype=float))
    print(f"aligned: bias {fit[0]:.2f}, peak {fit[1]:.2f}, margin {fit[2]:.2f}")
    print("maps left out of the fit")
    describe(test, confidence.ALIGNED.accept, fit)
    shipped = np.array([getattr(confidence.ALIGNED, n) for n in ("bias", "peak", "margin")])
    print("all maps, constants as shipped")
    describe(trials, confidence.ALIGNED.accept, shipped)

    compare_evidence(trials)

    sure = np.array([t.error_m for t in trials if t.inside and not t.spoilt and t.mode == "known"])
    print(f"known, not spoilt: {len(sure)} photos, median {np.median(sure):.1f} m, 90 % within "
          f"{np.percentile(sure, 90):.1f} m, largest {sure.max():.1f} m")  # fmt: skip
    fixes = [t for t in trials if t.right and not t.spoilt]
    noise = np.array([t.width_m * t.noise_std / t.strength for t in fixes])
    error = np.array([t.error_m for t in fixes])
    print(
        f"errors: median {np.median(error):.2f} m; width · s / p: median {np.median(noise):.2f} m"
    )
    best = min(
        ((spread, floor) for spread in np.arange(0, 4, 0.1) for floor in np.arange(0.3, 4, 0.1)),
        key=lambda c: float(_rayleigh_cost(error, np.hypot(c[1], c[0] * noise))),
    )
    sigma = np.hypot(best[1], best[0] * noise)
    print(f"sigma: spread {best[0]:.1f}, floor {best[1]:.1f} m; within 1.510 sigma "
          f"{(error <= 1.510 * sigma).mean():.3f}, within 2.448 sigma "
          f"{(error <= 2.448 * sigma).mean():.3f}")  # fmt: skip

    tiles = np.array([[t.retrieval_score, t.retrieval_lead] for t in train])
    near = np.array([t.retrieval_error_m is not None and t.retrieval_error_m <= t.footprint_m / 2
                     for t in train], dtype=float)  # fmt: skip
    fit = logistic_fit(tiles, near)
    print(f"retrieved: bias {fit[0]:.2f}, score {fit[1]:.2f}, lead {fit[2]:.2f}")
    shares = [t.retrieval_error_m / t.footprint_m for t in trials if t.inside]
    share = [value for value in shares if value <= 0.5]
    print(f"retrieved: error / footprint, root mean square along an axis "
          f"{np.sqrt(np.mean(np.square(share)) / 2):.3f}")  # fmt: skip
    with (options.out / "trials.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, asdict(trials[0]))
        writer.writeheader()
        writer.writerows(asdict(t) for t in trials)


def _rayleigh_cost(error: np.ndarray, sigma: np.ndarray) -> float:
    """Negative log likelihood of error lengths under isotropic normal errors."""
    return float(np.sum(2 * np.log(sigma) + error**2 / (2 * sigma**2)))


if __name__ == "__main__":
    main()
