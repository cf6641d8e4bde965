"""Turns: who is called when, what counts, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from mobilegeo.bench.energy import EnergyMeter
from mobilegeo.bench.turns import LEAST_ROUNDS, SLICE_S, take_turns


@dataclass
class Bench:
    """A clock that calls move, and a counter of a microjoule a microsecond."""

    now: float = 0.0
    order: list[str] = field(default_factory=list)
    name: str = "fake"
    range_uj: int = 10**15

    def __call__(self) -> float:
        return self.now

    def read(self) -> int:
        return round(1e6 * self.now)

    def call(self, name: str, *seconds: float):
        def run():
            self.order.append(name)
            spent = seconds[min(sum(each == name for each in self.order), len(seconds)) - 1]
            self.now += spent

        return run


def silent(stage, done, total):
    """Progress that nobody watches."""


def test_long_calls_get_one_a_turn_and_short_ones_a_slice() -> None:
    bench = Bench()
    calls = [bench.call("short", 0.02), bench.call("long", 1.0)]
    short, long = take_turns(calls, 0.0, EnergyMeter(()), clock=bench, progress=silent)
    # One call to settle and three to fill the slice of 0.05 s; a long call needs no settling.
    turn = ["short"] * 4 + ["long"]
    assert bench.order == ["short"] * 2 + ["long"] * 2 + turn * LEAST_ROUNDS
    assert (short.calls, long.calls) == (3 * LEAST_ROUNDS, LEAST_ROUNDS)
    assert short.time.p50_ms == pytest.approx(20)
    assert long.time.p50_ms == pytest.approx(1000)
    assert short.joules is None


def test_the_first_calls_do_not_count() -> None:
    bench = Bench()
    (timing,) = take_turns(
        [bench.call("a", 9.0, 5.0, 1.0)], 0.0, EnergyMeter(()), clock=bench, progress=silent
    )
    assert timing.time.p95_ms == pytest.approx(1000)


def test_it_goes_on_until_the_time_is_used_up() -> None:
    bench = Bench()
    (timing,) = take_turns(
        [bench.call("a", 2 * SLICE_S)], 10.0, EnergyMeter(()), clock=bench, progress=silent
    )
    assert timing.calls == pytest.approx(10.0 / (2 * SLICE_S), abs=1)


def test_energy_is_that_of_the_timed_calls() -> None:
    bench = Bench()
    calls = [bench.call("a", 0.1), bench.call("b", 0.4)]
    a, b = take_turns(calls, 0.0, EnergyMeter((bench,)), clock=bench, progress=silent)
    assert (a.joules, b.joules) == (pytest.approx(0.1), pytest.approx(0.4))
