"""Energy of an NVIDIA Jetson, from the power that its tool tegrastats prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable
from typing import IO

from mobilegeo.bench.counters import Source

INTERVAL_MS = 100

_RANGE_UJ = 2**63 - 1

# `VDD_IN 5023mW/4987mW` (L4T 32.6 and later) or `POM_5V_IN 2022/2013`: now and on average.
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]{2,}) (\d+)(?:mW)?/(\d+)(?:mW)?(?=\s|$)")
# Memory is written the same way, but for its unit: `RAM 2503/7620MB`, `SWAP 0/3810MB`.

_WHOLE = ("VDD_IN", "POM_5V_IN")
"""Rails through which all power of a module comes, where it has one."""


def rails_mw(line: str) -> dict[str, int]:
    """Power of each rail at the time of a line, milliwatts.

    The format is that of NVIDIA's Jetson Linux Developer Guide, section tegrastats Utility:
    `RAIL X/Y`, X now and Y on average, with or without the unit mW.
    """
    return {match[1]: int(match[2]) for match in _RAIL.finditer(line)}


def counted_rails(rails: Iterable[str]) -> tuple[str, ...]:
    """The rails whose sum is the module's power: the one all comes through, or else all."""
    names = tuple(rails)
    return next(((whole,) for whole in _WHOLE if whole in names), names)


class TegrastatsCounter:
    """Adds up power × time line by line.

    Args:
        rails: whose power is added.

    Attributes:
        name: of what is counted.
        range_uj: the largest value.
    """

    range_uj = _RANGE_UJ

    def __init__(self, rails: tuple[str, ...]) -> None:
        self.name = f"tegrastats {'+'.join(rails)}"
        self._rails = rails
        self._lock = threading.Lock()
        self._uj = 0.0
        self._mw: float | None = None
        self._since_s = 0.0

    def take(self, line: str, now_s: float) -> None:
        """Takes in a line; the power before it is taken to have lasted until now."""
        rails = rails_mw(line)
        if not set(self._rails) <= set(rails):
            return
        with self._lock:
            self._advance(now_s)
            self._mw = float(sum(rails[name] for name in self._rails))

    def read(self) -> int:
        """Microjoules since the first line."""
        with self._lock:
            self._advance(time.perf_counter())
            return int(self._uj)

    def _advance(self, now_s: float) -> None:
        if self._mw is not None:
            self._uj += 1000.0 * self._mw * (now_s - self._since_s)
        self._since_s = now_s


def open_tegrastats() -> Source:
    """The Jetson's module as a whole; tegrastats runs beside the benchmark until it is closed."""
    tool = shutil.which("tegrastats")
    if tool is None:
        return Source(note="there is no tegrastats")
    process = subprocess.Popen(  # noqa: S603
        [tool, "--interval", str(INTERVAL_MS)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    rails = counted_rails(rails_mw(first))
    if not rails:
        process.kill()
        process.wait()
        process.stdout.close()
        return Source(note="tegrastats reports no power rail")
    counter = TegrastatsCounter(rails)
    counter.take(first, time.perf_counter())
    reader = threading.Thread(target=_follow, args=(process.stdout, counter), daemon=True)
    reader.start()

    def close() -> None:
        process.terminate()
        process.wait()
        reader.join()

    return Source((counter,), close=close)


def _follow(lines: IO[str], counter: TegrastatsCounter) -> None:
    with lines:
        for line in lines:
            counter.take(line, time.perf_counter())
