r"""What alignment loses when a map keeps fewer channels and bits of the encoder's features.

Every map is described once in full; its photos are then aligned with all of it, without a prior,
under the telemetry that they claim, with descriptors of K principal directions, whitened by W and
stored in so many bits (`mobilegeo.maps.descriptors`). Prints positions (within 25 m are right),
what tells a right place from others (margin, peak over noise, agreement of cells), and what a map
takes on disk.

    python benchmarks/descriptors.py --located runs/autzen runs/autzen \
        --located runs/sheffield ../shared/data/drone/sheffield_cross/images
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilegeo.camera import GroundView
from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.evaluation import read_truth_csv
from mobilegeo.geo import distance_m
from mobilegeo.locate.align import Aligner, Alignment
from mobilegeo.locate.confidence import margin
from mobilegeo.locate.hypotheses import hypotheses
from mobilegeo.locate.prior import Box
from mobilegeo.locate.resolution import DECODE_SIDE_PX
from mobilegeo.maps import open_map
from mobilegeo.maps.cells import CHUNK_CELLS, FEATURE_STEP, FeatureBlock
from mobilegeo.maps.descriptors import LEVELS, REACH, DescriptorBasis, unit_cells
from mobilegeo.maps.pack import MapPack
from mobilegeo.metadata.telemetry import TelemetryTable, read_telemetry_csv
from mobilegeo.photo import Photo, read_photo

RIGHT_M = 25.0
VARIANTS = (
    (96, 0.0, 8), (64, 0.0, 8), (48, 0.0, 8), (32, 0.0, 8), (16, 0.0, 8),
    (96, 1.0, 8), (64, 1.0, 8), (48, 1.0, 8), (32, 1.0, 8), (16, 1.0, 8),
    (48, 0.5, 8), (48, 1.0, 4), (32, 1.0, 4), (48, 1.0, 1), (96, 1.0, 1),
)  # fmt: skip
"""Channels, whitening, bits."""


@dataclass(frozen=True)
class Reduced:
    """A map's features, reduced; stands in for `MapPack` in alignment."""

    pack: MapPack
    basis: DescriptorBasis
    cells: np.ndarray
    valid: np.ndarray

    def __getattr__(self, name: str) -> object:
        return getattr(self.pack, name)

    def features(self, x0: int, y0: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """As `MapPack.features`."""
        e = self.pack.feature_extent
        top, left = e.y0 + e.height - (y0 + height), x0 - e.x0
        cells = np.zeros((height, width, self.cells.shape[2]), np.float32)
        valid = np.zeros((height, width), bool)
        rows = slice(max(0, top), max(0, min(e.height, top + height)))
        columns = slice(max(0, left), max(0, min(e.width, left + width)))
        to = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        if rows.start < rows.stop and columns.start < columns.stop:
            cells[to], valid[to] = self.cells[rows, columns], self.valid[rows, columns]
        return cells, valid


@dataclass(frozen=True)
class Case:
    """A map described in full, float32 [H, W, C], and its photos with views and places."""

    pack: MapPack
    features: np.ndarray
    valid: np.ndarray
    photos: list[tuple[Photo, GroundView, tuple[float, float]]]


def described(run: Path, photos: Path, every: int, encoder: Encoder) -> Case:
    """A folder made by `real_drone.py`, `oblique_scene.py` or `worlds.py`."""
    pack = MapPack.open(run / "map.pack")
    e, source = pack.feature_extent, open_map([run / name for name in pack.record["sources"]])
    features = np.zeros((e.height, e.width, encoder.spec.feature_dim), np.float32)
    for row, column in pack.feature_chunks:
        block = FeatureBlock(encoder.spec, column * CHUNK_CELLS, row * CHUNK_CELLS)
        top, left = e.y0 + e.height - block.y0 - CHUNK_CELLS, block.x0 - e.x0
        found = block.encode(block.read(source, pack.frame), encoder)
        features[top : top + CHUNK_CELLS, left : left + CHUNK_CELLS] = found * FEATURE_STEP
    table = TelemetryTable("", ())
    if (run / "telemetry.csv").exists():
        table = read_telemetry_csv(run / "telemetry.csv")
    chosen = []
    for truth in read_truth_csv(run / "truth.csv")[::every]:
        path = next(photos.rglob(Path(truth.photo).name))
        photo = read_photo(path, overrides=table.lookup(path), min_side_px=DECODE_SIDE_PX)
        height, width = photo.image.shape[:2]
        view = hypotheses(photo.telemetry.pose, photo.camera, width, height).views[0]
        chosen.append((photo, view, truth.position))
    return Case(pack, features, features.any(axis=2), chosen)


def reduced(case: Case, channels: int, whitening: float, bits: int) -> Reduced:
    """The map with fewer channels and bits."""
    known = case.features[case.valid]
    mean, std = known.mean(axis=0), known.std(axis=0)
    unit = unit_cells((known - mean) / std, np.ones(len(known), bool))
    values, vectors = np.linalg.eigh(unit.T @ unit / len(unit))
    order = slice(None, -channels - 1, -1)
    axes = vectors[:, order] * values[order] ** (-whitening / 2)
    basis = DescriptorBasis(mean, std, axes.astype(np.float32))
    cells = basis.unit(case.features, case.valid)
    levels = {8: 127, 4: LEVELS, 1: 0}[bits]
    if levels:
        step = REACH / (levels * np.sqrt(channels))
        cells = np.clip(np.rint(cells / step), -levels, levels).astype(np.float32)
    else:
        cells = np.sign(cells)
    return Reduced(case.pack, basis, unit_cells(cells, case.valid), case.valid)


def aligned(case: Case, feature_map: Reduced, encoder: Encoder) -> list[tuple[Alignment, float]]:
    """Alignments of all photos, and their errors in metres."""
    e, cell_m = case.pack.feature_extent, case.pack.spec.cell_m
    box = Box(*(v * cell_m for v in (e.x0, e.y0, e.x0 + e.width, e.y0 + e.height)))
    found = []
    for photo, view, place in case.photos:
        best = Aligner(feature_map, encoder, photo.image).align([view], [box])
        point = case.pack.frame.point(best.best.x_m, best.best.y_m)
        found.append((best, distance_m(point, place)))
    return found


def row(name: str, variant: tuple[int, float, int], found: list, cell_m: float) -> str:
    """A line of the table."""
    channels, whitening, bits = variant
    right = [(a, e) for a, e in found if e <= RIGHT_M]
    errors = np.array([e for _, e in right])
    margins = [margin(a) for a, _ in right]
    over = [(a.best.strength - a.noise_mean) / a.noise_std for a, _ in right]
    agreements = [a.agreement for a, _ in right]
    megabytes = channels * bits / 8 / cell_m**2
    return (
        f"| {name} | {channels} | {whitening:g} | {bits} | {megabytes:.2f} | {len(right)} of"
        f" {len(found)} | {np.median(errors):.2f} m | {np.sqrt((errors**2).mean()):.2f} m |"
        f" {np.median(margins):.3f} | {np.quantile(margins, 0.1):.3f} | {np.median(over):.1f} |"
        f" {np.median(agreements):.3f} |"
    )


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--located", type=Path, nargs=2, action="append", required=True,
                        metavar=("RUN", "PHOTOS"))  # fmt: skip
    parser.add_argument("--every", type=int, default=3, help="take every n-th photo")
    parser.add_argument("--encoder", default="first")
    options = parser.parse_args()
    encoder = load_encoder(options.encoder)
    print("| map | channels | whitening | bits | MB/km² | right | median | root mean square |"
          " margin | its tenth | peak over noise | agreement |\n|" + "---|" * 12)  # fmt: skip
    for run, photos in options.located:
        case = described(run, photos, options.every, encoder)
        for variant in VARIANTS:
            found = aligned(case, reduced(case, *variant), encoder)
            print(row(run.name, variant, found, case.pack.spec.cell_m), flush=True)


if __name__ == "__main__":
    main()
