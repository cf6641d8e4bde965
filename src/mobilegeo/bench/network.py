"""Latency of encoders alone, all of them interleaved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.bench.spread import Clock, Spread
from mobilegeo.encoder import Encoder

BATCHES = (1, 8, 32)
OUTPUTS = ("embed", "features")
ROUNDS = 5
"""Timed calls of each kind; one more goes before, untimed."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one call of an encoder takes.

    Attributes:
        output: `embed` or `features`.
        batch: images a call.
        size_px: side of the square images.
        time: of a call.
    """

    output: str
    batch: int
    size_px: int
    time: Spread

    @property
    def images_per_s(self) -> float:
        """Throughput at the median."""
        return 1000 * self.batch / self.time.p50_ms

    def to_record(self) -> dict[str, Any]:
        """The JSON object; times in milliseconds."""
        return {
            "output": self.output,
            "batch": self.batch,
            "size_px": self.size_px,
            "latency_ms": self.time.to_record(),
            "images_per_s": round(self.images_per_s, 2),
        }


def measure_networks(
    encoders: Sequence[Encoder],
    *,
    batches: Sequence[int] = BATCHES,
    rounds: int = ROUNDS,
    clock: Clock = time.perf_counter,
    progress: Callable[[str, int, int], None],
) -> list[list[Latency]]:
    """Times encoders on noise of the size for which their embedding was trained.

    Every round calls every encoder once for each output and batch, so that whatever slows the
    machine for a while slows them all.

    Args:
        encoders: networks, loaded.
        batches: images a call.
        rounds: timed calls of each kind.
        clock: tells seconds.
        progress: called with the stage's name, rounds done and rounds in all.

    Returns:
        One list an encoder, by output and then batch.
    """
    cases = list(product(range(len(encoders)), OUTPUTS, batches))
    times: dict[tuple[int, str, int], list[float]] = {case: [] for case in cases}
    images = [_noise(encoder.spec.size_px, max(batches)) for encoder in encoders]
    for turn in range(rounds + 1):
        for number, output, batch in cases:
            call = getattr(encoders[number], output)
            start = clock()
            call(images[number][:batch])
            spent_ms = 1000 * (clock() - start)
            if turn > 0:
                times[number, output, batch].append(spent_ms)
        progress("encoders", turn + 1, rounds + 1)
    return [
        [
            Latency(output, batch, encoder.spec.size_px, Spread.of(times[number, output, batch]))
            for output, batch in product(OUTPUTS, batches)
        ]
        for number, encoder in enumerate(encoders)
    ]


def _noise(size_px: int, count: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size_px, size_px, 3), dtype=np.uint8)
