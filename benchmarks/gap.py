r"""How far apart two views of one place are, simulated and real: the photometric gap in numbers.

The untrained features of both views of a place (stage 4 of the ImageNet trunk, standardised) are
compared cell by cell; the mean cosine over the cells that both cover is 1 for equal views and about
0 for unrelated ones. Views may shift by a cell against each other, as real positions are off by
metres. The simulated gap should be as wide as the widest real one, and not wider by far: what the
features cannot recognise, no head can.

    python benchmarks/gap.py ../shared/data --sites runs/suite --out runs/study \
        --weights ../shared/weights/mobilenetv2_100_imagenet.safetensors
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import torch

from mobilegeo.encoder import load_encoder
from mobilegeo.learn.datasets.simulated import SimulatedPairs, Simulation
from mobilegeo.learn.evaluation.tables import Record, markdown_table
from mobilegeo.learn.layout.cache import load_pools
from mobilegeo.learn.layout.loop import prepare
from mobilegeo.learn.models.heads import cell_coverage
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.locate.stopwatch import Stopwatch
from mobilegeo.maps import open_map
from outside import photos_of
from simulation_study import study_config, study_parser
from suite_sites import AUTZEN, CALITERRA, SHEFFIELD, WORLD, Site, site_at

SIMULATIONS = {
    "simulated: nothing but noise of the trunk": Simulation(False, False, False, False),
    "simulated: ground": Simulation(True, False, False, False),
    "simulated: cameras": Simulation(False, True, False, False),
    "simulated: ground, cameras, relief (as trained)": Simulation(telemetry=False),
}
REAL = {
    "real, other flight of the day (sheffield)": SHEFFIELD,
    "real, same flight (caliterra)": CALITERRA,
    "rendered, other season (worlds)": f"{WORLD}2003",
    "rendered, falsified (autzen)": AUTZEN,
}
COVERED = 0.8
"""Least share of a cell inside the photo."""
SHIFTS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]


def alike(grids: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Mean cosine of covered cells, the best of `SHIFTS`, float64 [N].

    Args:
        grids: float32 [N, 2, C, h, w].
        coverage: float32 [N, 2, h, w], 0 … 1.
    """
    unit = grids / np.maximum(np.linalg.norm(grids, axis=2, keepdims=True), 1e-6)
    best = np.full(len(grids), -1.0)
    for shift in SHIFTS:
        other, seen = (np.roll(a[:, 1], shift, (-2, -1)) for a in (unit, coverage))
        inner = np.zeros(coverage.shape[-2:], bool)
        inner[1:-1, 1:-1] = True
        both = (coverage[:, 0] > COVERED) & (seen > COVERED) & inner
        cosine = (unit[:, 0] * other).sum(axis=1)
        mean = (cosine * both).sum(axis=(1, 2)) / np.maximum(both.sum(axis=(1, 2)), 1)
        best = np.maximum(best, mean)
    return best


def real_pairs(site: Site) -> list[tuple[np.ndarray, np.ndarray]]:
    """Normalised photos and the map at their true places."""
    encoder = load_encoder("first")
    localizer = Localizer(site.pack(encoder), encoder, Options(ignore_gps=True))
    source, frame = open_map([site.folder / "map.tif"]), localizer.pack.frame
    pairs = []
    for photo, truth in photos_of(site.folder, site.images):
        (query,) = localizer.prepare(photo, None, Stopwatch()).queries
        x_m, y_m = frame.xy(truth.position)
        size, half = encoder.spec.size_px, query.footprint_m / 2
        patch = source.read(frame, x_m - half, y_m + half, query.patch.gsd_m, size, size)
        pairs.append((query.patch.image, encoder.spec.fill(patch.image, patch.valid)))
    return pairs


def row(name: str, pairs: list[tuple[np.ndarray, np.ndarray]], session) -> Record:
    """The cosines of true pairs, and of each view with the next one's partner."""
    images = np.array(pairs)
    flat = images.reshape(-1, *images.shape[2:])
    grids, coverage = [], []
    for start in range(0, len(flat), 32):
        batch = flat[start : start + 32]
        pixels = batch.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0
        grids.append(session.run(["features"], {"image": pixels})[0])
        seen = cell_coverage(torch.from_numpy(pixels), batch.shape[2] // grids[-1].shape[3])
        coverage.append(seen[:, 0].numpy())
    both = np.concatenate(grids).reshape(len(images), 2, *grids[0].shape[1:])
    seen = np.concatenate(coverage).reshape(len(images), 2, *coverage[0].shape[1:])
    mixed = np.stack([both[:, 0], np.roll(both[:, 1], 1, axis=0)], axis=1)
    mixed_seen = np.stack([seen[:, 0], np.roll(seen[:, 1], 1, axis=0)], axis=1)
    low, middle, high = np.quantile(alike(both, seen), (0.1, 0.5, 0.9))
    other = np.median(alike(mixed, mixed_seen))
    columns = {"lowest tenth": low, "median": middle, "highest tenth": high, "unrelated": other}
    return {"pair": name, "pairs": len(images), **{k: float(v) for k, v in columns.items()}}


def main() -> None:
    """Prints the table."""
    parser = study_parser(__doc__)
    parser.add_argument("--groups", type=int, default=50)
    options = parser.parse_args()
    config = study_config(options)
    config = replace(config, exits=(), teachers=(), cache=options.out / "cache", out=options.out)
    _, trunk = prepare(replace(config, objective=type(config.objective)()))
    session = onnxruntime.InferenceSession(trunk)
    sources, pools = load_pools(config.sources, config.data_root)
    rows = []
    for name, simulation in SIMULATIONS.items():
        drawn = SimulatedPairs(sources, pools, config.group_size, 224, 99, simulation)
        pairs = [(p.query, p.tile) for number in range(options.groups) for p in drawn.group(number)]
        rows.append(row(name, pairs, session))
    for name, site in REAL.items():
        pairs = real_pairs(site_at(site, options.data, options.sites / "sites"))
        rows.append(row(name, pairs, session))
    print(markdown_table(rows, digits=2))


if __name__ == "__main__":
    main()
