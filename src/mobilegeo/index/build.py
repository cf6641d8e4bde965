"""Makes the approximate indexes of a pack, measures them, and writes them into its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mobilegeo.errors import PackError, UsageError
from mobilegeo.index.approximate import KINDS, ApproximateIndex
from mobilegeo.index.exact import ExactIndex
from mobilegeo.index.facts import IndexFacts
from mobilegeo.index.trial import QUERIES, recall, trial_queries
from mobilegeo.maps.integrity import file_entry
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.record import RECORD, write_record
from mobilegeo.maps.runs import Runs
from mobilegeo.maps.tiletable import TileLevel

FOLDER = "index"
DEFAULT_KIND = "ivf-pq"

MIN_TILES = 100_000
"""Footprints with fewer tiles are searched exactly, in about ten milliseconds."""

RERANKED = 1000
"""Tiles that a search scores again exactly."""

WANTED_RECALL = 0.98
"""Of the best ten tiles; a search looks into as many cells as this takes."""

PROBES = (4, 8, 16, 32, 64, 128, 256, 512)
"""Cells to look into that are tried; all of them if these are not enough."""

MAX_LISTS = 4096
TRAINED_PER_LIST = 48
ADDED_AT_ONCE = 1 << 17

Progress = Callable[[str, int, int], None]
"""Called with the stage, steps done and steps in all."""


def build_index(
    pack: MapPack,
    kind: str = DEFAULT_KIND,
    *,
    min_tiles: int = MIN_TILES,
    progress: Progress | None = None,
) -> MapPack:
    """Makes an approximate index of every footprint with many tiles, in place of older ones.

    The pack stays as it was until all is made: files are written first, under new names, and the
    record is replaced last.

    Args:
        pack: the map.
        kind: one of `KINDS`.
        min_tiles: footprints with fewer tiles get no index.
        progress: told about every step.

    Returns:
        The pack, opened again.

    Raises:
        UsageError: there is no such kind.
        PackError: no footprint has enough tiles, the embeddings cannot be indexed in this way, or
            the pack was changed or cannot be written to.
    """
    if kind not in KINDS:
        raise UsageError(f"--kind {kind}", "is no kind of index", f"give {' or '.join(KINDS)}")
    levels = [level for level in pack.tiles.levels if level.stop - level.start >= min_tiles]
    if not levels:
        raise PackError(
            pack.path,
            f"has fewer than {min_tiles:,} tiles of any footprint",
            "search it as it is: exact search of so few takes milliseconds",
        )
    if kind == "ivf-pq" and pack.spec.embedding_dim % 4:
        raise PackError(
            pack.path,
            f"has embeddings of {pack.spec.embedding_dim} dimensions, no multiple of 4",
            "use --kind ivf-sq8",
        )
    with _writing(pack.path / FOLDER):
        (pack.path / FOLDER).mkdir(exist_ok=True)
    entries = [_build_level(pack, level, kind, progress) for level in levels]
    return _replace(pack, entries)


def remove_index(pack: MapPack) -> MapPack:
    """Drops all approximate indexes of a pack; returns it opened again."""
    return _replace(pack, [])


def _replace(pack: MapPack, entries: list[IndexFacts]) -> MapPack:
    """Writes new entries into the record, and deletes the files that no entry names."""
    files = {n: e for n, e in pack.record["files"].items() if not n.startswith(f"{FOLDER}/")}
    files |= {entry.file: file_entry(pack.path / entry.file) for entry in entries}
    record = pack.record | {"files": files, "index": [asdict(entry) for entry in entries] or None}
    write_record(record, pack.path / RECORD)
    for path in (pack.path / FOLDER).glob("*"):
        if f"{FOLDER}/{path.name}" not in files:
            path.unlink()
    if not entries and (pack.path / FOLDER).is_dir():
        (pack.path / FOLDER).rmdir()
    return MapPack.open(pack.path)


def _build_level(
    pack: MapPack, level: TileLevel, kind: str, progress: Progress | None
) -> IndexFacts:
    import faiss

    start = time.perf_counter()
    step = _stepping(progress, f"{level.footprint_m:g} m", level)
    inverted = _trained(pack, level, kind)
    step()
    for first in range(level.start, level.stop, ADDED_AT_ONCE):
        rows = Runs.between(first, min(first + ADDED_AT_ONCE, level.stop))
        inverted.add(pack.vectors_of(rows)[rows.rows()].astype(np.float32))
        step()
    probes, recalls = _measured(pack, level, inverted)
    step()
    name = _unused_name(pack.path, level, kind)
    with _writing(pack.path / name):
        faiss.write_index(inverted, str(pack.path / name))
    return IndexFacts(
        footprint_m=level.footprint_m,
        kind=kind,
        file=name,
        tiles=level.stop - level.start,
        bytes=(pack.path / name).stat().st_size,
        lists=inverted.nlist,
        probes=probes,
        reranked=RERANKED,
        recall_at_1=recalls[0],
        recall_at_10=recalls[1],
        build_s=round(time.perf_counter() - start, 1),
    )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns a full disk or a protected folder into a `PackError`; faiss raises no OSError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise PackError(
            path,
            f"cannot be written ({str(error)[:200]})",
            "make room, or give a pack in a folder that can be written; the pack is as it was",
        ) from error


def _stepping(progress: Progress | None, stage: str, level: TileLevel) -> Callable[[], None]:
    """A function that tells of one more step: training, every batch that is added, measuring."""
    total = 2 + -(-(level.stop - level.start) // ADDED_AT_ONCE)
    done = iter(range(1, total + 1))

    def step() -> None:
        if progress is not None:
            progress(stage, next(done), total)

    return step


def _trained(pack: MapPack, level: TileLevel, kind: str) -> Any:
    """An empty index whose cells and codes fit the footprint's tiles."""
    import faiss

    count, dim = level.stop - level.start, pack.spec.embedding_dim
    lists = min(MAX_LISTS, 2 ** round(np.log2(4 * np.sqrt(count))))
    inverted = faiss.index_factory(
        dim, KINDS[kind].format(lists=lists, quarter=dim // 4), faiss.METRIC_INNER_PRODUCT
    )
    sample = np.random.default_rng(0).permutation(count)[: lists * TRAINED_PER_LIST]
    inverted.train(pack.read_vectors(np.sort(sample) + level.start).astype(np.float32))
    return inverted


def _measured(pack: MapPack, level: TileLevel, inverted: Any) -> tuple[int, tuple[float, float]]:
    """Cells to look into, chosen on half of the queries; recall at 1 and 10 on the others."""
    exact, queries = ExactIndex(pack.vectors_of), trial_queries(pack, level)
    wanted = exact.search(queries, 10, [Runs.between(level.start, level.stop)] * QUERIES)
    half = QUERIES // 2
    probes = 0
    for probes in [*(few for few in PROBES if few < inverted.nlist), inverted.nlist]:
        index = ApproximateIndex(inverted, level.start, exact, probes, RERANKED)
        if recall(index.search(queries[:half], 10), wanted[:half], 10) >= WANTED_RECALL:
            break
    found = index.search(queries[half:], 10)
    return probes, (recall(found, wanted[half:], 1), recall(found, wanted[half:], 10))


def _unused_name(pack: Path, level: TileLevel, kind: str) -> str:
    """A name for a new file beside those of the record that is to be replaced."""
    stem = f"{FOLDER}/{level.footprint_m:g}-{kind}"
    names = (f"{stem}{number or ''}.faiss" for number in range(1000))
    return next(name for name in names if not (pack / name).exists())
