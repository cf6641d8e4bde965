"""What adapting an encoder to a map gains, on ground and photos that adapting has not seen.

Cases, each with an encoder adapted by `mobilegeo learn adapt`:

- `banepa`: adapted to the tiles of `train`; simulated photos of `predict` among its tiles (R@1).
- `autzen, other half`: adapted to the northern half of the scene with its surface model; simulated
  surveys of the southern half (metres), whose looks and photos' colours are none of training.
- `autzen, own half`: adapted to the southern half itself, as a user does to the map that he flies
  over; the same surveys.
- `sheffield`, `sheffield swapped`: adapted to the map of one flight direction's photos; the other
  direction's real photos on that map, by retrieval alone and aligned (metres).

Original and adapted encoder are judged alike on the same images. Every case's result is kept in
OUT: started again, it goes on. Writes a table into `--report`.

    nice python benchmarks/adapt.py ../shared/data --out runs/adapt --minutes 10 \
        --report docs/results/adapt.md
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

import real_drone
from mobilegeo.bench.machine import cores, cpu_name
from mobilegeo.encoder import load_encoder
from mobilegeo.encoder.base import Encoder
from mobilegeo.encoder.registry import DEFAULT
from mobilegeo.evaluation import evaluate, read_truth_csv
from mobilegeo.learn.datasets.simulated import Pool, SimulatedPairs
from mobilegeo.learn.datasets.sources import SourceSpec, read_sources
from mobilegeo.learn.evaluation.report import read_looks
from mobilegeo.learn.evaluation.survey import position_errors_m, simulate_survey
from mobilegeo.learn.evaluation.tables import Record, markdown_table
from mobilegeo.learn.export.recall import RecallChange, recall_on_pairs
from mobilegeo.locate.batch import locate_photos
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.metadata.telemetry import Telemetry, read_telemetry_csv
from mobilegeo.output.atomic import make_folder, write_atomically
from oblique_scene import FOOT_M, Site

PREDICT_FOOTPRINTS_M = (40.0, 120.0)
PREDICT_QUERIES = 1000
SURVEY_SEEDS = (0, 1, 2)
FOOTPRINTS_M = (40.0, 80.0)
"""Of the map of real photos, as in `suite_sites.py`."""


@dataclass(frozen=True)
class Task:
    """What all cases share.

    Attributes:
        data: folder of all imagery.
        out: of maps, encoders and results.
        encoder: that is adapted.
        minutes: for each adaptation.
        seed: of each adaptation.
    """

    data: Path
    out: Path
    encoder: str
    minutes: float
    seed: int

    def adapted(self, name: str, map_path: Path, dsm: Path | None = None) -> tuple[Record, Encoder]:
        """Adapts to a map, or reads what was adapted before: the record, and the encoder."""
        path = self.out / f"{name}.onnx"
        record = path.with_suffix(".adapted.json")
        if not record.exists():
            relief = [] if dsm is None else ["--dsm", dsm]
            real_drone.mobilegeo(
                "learn", "adapt", map_path, *relief, "--minutes", self.minutes, "-o", path,
                "--encoder", self.encoder, "--seed", self.seed,
            )  # fmt: skip
        found = json.loads(record.read_text())
        recall = found["recall"]
        own = {
            "kept": found["kept"],
            "held-out R@1 of its own map, %": f"{100 * recall['before']:.1f} → "
            f"{100 * recall['after']:.1f} ± {100 * recall['standard_error']:.1f}",
            "pairs": found["views"],
            "steps": found["fit"]["steps"],
        }
        return own, load_encoder(path)


def banepa(task: Task) -> Record:
    """Neighbouring tiles of one town."""
    tiles = task.data / "tiles/banepa"
    own, adapted = task.adapted("banepa", tiles / "train/oam")
    sources = read_sources(SourceSpec("xyz", "tiles/banepa/predict", zoom=19), task.data)
    pool = Pool(1.0, PREDICT_FOOTPRINTS_M, tuple(range(len(sources))))
    views = SimulatedPairs(sources, [pool], seed=1000 + task.seed)
    encoders = (load_encoder(task.encoder), adapted)
    hits = recall_on_pairs(encoders, views, PREDICT_QUERIES, lambda *_: None)
    change = RecallChange.of(*hits)
    return own | {
        "judged on": f"{change.queries} simulated photos",
        "measure": "R@1, %",
        "original": f"{100 * change.before:.1f}",
        "adapted": f"{100 * change.after:.1f}",
        "difference": f"{-100 * change.drop:+.1f} ± {100 * change.standard_error:.1f}",
    }


def autzen_other_half(task: Task) -> Record:
    """A scene's other half."""
    return _autzen(task, "north", 0.0, 0.5)


def autzen_own_half(task: Task) -> Record:
    """The very ground that is flown over."""
    return _autzen(task, "south", 0.5, 1.0)


def _autzen(task: Task, name: str, top: float, bottom: float) -> Record:
    ortho, surface = _write_rows(task, name, top, bottom)
    own, adapted = task.adapted(f"autzen-{name}", ortho, surface)
    (scene,) = read_sources(SourceSpec("scene", "scenes/autzen", top=0.5), task.data)
    looks = read_looks(task.data / "drone")
    surveys = [simulate_survey(scene, looks, seed) for seed in SURVEY_SEEDS]
    errors = [
        np.concatenate([position_errors_m(survey, encoder.embed) for survey in surveys])
        for encoder in (load_encoder(task.encoder), adapted)
    ]
    near = [error < 50.0 for error in errors]
    change = RecallChange.of(*near)
    medians = [f"{np.median(error):.1f} m" for error in errors]
    return own | {
        "judged on": f"{change.queries} simulated photos",
        "measure": "within 50 m, %; median",
        "original": f"{100 * change.before:.1f}; {medians[0]}",
        "adapted": f"{100 * change.after:.1f}; {medians[1]}",
        "difference": f"{-100 * change.drop:+.1f} ± {100 * change.standard_error:.1f}",
    }


