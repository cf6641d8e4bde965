r"""Finding photos on a whole large map without a prior: all of it closely, or coarsely first.

Descriptors of other places (`tiles/dubai` at 0.5 m a pixel, `tiles/ucmerced`) fill a square map,
repeated when they do not suffice, and the descriptors of located scenes are laid into it. For every
photo of these scenes: how many places of the map look better than the true one, at full resolution
and pooled (`locate/coarse.py`), and what it costs. Processor time is of all threads together; on a
machine that is not idle it says more than the time that passed.

    python benchmarks/oblique_scene.py ../shared/data/scenes/autzen --out runs/autzen
    python benchmarks/real_drone.py ../shared/data/drone/sheffield_cross --out runs/sheffield
    python benchmarks/whole_map.py ../shared/data/tiles --located runs/autzen runs/autzen \
        --located runs/sheffield ../shared/data/drone/sheffield_cross --km2 26 --every 2
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.evaluation import read_truth_csv
from mobilegeo.locate.coarse import CoarseMap
from mobilegeo.locate.correlate import MapSpectrum, Template
from mobilegeo.locate.hypotheses import hypotheses
from mobilegeo.locate.prior import Box
from mobilegeo.locate.scan import Block, blocks
from mobilegeo.locate.template import view_templates
from mobilegeo.maps import open_map
from mobilegeo.maps.cells import CHUNK_CELLS, FEATURE_STEP, CellBox, FeatureBlock, quantised
from mobilegeo.maps.descriptors import DescriptorBasis, restored, stored
from mobilegeo.maps.pack import MapPack
from mobilegeo.metadata.telemetry import read_telemetry_csv
from mobilegeo.photo import read_photo

PIECE_CELLS = 8
RIGHT_M = 24.0
RANKS = (1, 4, 8, 16)


class ArrayMap:
    """Descriptors in memory; cell (0, 0) is the south-western one.

    Args:
        features: int8 [N, N, C], of the encoder, see `mobilegeo.maps.cells`.
        encoder: the encoder.
    """

    def __init__(self, features: np.ndarray, encoder: Encoder) -> None:
        self.spec = encoder.spec
        known = features[features.any(axis=2)][::7].astype(np.float32) * FEATURE_STEP
        self.basis = DescriptorBasis.of(known)
        rows = [
            stored(self.basis.unit(row * np.float32(FEATURE_STEP), valid), valid)
            for row, valid in zip(features, features.any(axis=2), strict=True)
        ]
        self.cells = cells = np.stack(rows)
        side = len(cells)
        self.feature_extent = CellBox(0, 0, side, side)
        count = side // CHUNK_CELLS
        self.feature_chunks = frozenset((r, c) for r in range(count) for c in range(count))

    @property
    def area(self) -> Box:
        """All of it, metres."""
        side_m = len(self.cells) * self.spec.cell_m
        return Box(0.0, 0.0, side_m, side_m)

    def features(self, x0: int, y0: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """As `MapPack.features`."""
        side = len(self.cells)
        window = np.zeros((height, width, self.cells.shape[2]), np.uint8)
        top = side - (y0 + height)
        rows = slice(max(0, top), min(side, top + height))
        columns = slice(max(0, x0), min(side, x0 + width))
        to = np.s_[rows.start - top : rows.stop - top, columns.start - x0 : columns.stop - x0]
        window[to] = self.cells[rows, columns]
        return restored(window, self.basis.channels)


@dataclass
class Query:
    """A photo's template and its place on the map."""

    templates: list[Template]
    x_m: float
    y_m: float


