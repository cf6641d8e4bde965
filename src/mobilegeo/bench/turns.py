"""Calls of very different length timed in turns, so that what disturbs one disturbs all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mobilegeo.bench.energy import EnergyMeter
from mobilegeo.bench.spread import Clock, Spread

SLICE_S = 0.05
"""A turn lasts so long, or one call where a call is longer."""
LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """What the turns of one call came to.

    Attributes:
        time: of a call.
        calls: how many were timed.
        joules: a call, of the whole machine; `None` where it is not reported.
    """

    time: Spread
    calls: int
    joules: float | None


@dataclass(slots=True)
class _Tally:
    """The turns of one call so far."""

    call: Callable[[], object]
    last_s: float = 0.0
    times_ms: list[float] = field(default_factory=list)
    joules: float = 0.0

    def warm_up(self, clock: Clock) -> None:
        for _ in range(2):
            self._run(clock)

    def take_turn(self, meter: EnergyMeter, clock: Clock) -> None:
        if self.last_s < SLICE_S:
            # Untimed: it brings its weights back into the caches, and sees the threads of the one
            # before go to sleep. Next to a long call that is nothing.
            self._run(clock)
        before, end = meter.read(), clock() + SLICE_S
        while True:
            self._run(clock)
            self.times_ms.append(1000 * self.last_s)
            if clock() >= end:
                break
        self.joules += meter.joules(before, meter.read())

    def _run(self, clock: Clock) -> None:
        start = clock()
        self.call()
        self.last_s = clock() - start

    def result(self, measured_energy: bool) -> Timing:
        calls = len(self.times_ms)
        joules = self.joules / calls if measured_energy else None
        return Timing(Spread.of(self.times_ms), calls, joules)


def take_turns(
    calls: Sequence[Callable[[], object]],
    seconds: float,
    meter: EnergyMeter,
    *,
    clock: Clock = time.perf_counter,
    progress: Callable[[str, int, int], None],
) -> list[Timing]:
    """Times calls in turns until a time is used up, at least `LEAST_ROUNDS` turns each.

    Every call is made twice before, untimed, for what happens only at the first.

    Args:
        calls: what is timed.
        seconds: for all of them together, the warm-up not included.
        meter: of the energy.
        clock: tells seconds.
        progress: called with the stage's name, seconds used and seconds in all.

    Returns:
        One timing a call, in their order.
    """
    tallies = [_Tally(call) for call in calls]
    for number, tally in enumerate(tallies):
        tally.warm_up(clock)
        progress("warm-up", number + 1, len(tallies))
    begin, rounds = clock(), 0
    while rounds < LEAST_ROUNDS or clock() - begin < seconds:
        for tally in tallies:
            tally.take_turn(meter, clock)
        rounds += 1
        progress("turns", min(round(clock() - begin), round(seconds)), round(seconds))
    return [tally.result(bool(meter.counters)) for tally in tallies]
