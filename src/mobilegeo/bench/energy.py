"""Energy of the processor packages, where Linux reports it (RAPL, /sys/class/powercap)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class Counter:
    """One package's energy counter, which starts again from zero past its range.

    Attributes:
        file: holds microjoules.
        range_uj: the largest value.
    """

    file: Path
    range_uj: int

    def read(self) -> int:
        """Microjoules now."""
        return int(self.file.read_text(encoding="ascii"))


@dataclass(frozen=True, slots=True)
class EnergyMeter:
    """All packages of the machine; what other programs draw counts too.

    Attributes:
        counters: one a package; none where energy is not reported.
        note: why not; empty where it is.
    """

    counters: tuple[Counter, ...]
    note: str = ""

    def read(self) -> tuple[int, ...]:
        """Microjoules of every package now."""
        return tuple(counter.read() for counter in self.counters)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings less than one round of a counter apart."""
        spans = zip(self.counters, before, after, strict=True)
        return sum((b - a) % (counter.range_uj + 1) for counter, a, b in spans) / 1e6


def open_meter(root: Path = POWERCAP) -> EnergyMeter:
    """The machine's meter, or one without counters that says why."""
    # A package is `intel-rapl:0`, its parts, which it includes, `intel-rapl:0:1`.
    zones = [zone for zone in sorted(root.glob("*-rapl:*")) if zone.name.count(":") == 1]
    if not zones:
        return EnergyMeter((), f"no RAPL counter under {root}")
    try:
        counters = tuple(_counter(zone) for zone in zones)
    except (OSError, ValueError) as error:
        return EnergyMeter((), f"RAPL cannot be read ({error})")
    return EnergyMeter(counters)


def _counter(zone: Path) -> Counter:
    range_uj = int((zone / "max_energy_range_uj").read_text(encoding="ascii"))
    counter = Counter(zone / "energy_uj", range_uj)
    counter.read()  # by default only root may
    return counter
