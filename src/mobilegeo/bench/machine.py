"""What the machine is, and how much memory the process took."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What Linux's proc(5) wants written there for the peak to start anew."""


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """The most memory that was resident at once.

    Attributes:
        mb: megabytes (10⁶ bytes); `None` where the platform does not say.
        note: since when, or why not.
    """

    mb: float | None
    note: str


def calm_threads() -> None:
    """Lets OpenMP's threads sleep as soon as they are idle, unless the user said otherwise.

    By default they go on spinning after each call, which takes the cores from whatever is timed
    next. Must be called before a library with OpenMP is loaded: faiss, OpenCV, torch.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def cpu_name(cpu_info: Path = CPU_INFO) -> str:
    """The processor's own name, or as much of it as the platform tells."""
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def cores() -> int:
    """Processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def reset_peak(clear_refs: Path = CLEAR_REFS) -> bool:
    """Lets the peak start anew from what is resident now; `False` where that cannot be done."""
    try:
        clear_refs.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def peak_memory(since_reset: bool) -> PeakMemory:
    """The peak of this process.

    Args:
        since_reset: whether `reset_peak` worked before.
    """
    try:
        import resource
    except ImportError:
        return PeakMemory(None, "this platform does not report it")
    # Kibibytes everywhere but on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    span = (
        "while locating, with what preparation left resident"
        if since_reset
        else "of the whole process, its preparation included"
    )
    return PeakMemory(peak, span)