def pieces(tiles: Path, encoder: Encoder) -> Iterator[np.ndarray]:
    """Features of other places, int8 [8, 8, C] each, neighbours after each other."""
    for path in sorted((tiles / "dubai").rglob("*.jpg")):
        image = cv2.imread(str(path))[:1536, :1536, ::-1]
        step = PIECE_CELLS * encoder.spec.feature_stride_px
        height, width = (side // step * step for side in image.shape[:2])
        if min(height, width):
            found = encoder.features(np.ascontiguousarray(image[None, :height, :width]))[0]
            yield from _cut(quantised(found))
    for path in sorted((tiles / "ucmerced").rglob("*.*")):
        image = cv2.imread(str(path))
        if image is not None:
            small = cv2.resize(image, (154, 154), interpolation=cv2.INTER_AREA)[13:141, 13:141]
            yield from _cut(quantised(encoder.features(small[None, ..., ::-1].copy())[0]))


def _cut(cells: np.ndarray) -> Iterator[np.ndarray]:
    for row in range(0, cells.shape[0] - PIECE_CELLS + 1, PIECE_CELLS):
        for column in range(0, cells.shape[1] - PIECE_CELLS + 1, PIECE_CELLS):
            yield cells[row : row + PIECE_CELLS, column : column + PIECE_CELLS]


def fill(km2: float, other: list[np.ndarray], encoder: Encoder) -> np.ndarray:
    """A square of about that area of other places; repeated pieces are turned by 180°."""
    side = round(1000 * np.sqrt(km2) / encoder.spec.cell_m / CHUNK_CELLS) * CHUNK_CELLS
    cells = np.empty((side, side, encoder.spec.feature_dim), np.int8)
    number = 0
    for row in range(0, side, PIECE_CELLS):
        for column in range(0, side, PIECE_CELLS):
            piece = other[number % len(other)]
            turned = piece[::-1, ::-1] if number // len(other) % 2 else piece
            cells[row : row + PIECE_CELLS, column : column + PIECE_CELLS] = turned
            number += 1
    return cells


def lay_in(cells: np.ndarray, run: Path, encoder: Encoder, corner: int) -> tuple[float, float]:
    """Puts the features of a scene's map at a row and column; gives its frame's origin there."""
    pack = MapPack.open(run / "map.pack")
    e, source = pack.feature_extent, open_map([run / name for name in pack.record["sources"]])
    window = cells[corner : corner + e.height, corner : corner + e.width]
    for row, column in pack.feature_chunks:
        block = FeatureBlock(encoder.spec, column * CHUNK_CELLS, row * CHUNK_CELLS)
        found = block.encode(block.read(source, pack.frame), encoder)
        top, left = e.y0 + e.height - block.y0 - CHUNK_CELLS, block.x0 - e.x0
        part = window[top : top + CHUNK_CELLS, left : left + CHUNK_CELLS]
        part[found.any(axis=2)] = found[found.any(axis=2)]
    south = len(cells) - corner - e.height
    return (corner - e.x0) * pack.spec.cell_m, (south - e.y0) * pack.spec.cell_m


def queries(
    run: Path, photos: Path, every: int, origin: tuple[float, float], world: ArrayMap,
    encoder: Encoder, *, turned: bool,
) -> Iterator[Query]:  # fmt: skip
    """Every n-th photo with a known place, as its telemetry has it, or under all trial headings."""
    pack, table = MapPack.open(run / "map.pack"), read_telemetry_csv(run / "telemetry.csv")
    for truth in read_truth_csv(run / "truth.csv")[::every]:
        path = next(photos.rglob(Path(truth.photo).name))
        photo = read_photo(path, overrides=table.lookup(path), min_side_px=1000)
        height, width = photo.image.shape[:2]
        pose = photo.telemetry.pose
        pose = replace(pose, heading_deg=None) if turned else pose
        views = hypotheses(pose, photo.camera, width, height).views
        x_m, y_m = pack.frame.xy(truth.position)
        templates = view_templates(photo.image, views, encoder, world.basis)
        yield Query(templates, x_m + origin[0], y_m + origin[1])


def full_ranks(world: ArrayMap, found: list[Query]) -> tuple[list[int], float]:
    """Ranks of the true places at full resolution, and seconds for each photo."""
    margin = 12
    strengths: list[list[tuple[float, float, float]]] = [[] for _ in found]
    one = 0.0
    for block in blocks([world.area], world.spec.cell_m):
        start = time.process_time()
        cells, valid = world.features(
            block.x0 - margin, block.y0 - margin,
            block.width + 2 * margin, block.height + 2 * margin,
        )  # fmt: skip
        spectrum = MapSpectrum(cells, valid, 2 * margin)
        one += time.process_time() - start
        start = time.process_time()
        for query, places in zip(found, strengths, strict=True):
            scores = spectrum.correlate(query.templates[0])
            inner = scores[margin : -margin or None, margin : -margin or None]
            places.extend(_best(inner, block))
        one += (time.process_time() - start) / len(found)
    return [_rank(q, sorted(p, reverse=True)) for q, p in zip(found, strengths, strict=True)], one


def _best(scores: np.ndarray, block: Block) -> list[tuple[float, float, float]]:
    x, y = block.corners()
    scores, places = scores.copy(), []
    for _ in range(max(RANKS)):
        row, column = np.unravel_index(int(scores.argmax()), scores.shape)
        places.append((float(scores[row, column]), float(x[column]), float(y[row])))
        scores[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5] = -1.0
    return places


def _rank(query: Query, places: list[tuple[float, float, float]]) -> int:
    """Zero-based place of the first that is right; 999 when none is."""
    for rank, (_, x_m, y_m) in enumerate(places):
        if max(abs(x_m - query.x_m), abs(y_m - query.y_m)) <= RIGHT_M:
            return rank
    return 999


def coarse_ranks(coarse: CoarseMap, area: Box, found: list[Query]) -> tuple[list[int], float]:
    """The same with the coarse map."""
    start, ranks = time.process_time(), []
    for query in found:
        places = coarse.places(query.templates, [area], _anywhere, max(RANKS))
        ranks.append(_rank(query, [(p.strength, p.x_m, p.y_m) for p in places]))
    return ranks, (time.process_time() - start) / len(found)


def _anywhere(_: int, block: Block) -> np.ndarray:
    return np.ones((block.height + 1, block.width + 1), np.bool_)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor and of the clock."""
    cpu, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - clock


def main() -> None:
    """Prints ranks and costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--located", type=Path, nargs=2, action="append", required=True,
                        metavar=("RUN", "PHOTOS"))  # fmt: skip
    parser.add_argument("--km2", type=float, nargs="+", default=[26.0, 100.0])
    parser.add_argument("--every", type=int, default=2, help="take every n-th photo")
    parser.add_argument("--turned", action="store_true",
                        help="heading unknown: 24 trial headings, coarse search only")  # fmt: skip
    parser.add_argument("--encoder", default="first")
    options = parser.parse_args()
    encoder = load_encoder(options.encoder)
    other = list(pieces(options.tiles, encoder))
    print("| map | search | photos | first | in 4 | in 8 | in 16 | processor time a photo |")
    print("|---|---|---|---|---|---|---|---|")
    for km2 in options.km2:
        cells = fill(km2, other, encoder)
        origins = [
            lay_in(cells, run, encoder, 100 + 150 * number)
            for number, (run, _) in enumerate(options.located)
        ]
        world = ArrayMap(cells, encoder)
        found = [
            query
            for (run, photos), origin in zip(options.located, origins, strict=True)
            for query in queries(
                run, photos, options.every, origin, world, encoder, turned=options.turned
            )
        ]
        if not options.turned:
            _row(world, "full resolution", *full_ranks(world, found))
        start, clock = time.process_time(), time.perf_counter()
        coarse = CoarseMap(world)
        cpu, clock = time.process_time() - start, time.perf_counter() - clock
        _row(world, "coarse", *coarse_ranks(coarse, world.area, found))
        many = found[0].templates[:1] * 24
        turned = timed(lambda c=coarse, w=world, m=many: c.places(m, [w.area], _anywhere))
        print(
            f"\n{world.area.area_m2 / 1e6:.0f} km²: the coarse map is made in {cpu:.2f} s of "
            f"processor time ({clock:.2f} s passed); 24 headings take {turned[0]:.2f} s "
            f"({turned[1]:.2f} s passed); most memory "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB\n"
        )


def _row(world: ArrayMap, name: str, ranks: list[int], seconds: float) -> None:
    shares = " | ".join(f"{100 * np.mean([r < n for r in ranks]):.1f} %" for n in RANKS)
    area = world.area.area_m2 / 1e6
    print(f"| {area:.0f} km² | {name} | {len(ranks)} | {shares} | {seconds:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
