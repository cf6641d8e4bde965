"""Times the stages of one answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("read", "normalise", "encode", "search", "align", "verify")


class Stopwatch:
    """Collects wall-clock time by stage; the total runs from its making.

    Args:
        read_s: seconds that reading took before, maybe while another photo was located; part of
            the total.
    """

    def __init__(self, read_s: float = 0.0) -> None:
        self._start = time.perf_counter() - read_s
        self._spent = dict.fromkeys(STAGES, 0.0) | {"read": read_s}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of a `with` block to one of `STAGES`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._spent[name] += time.perf_counter() - start

    def milliseconds(self) -> dict[str, float]:
        """Milliseconds of each stage and in total, the contract's `timing_ms`."""
        spent = self._spent | {"total": time.perf_counter() - self._start}
        return {name: round(1000 * seconds, 2) for name, seconds in spent.items()}
