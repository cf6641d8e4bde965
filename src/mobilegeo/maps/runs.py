"""Selections of rows as runs of neighbours: small, however many rows there are beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Some rows of a table: those from every start up to, but not including, its stop.

    Attributes:
        starts, stops: int64 [R], ascending; the runs neither overlap nor touch nor are empty.
    """

    starts: Rows
    stops: Rows

    @classmethod
    def between(cls, start: int, stop: int) -> Runs:
        """The rows from `start` up to `stop`."""
        return cls.of_spans(np.array([start]), np.array([stop]))

    @classmethod
    def of_rows(cls, rows: NDArray[np.integer[Any]]) -> Runs:
        """Rows given one by one, int [n], in any order."""
        ascending = np.unique(rows).astype(np.int64)
        return cls.of_spans(ascending, ascending + 1)

    @classmethod
    def of_spans(cls, starts: NDArray[np.integer[Any]], stops: NDArray[np.integer[Any]]) -> Runs:
        """All rows in any of some spans, int [n] each; in any order, overlapping or empty."""
        begin, end = np.asarray(starts, np.int64), np.asarray(stops, np.int64)
        order = np.argsort(begin, kind="stable")
        order = order[begin[order] < end[order]]
        begin, end = begin[order], end[order]
        reached = np.maximum.accumulate(end)
        opens = np.ones(len(begin), np.bool_)
        opens[1:] = begin[1:] > reached[:-1]
        closes = np.ones_like(opens)
        closes[:-1] = opens[1:]
        return cls(begin[opens], reached[closes])

    @classmethod
    def union(cls, selections: Iterable[Runs]) -> Runs:
        """The rows in any of one or more selections."""
        starts, stops = zip(*((s.starts, s.stops) for s in selections), strict=True)
        return cls.of_spans(np.concatenate(starts), np.concatenate(stops))

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def rows(self, first: int = 0, last: int | None = None) -> Rows:
        """The rows from the `first`-th selected up to the `last`-th, int64 [last − first]."""
        last = len(self) if last is None else min(last, len(self))
        if first >= last:
            return np.zeros(0, np.int64)
        low = int(np.searchsorted(self._offsets, first, side="right")) - 1
        high = int(np.searchsorted(self._offsets, last, side="left"))
        shift = self.starts[low:high] - self._offsets[low:high]
        bounds: Rows = np.clip(self._offsets[low : high + 1], first, last)
        return np.arange(first, last) + np.repeat(shift, bounds[1:] - bounds[:-1])

    def where(self, kept: NDArray[np.bool_]) -> Runs:
        """Those of the rows, in their order, that are marked in `kept`, bool [len(self)]."""
        rows = self.rows()[kept]
        if not len(rows):
            return Runs(rows, rows)
        breaks = np.flatnonzero(np.diff(rows) > 1)
        ends = np.append(breaks, len(rows) - 1)
        return Runs(rows[np.append(0, breaks + 1)], rows[ends] + 1)

    def within(self, whole: Runs) -> NDArray[np.bool_]:
        """Which rows of `whole`, which holds all of these, are these; bool [len(whole)]."""
        run = np.searchsorted(whole.starts, self.starts, side="right") - 1
        shift = whole._offsets[run] - whole.starts[run]
        change = np.zeros(len(whole) + 1, np.int8)
        change[self.starts + shift] += 1
        change[self.stops + shift] -= 1
        return np.cumsum(change[:-1], dtype=np.int8).view(np.bool_)

    @cached_property
    def _offsets(self) -> Rows:
        """How many rows lie before each run, and in all, int64 [R + 1]."""
        return np.concatenate([[0], np.cumsum(self.stops - self.starts)])
