"""What counts energy, whichever way a machine reports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class Counter(Protocol):
    """Counts the energy of one part of the machine."""

    @property
    def name(self) -> str:
        """Of what counts, and which part."""
        ...

    @property
    def range_uj(self) -> int:
        """The largest value, after which it starts again from zero."""
        ...

    def read(self) -> int:
        """Microjoules now."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """What one way of measuring offers.

    Attributes:
        counters: none where there is nothing to count.
        note: why not; empty where there is.
        close: ends the measuring.
    """

    counters: tuple[Counter, ...] = ()
    note: str = ""
    close: Callable[[], None] = field(default=lambda: None)
