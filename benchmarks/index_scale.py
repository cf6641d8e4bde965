"""How long a map of many tiles takes to open and to search, and what approximate search misses.

A synthetic map is written (`benchmarks/synthetic_map.py`), opened and searched: inside a prior of
2 km radius, for one hypothesis and for many; over the whole map; and through each kind of
approximate index. Prints tables in markdown.

    python benchmarks/index_scale.py --tiles 1000000 --folder /tmp/scale
    python benchmarks/index_scale.py --tiles 10000000 --folder /tmp/scale --kinds ivf-pq

The map stays in the folder, and is used again if it is there. Half a GB a million tiles.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.index import PackIndex
from mobilegeo.index.build import build_index, remove_index
from mobilegeo.index.facts import index_facts
from mobilegeo.index.trial import trial_queries
from mobilegeo.locate import retrieve
from mobilegeo.locate.normalise import GroundPatch
from mobilegeo.locate.prior import CirclePrior, Prior
from mobilegeo.maps.pack import MapPack
from synthetic_map import ORIGIN, write_map

HYPOTHESES = 24
RADIUS_M = 2000.0
TOP = 12


def main() -> None:
    """Prints one table of search and one of indexes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kinds", default="ivf-pq,ivf-sq8", help="comma-separated, or empty")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path = options.folder / f"{options.tiles}x{options.dim}.pack"
    if not path.exists():
        write_map(
            path, options.tiles, options.dim, options.seed, parquet=options.tiles <= 2_000_000
        )
    pack = remove_index(MapPack.open(path))
    opening = _spread(lambda: MapPack.open(path), 5)
    print(f"{len(pack.tiles):,} tiles × {options.dim}, {pack.record['area_km2']:.0f} km²")
    print(f"opening {opening}; {_disk_line(pack)}; {_likeness_line(pack)}\n")
    _print_exact(pack, options.repeats)
    for number, kind in enumerate(kind for kind in options.kinds.split(",") if kind):
        if not number:
            print("\n| kind | footprint | tiles | MB | B/tile | build | cells looked into | "
                  "recall@1 | recall@10 | 1 hypothesis | 24 hypotheses |")  # fmt: skip
            print("|" + "---|" * 11)
        _print_kind(build_index(pack, kind), options.repeats)
    remove_index(pack)


def _print_exact(pack: MapPack, repeats: int) -> None:
    """Exact search, in a prior and without."""
    print("| tiles of | allowed by | tiles allowed | 1 hypothesis | 24 | 24 oblique |")
    print("|---|---|---|---|---|---|")
    index = PackIndex(pack)
    index.anywhere(np.zeros((1, pack.spec.embedding_dim), np.float32), 1, pack.footprints_m[0])
    prior = CirclePrior(ORIGIN, RADIUS_M)
    for footprint_m in pack.footprints_m[:2]:
        level = pack.tiles.level(footprint_m)
        embeddings = trial_queries(pack, level)
        for allowed in (prior, None):
            few = repeats if allowed is not None else 5
            asked = retrieve._selected(_queries(1, footprint_m), pack, footprint_m, prior)
            count = level.stop - level.start if allowed is None else len(asked[0])
            cells = [
                _search_time(pack, index, _queries(n, footprint_m, ahead), embeddings, allowed, few)
                for n, ahead in ((1, 0.0), (HYPOTHESES, 0.0), (HYPOTHESES, 300.0))
                if allowed is not None or not ahead
            ]
            where = "2 km prior" if allowed is not None else "whole map"
            cells += ["–"] * (3 - len(cells))
            print(f"| {footprint_m:g} m | {where} | {count:,} | {' | '.join(cells)} |", flush=True)


def _print_kind(pack: MapPack, repeats: int) -> None:
    """The approximate indexes of a pack."""
    index = PackIndex(pack)
    for footprint_m, facts in index_facts(pack.record).items():
        embeddings = trial_queries(pack, pack.tiles.level(footprint_m))
        times = [
            _search_time(pack, index, _queries(n, footprint_m), embeddings, None, repeats)
            for n in (1, HYPOTHESES)
        ]
        print(
            f"| {facts.kind} | {footprint_m:g} m | {facts.tiles:,} | {facts.bytes / 1e6:.1f} | "
            f"{facts.bytes / facts.tiles:.0f} | {facts.build_s:.0f} s | "
            f"{facts.probes} of {facts.lists} | {facts.recall_at_1:.3f} | "
            f"{facts.recall_at_10:.3f} | {' | '.join(times)} |",
            flush=True,
        )


def _search_time(
    pack: MapPack,
    index: PackIndex,
    queries: Sequence[retrieve.Query],
    embeddings: NDArray[np.float32],
    prior: Prior | None,
    repeats: int,
) -> str:
    """Of the stage `search`: the tiles of the prior found, scored and told apart."""
    start = iter(range(10**6))

    def search() -> None:
        first = next(start) * len(queries) % (len(embeddings) - len(queries))
        asked = embeddings[first : first + len(queries)]
        retrieve.search(queries, asked, pack, index, prior, TOP)

    return _spread(search, repeats)


def _queries(count: int, footprint_m: float, ahead_m: float = 0.0) -> list[retrieve.Query]:
    """Hypotheses of different headings, whose middle lies `ahead_m` away; without pixels."""
    queries = []
    for heading_deg in np.arange(count) * 360.0 / count:
        view = GroundView(4000, 3000, 70.0, float(heading_deg), -90.0, 0.0, 100.0)
        east, north = np.sin(np.radians(heading_deg)), np.cos(np.radians(heading_deg))
        nothing = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.bool_)
        patch = GroundPatch(*nothing, 1.0, float(ahead_m * east), float(ahead_m * north))
        queries.append(retrieve.Query(view, patch, footprint_m))
    return queries


def _spread(job: Callable[[], object], repeats: int) -> str:
    """Median and 95th percentile of a job's time, and its median processor time over all cores.

    One run warms up. The last figure hardly depends on what else the machine does.
    """
    job()
    times = []
    for _ in range(repeats):
        begin, used = time.perf_counter(), time.process_time()
        job()
        times.append((1000 * (time.perf_counter() - begin), 1000 * (time.process_time() - used)))
    wall, processor = np.array(times).T
    median, high = np.percentile(wall, [50, 95])
    return f"{median:.1f} ms (p95 {high:.1f}, CPU {np.median(processor):.1f})"


def _disk_line(pack: MapPack) -> str:
    files = {name: entry["bytes"] / len(pack.tiles) for name, entry in pack.record["files"].items()}
    return "bytes a tile: " + ", ".join(f"{name} {size:.0f}" for name, size in files.items())


def _likeness_line(pack: MapPack) -> str:
    """Cosines of neighbours and of tiles drawn at random, at the smallest footprint."""
    level = pack.tiles.levels[0]
    rng = np.random.default_rng(0)
    rows = rng.integers(level.start, level.stop - 1, 1000)
    some, next_to, others = (
        pack.read_vectors(r).astype(np.float32)
        for r in (rows, rows + 1, rng.integers(level.start, level.stop, 1000))
    )
    neighbours = np.median((some * next_to).sum(axis=1))
    return f"cosine of neighbours {neighbours:.2f}, of others 0 ± {(some @ others.T).std():.2f}"


if __name__ == "__main__":
    main()
