"""Telemetry over time, read at any moment."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import fields

from mobilegeo.geo import wrap_deg
from mobilegeo.metadata.telemetry import Telemetry

HOLD_S = 2.0
"""A value stands for so long after it was told, and so long before."""

CIRCULAR = ("heading_deg", "roll_deg", "lon")


class TelemetrySeries:
    """Telemetry at known times, in any order; of records with equal times the last counts."""

    def __init__(self, records: Iterable[tuple[float, Telemetry]]) -> None:
        by_time = dict(sorted(records, key=lambda record: record[0]))
        self._times = list(by_time)
        self._values = list(by_time.values())

    def at(self, time_s: float) -> Telemetry:
        """The telemetry at a moment.

        Between two records at most 2 `HOLD_S` apart each value that both know is interpolated,
        angles the short way round; elsewhere the nearest record within `HOLD_S` stands.
        """
        after = bisect_right(self._times, time_s)
        left = self._times[after - 1] if after else None
        right = self._times[after] if after < len(self._times) else None
        if left is not None and right is not None and right - left <= 2 * HOLD_S:
            share = (time_s - left) / (right - left)
            return _mixed(self._values[after - 1], self._values[after], share)
        if left is not None and time_s - left <= HOLD_S:
            return self._values[after - 1]
        if right is not None and right - time_s <= HOLD_S:
            return self._values[after]
        return Telemetry()


def _mixed(a: Telemetry, b: Telemetry, share: float) -> Telemetry:
    """Between two records; a value that one alone knows is taken from it if it is the nearer."""
    mixed = {}
    for name in (f.name for f in fields(Telemetry)):
        first, second = getattr(a, name), getattr(b, name)
        if first is None or second is None:
            mixed[name] = first if share < 0.5 else second
        elif name in CIRCULAR:
            mixed[name] = wrap_deg(first + share * wrap_deg(second - first))
        else:
            mixed[name] = first + share * (second - first)
    return Telemetry(**mixed)
