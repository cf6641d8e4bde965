"""Energy of the processor packages, where Linux reports it (RAPL, /sys/class/powercap)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobilegeo.bench.counters import Source

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class RaplCounter:
    """One processor package.

    Attributes:
        file: holds microjoules.
        range_uj: the largest value.
        name: of the zone.
    """

    file: Path
    range_uj: int
    name: str

    def read(self) -> int:
        """Microjoules now."""
        return int(self.file.read_text(encoding="ascii"))


def open_rapl(root: Path = POWERCAP) -> Source:
    """The processor packages (RAPL), which on most systems only root may read."""
    # A package is `intel-rapl:0`, its parts, which it includes, `intel-rapl:0:1`.
    zones = [zone for zone in sorted(root.glob("*-rapl:*")) if zone.name.count(":") == 1]
    if not zones:
        return Source(note=f"no RAPL counter under {root}")
    try:
        return Source(tuple(_counter(zone) for zone in zones))
    except (OSError, ValueError) as error:
        return Source(note=f"RAPL cannot be read ({error})")


def _counter(zone: Path) -> RaplCounter:
    range_uj = int((zone / "max_energy_range_uj").read_text(encoding="ascii"))
    counter = RaplCounter(zone / "energy_uj", range_uj, f"RAPL {zone.name}")
    counter.read()  # by default only root may
    return counter
