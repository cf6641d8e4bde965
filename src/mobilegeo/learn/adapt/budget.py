"""The minutes that a user gives, as a clock that all stages look at."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from mobilegeo.errors import UsageError

Progress = Callable[[str, int, int], None]
"""Is told the stage's name, steps done and steps in all."""


class Budget:
    """Wall-clock time from now on.

    Args:
        minutes: for everything, the export included.
        clock: seconds that only grow.

    Raises:
        UsageError: the minutes are not positive and finite.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0.0 < minutes < math.inf:
            raise UsageError(
                f"--minutes {minutes:g}", "is no length of time", "give minutes, such as 10"
            )
        self.minutes = minutes
        self._clock = clock
        self._start_s = clock()

    @property
    def seconds(self) -> float:
        """All of it."""
        return 60.0 * self.minutes

    def spent_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start_s

    def stage(self, name: str, end_s: float, progress: Progress) -> Stage:
        """A stage that begins now.

        Args:
            name: for progress and messages.
            end_s: when it is over, seconds from the start of the budget.
            progress: is told the seconds.

        Raises:
            UsageError: it would have to be over already.
        """
        begin_s = self.spent_s()
        if begin_s >= end_s:
            raise self.too_few(f"{begin_s:.0f} s were spent before {name}")
        return Stage(self, name, begin_s, end_s, progress)

    def too_few(self, why: str) -> UsageError:
        """The error for minutes that do not suffice on this machine."""
        return UsageError(
            f"--minutes {self.minutes:g}",
            f"are too few on this machine ({why})",
            f"give more, such as {max(2, math.ceil(3 * self.minutes))}",
        )


@dataclass(frozen=True)
class Stage:
    """A part of a budget's time.

    Attributes:
        budget: of which it is a part.
        name: for progress.
        begin_s, end_s: seconds from the start of the budget.
        progress: is told the seconds.
    """

    budget: Budget
    name: str
    begin_s: float
    end_s: float
    progress: Progress

    def done(self) -> float:
        """Share of its time that is over; at 1 the stage ends."""
        spent, length = self.budget.spent_s() - self.begin_s, self.end_s - self.begin_s
        self.progress(self.name, min(int(spent), int(length)), int(length))
        return spent / length
