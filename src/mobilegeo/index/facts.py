"""What a pack's record says of its approximate indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """One approximate index: of all tiles of one footprint.

    Attributes:
        footprint_m: of the tiles.
        kind: one of `kinds.KINDS`.
        file: in the pack.
        tiles: how many it holds.
        bytes: size of the file.
        lists: cells into which the tiles are sorted.
        probes: cells that a search looks into.
        reranked: tiles that it scores again exactly.
        recall_at_1, recall_at_10: share of the best 1 and 10 tiles of exact search that it finds,
            for `build.trial_queries` that had no part in choosing `probes`.
        build_s: seconds that building and measuring took.
    """

    footprint_m: float
    kind: str
    file: str
    tiles: int
    bytes: int
    lists: int
    probes: int
    reranked: int
    recall_at_1: float
    recall_at_10: float
    build_s: float


def index_facts(record: dict[str, Any]) -> dict[float, IndexFacts]:
    """The approximate indexes of a pack by footprint, out of its record."""
    entries = (IndexFacts(**entry) for entry in record.get("index") or ())
    return {entry.footprint_m: entry for entry in entries}
