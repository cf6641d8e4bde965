"""Energy of NVIDIA GPUs by NVML, if the package nvidia-ml-py is installed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from mobilegeo.bench.counters import Source

_RANGE_UJ = 2**63 - 1
"""The counter is 64 bits of millijoules: it does not come around."""


@dataclass(frozen=True, slots=True)
class NvmlCounter:
    """One GPU, its memory included.

    Attributes:
        library: the module `pynvml`.
        device: its handle.
        name: of the GPU.
        range_uj: the largest value.
    """

    library: Any
    device: Any
    name: str
    range_uj: int = _RANGE_UJ

    def read(self) -> int:
        """Microjoules since the driver was loaded; renewed every 20 to 100 ms."""
        return 1000 * int(self.library.nvmlDeviceGetTotalEnergyConsumption(self.device))


def open_nvml() -> Source:
    """The GPUs that count their energy: of the Volta generation or newer."""
    try:
        library: Any = importlib.import_module("pynvml")
    except ImportError:
        return Source(note="the package nvidia-ml-py is not installed")
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return Source(note=f"NVML cannot start ({error})")
    try:
        count = library.nvmlDeviceGetCount()
        counters = tuple(_counter(library, number) for number in range(count))
    except library.NVMLError as error:
        library.nvmlShutdown()
        return Source(note=f"NVML does not report energy ({error})")
    return Source(counters, "" if counters else "NVML finds no GPU", library.nvmlShutdown)


def _counter(library: Any, number: int) -> NvmlCounter:
    device = library.nvmlDeviceGetHandleByIndex(number)
    name = library.nvmlDeviceGetName(device)
    text = name.decode() if isinstance(name, bytes) else name
    counter = NvmlCounter(library, device, f"NVML {number} {text}")
    counter.read()
    return counter
