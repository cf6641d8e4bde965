"""Energy of the machine, where it is reported: RAPL, NVML, or tegrastats on a Jetson."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from mobilegeo.bench.counters import Counter
from mobilegeo.bench.nvml import open_nvml
from mobilegeo.bench.rapl import POWERCAP, open_rapl
from mobilegeo.bench.tegrastats import open_tegrastats


@dataclass(frozen=True, slots=True)
class EnergyMeter:
    """All counters of the machine; what other programs draw counts too. Close it after use.

    Attributes:
        counters: of different parts; none where energy is not reported.
        note: why not; empty where it is.
    """

    counters: tuple[Counter, ...]
    note: str = ""
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def names(self) -> tuple[str, ...]:
        """What is counted."""
        return tuple(counter.name for counter in self.counters)

    def read(self) -> tuple[int, ...]:
        """Microjoules of every counter now."""
        return tuple(counter.read() for counter in self.counters)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings less than one round of a counter apart."""
        spans = zip(self.counters, before, after, strict=True)
        return sum((b - a) % (counter.range_uj + 1) for counter, a, b in spans) / 1e6

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()


def open_meter(root: Path = POWERCAP) -> EnergyMeter:
    """The machine's meter, or one without counters that says why.

    Args:
        root: where Linux keeps RAPL's counters.
    """
    sources = [open_rapl(root), open_nvml(), open_tegrastats()]
    counters = tuple(counter for source in sources for counter in source.counters)
    closing = ExitStack()
    for source in sources:
        closing.callback(source.close)
    note = "" if counters else "; ".join(source.note for source in sources)
    return EnergyMeter(counters, note, closing)
