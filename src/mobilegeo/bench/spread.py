"""What repeated timings come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Clock = Callable[[], float]
"""Seconds from any zero, as `time.perf_counter`."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 95th percentile of timings, milliseconds, linear between order statistics."""

    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Spread:
        """The spread of one timing or more."""
        p50, p95 = np.percentile(np.asarray(times_ms, dtype=np.float64), (50, 95))
        return cls(float(p50), float(p95))

    def to_record(self) -> dict[str, float]:
        """The JSON object."""
        return {"p50": round(self.p50_ms, 3), "p95": round(self.p95_ms, 3)}