def _write_rows(task: Task, name: str, top: float, bottom: float) -> tuple[Path, Path]:
    """Some rows of the scene, as a map and a surface model."""
    site = Site(task.data / "scenes/autzen")
    files = task.out / f"autzen-{name}.tif", task.out / f"autzen-{name}-dsm.tif"
    surface = site.scene.surface_m
    for path, raster in zip(files, (site.ortho, surface[..., None]), strict=True):
        height, width = raster.shape[:2]
        side_ft = site.scene.width_m / width / FOOT_M
        first, last = round(top * height), round(bottom * height)
        west_ft, north_ft = site.origin_ft
        profile = {
            "driver": "GTiff", "width": width, "height": last - first, "count": raster.shape[2],
            "dtype": raster.dtype, "crs": "EPSG:2994", "compress": "deflate", "tiled": True,
            "transform": from_origin(west_ft, north_ft - first * side_ft, side_ft, side_ft),
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.moveaxis(raster[first:last], 2, 0))
    return files


def sheffield(task: Task) -> Record:
    """Real photos, on the map of those flown east and west."""
    return _sheffield(task, "sheffield", swap=False)


def sheffield_swapped(task: Task) -> Record:
    """Real photos, on the map of those flown north and south."""
    return _sheffield(task, "sheffield-swapped", swap=True)


def _sheffield(task: Task, name: str, *, swap: bool) -> Record:
    folder = task.out / name
    make_folder(folder)
    photos = real_drone.prepare(task.data / "drone/sheffield_cross", folder, swap)
    own, adapted = task.adapted(name, folder / "map.tif")
    paths = [shot.path for shot in photos]
    both = [_located(folder, paths, e) for e in (load_encoder(task.encoder), adapted)]
    (before, aligned_before), (after, aligned_after) = both
    return own | {
        "judged on": f"{len(photos)} real photos",
        "measure": "tiles: median; 90 %; fixes; aligned: median",
        "original": f"{before}; {aligned_before}",
        "adapted": f"{after}; {aligned_after}",
        "difference": "",
    }


def _located(folder: Path, photos: list[Path], encoder: Encoder) -> tuple[str, str]:
    """Errors by retrieval alone, and the median aligned."""
    pack = build_pack(
        open_map([folder / "map.tif"]), folder / f"{encoder.sha256[:12]}.pack", encoder,
        footprints_m=FOOTPRINTS_M, overwrite=True,
    )  # fmt: skip
    truth = read_truth_csv(folder / "truth.csv")
    telemetry = read_telemetry_csv(folder / "telemetry.csv")
    found = []
    for only_tiles in (True, False):
        options = Options(retrieval_only=only_tiles, ignore_gps=True)
        localizer = Localizer(pack, encoder, options)
        fixes = [t.fix for t in locate_photos(localizer, photos, telemetry, Telemetry())]
        found.append(evaluate(fixes, truth))
    tiles, aligned = found
    return (
        f"{tiles.median_error_m:.1f} m; {tiles.p90_error_m:.1f} m; {tiles.fixes}",
        f"{aligned.median_error_m:.1f} m",
    )


CASES: dict[str, Callable[[Task], Record]] = {
    "banepa": banepa,
    "autzen, other half": autzen_other_half,
    "autzen, own half": autzen_own_half,
    "sheffield": sheffield,
    "sheffield swapped": sheffield_swapped,
}

LEGEND = """\
Every case is adapted for as long as the command says, on the machine named above, export included.
*Held-out R@1 of its own map* is what `learn adapt` measures and decides by: simulated photos of
blocks of the map that were not trained on. *Judged on* is ground or photos that adapting has not
seen, but for *own half*, whose ground it has seen under other looks. ± is one standard error of the
difference, from the photos that only one of both gets right.

- `banepa`: photos of `predict`, 40 to 120 m wide, among as many tiles of it.
- `autzen`: three simulated surveys of the southern half, 1,232 tiles of 120 m, 20 m apart, 100
  photos each; share within 50 m; median.
- `sheffield`: real photos of one flight direction on the mosaic of the other's, tiles of 40 and
  80 m, no GPS. Median error, error of nine in ten, and fixes, by retrieval alone; then the median
  error aligned, which rests on features that stay as they are.
"""


def run_case(task: Task, name: str) -> Record:
    """A case's row; what was judged before is read."""
    kept = task.out / f"{name.replace(', ', '-').replace(' ', '-')}.json"
    if not kept.exists():
        row = {"case": name, **CASES[name](task)}
        write_atomically(kept, json.dumps(row).encode())
    row = json.loads(kept.read_text())
    print(row, flush=True)
    return row


def main() -> None:
    """Runs the cases asked for and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--report", type=Path, help="such as docs/results/adapt.md")
    parser.add_argument("--note", default="", help="said of the machine in the report")
    options = parser.parse_args()
    make_folder(options.out)
    task = Task(options.data, options.out, options.encoder, options.minutes, options.seed)
    rows = [run_case(task, name) for name in options.only]
    page = (
        f"# Adapting to a map\n\nDate {date.today()}, {cores()}-core CPU ({cpu_name()})"
        f"{options.note and ', '}{options.note}, encoder `{options.encoder}`.\n\n"
        f"```\npython {shlex.join(sys.argv)}\n```\n\n{LEGEND}\n{markdown_table(rows, digits=1)}"
    )
    print(page)
    if options.report is not None:
        write_atomically(options.report, page.encode())


if __name__ == "__main__":
    main()
