"""Seconds and memory of whole commands, from starting Python to the last line, in turn.

    python benchmarks/first_fix.py --times 5 \
        "mobilegeo locate a.jpg --map area.pack --json" \
        "taskset -c 0 mobilegeo locate a.jpg --map area.pack --json"

Prints a line for every command: median seconds by the clock and of processor time, and the most
memory that any of its runs had resident at once (10⁶ bytes). Linux and macOS.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Run:
    """What one run took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def run(command: list[str]) -> Run:
    """Runs a command, its output thrown away."""
    start = time.perf_counter()
    silence = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[silence])
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"{shlex.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = usage.ru_utime + usage.ru_stime
    return Run(time.perf_counter() - start, seconds, usage.ru_maxrss * unit / 1e6)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    parser.add_argument("--times", type=int, default=5)
    args = parser.parse_args()
    runs: dict[str, list[Run]] = {command: [] for command in args.commands}
    for command in args.commands * (args.times + 1):
        runs[command].append(run(shlex.split(command)))
    print("| command | wall s | processor s | peak MB |\n|---|---|---|---|")
    for command, (_, *timed) in runs.items():  # the first run fills the disk's cache
        wall_s, cpu_s = median(r.wall_s for r in timed), median(r.cpu_s for r in timed)
        peak_mb = max(r.peak_mb for r in timed)
        print(f"| `{command}` | {wall_s:.2f} | {cpu_s:.2f} | {peak_mb:.0f} |")


if __name__ == "__main__":
    main()
