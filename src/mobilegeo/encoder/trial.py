"""The fastest runtime on this machine, by a trial of a second that is remembered."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from statistics import median

import numpy as np

from mobilegeo.encoder.base import Encoder
from mobilegeo.encoder.graph import GraphEncoder
from mobilegeo.encoder.providers import CPU
from mobilegeo.encoder.user_cache import user_cache
from mobilegeo.errors import MobileGeoError, UsageError
from mobilegeo.output.atomic import make_folder, write_atomically

TRIAL_S = 1.0
"""Seconds of measurement for all runtimes together, after each has run once."""

LEAST_ROUNDS = 3

_LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "openvino")

Builds = Mapping[str, Callable[..., GraphEncoder]]


def fastest(
    path: str | os.PathLike[str], builds: Builds, *, threads: int | None = None
) -> GraphEncoder:
    """The encoder by the runtime that encodes one image fastest.

    The choice is remembered in the user's cache for this model, machine, number of threads and
    versions of the libraries. The encoder's `runtime` says which it was.

    Args:
        path: an exported `.onnx` file.
        builds: runtime → what opens the file with it; `CPU` is among them.
        threads: CPU threads; all cores when `None`.

    Raises:
        EncoderError: the file is no encoder.
    """
    first = builds[CPU](path, threads=threads)
    key = _key(first.sha256, threads, builds)
    remembered = _read().get(key)
    if remembered is not None and remembered in builds:
        with suppress(MobileGeoError):  # it no longer starts: try again
            return first if remembered == CPU else builds[remembered](path, threads=threads)
    encoders: dict[str, GraphEncoder] = {CPU: first}
    for name, build in builds.items():
        if name != CPU:
            with suppress(MobileGeoError):  # it is not present here, so it has no part in the trial
                encoders[name] = build(path, threads=threads)
    seconds = measure(encoders)
    best = min(seconds, key=seconds.__getitem__)
    _remember(key, best)
    return encoders[best]


def measure(encoders: Mapping[str, Encoder], limit_s: float = TRIAL_S) -> dict[str, float]:
    """Median seconds that each encoder takes for one image.

    They take turns, so that a disturbance of the machine meets all of them.

    Args:
        encoders: by name; of one model.
        limit_s: seconds of measurement in all; `LEAST_ROUNDS` rounds are made in any case.
    """
    side = next(iter(encoders.values())).spec.size_px
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    for encoder in encoders.values():
        encoder.encode(image)
    times: dict[str, list[float]] = {name: [] for name in encoders}
    begin, rounds = time.perf_counter(), 0
    while rounds < LEAST_ROUNDS or time.perf_counter() - begin < limit_s:
        for name, encoder in encoders.items():
            start = time.perf_counter()
            encoder.encode(image)
            times[name].append(time.perf_counter() - start)
        rounds += 1
    return {name: median(values) for name, values in times.items()}


def _key(sha256: str, threads: int | None, builds: Builds) -> str:
    """Everything that a choice holds for."""
    versions = []
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{library} {metadata.version(library)}")
    machine = [platform.node(), platform.machine(), f"{os.cpu_count()} cores"]
    return " | ".join([sha256, *machine, f"{threads} threads", *versions, *sorted(builds)])


def _read() -> dict[str, str]:
    """What is remembered; nothing where the file is missing or unreadable."""
    try:
        choices = json.loads(user_cache("runtimes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(choices, dict):
        return {}
    return {key: name for key, name in choices.items() if isinstance(name, str)}


def _remember(key: str, name: str) -> None:
    file = user_cache("runtimes.json")
    content = json.dumps(_read() | {key: name}, indent=1).encode()
    with suppress(UsageError):  # without a cache that can be written, the next run tries again
        make_folder(file.parent)
        write_atomically(file, content)
