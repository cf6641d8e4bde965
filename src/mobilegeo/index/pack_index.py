"""The index of a pack: exact inside a prior, and over the whole map as it was prepared."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mobilegeo.index.approximate import ApproximateIndex, read_inverted
from mobilegeo.index.base import Found
from mobilegeo.index.exact import ExactIndex
from mobilegeo.index.facts import index_facts
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.runs import Runs


class PackIndex:
    """Searches the tiles of a pack; opens nothing before it is needed.

    Args:
        pack: the map.
    """

    def __init__(self, pack: MapPack) -> None:
        self._pack = pack
        self._facts = index_facts(pack.record)
        self._exact = ExactIndex(pack.vectors_of)
        self._approximate = lru_cache(maxsize=None)(self._open)

    def within(self, queries: NDArray[np.float32], k: int, selected: Sequence[Runs]) -> list[Found]:
        """See `TileIndex.within`."""
        return self._exact.search(queries, k, selected)

    def anywhere(self, queries: NDArray[np.float32], k: int, footprint_m: float) -> list[Found]:
        """See `TileIndex.anywhere`: approximate where `map index` made an index, else exact."""
        if footprint_m in self._facts:
            return self._approximate(footprint_m).search(queries, k)
        return self.within(queries, k, [self._pack.tiles.rows_of(footprint_m)] * len(queries))

    def remarks(self, footprints_m: Sequence[float]) -> tuple[str, ...]:
        """What an answer has to say of a search anywhere among tiles of these footprints."""
        used = [self._facts[f] for f in sorted(set(footprints_m)) if f in self._facts]
        if not used:
            return ()
        recall = min(facts.recall_at_10 for facts in used)
        kinds = ", ".join(sorted({facts.kind for facts in used}))
        return (f"tiles were searched by an approximate index ({kinds}, recall {recall:.3f})",)

    def _open(self, footprint_m: float) -> ApproximateIndex:
        facts, level = self._facts[footprint_m], self._pack.tiles.level(footprint_m)
        inverted = read_inverted(self._pack.file(facts.file))
        return ApproximateIndex(inverted, level.start, self._exact, facts.probes, facts.reranked)
