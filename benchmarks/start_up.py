"""How long Python, `import mobilegeo` and `mobilegeo --help` take, files in the disk cache.

Each is run in a process of its own, all in turn; wall-clock time from start to end.

    python benchmarks/start_up.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from statistics import median

COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "import mobilegeo": ("-c", "import mobilegeo"),
    "mobilegeo --help": ("-m", "mobilegeo", "--help"),
    "mobilegeo locate --help": ("-m", "mobilegeo", "locate", "--help"),
}


def main() -> None:
    """Runs every command in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(options.rounds + 1):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            if number:
                times[name].append(1000 * (time.perf_counter() - start))
    print("| command | median | slowest |\n|---|---|---|")
    for name, spent in times.items():
        print(f"| `{name}` | {median(spent):.0f} ms | {max(spent):.0f} ms |")


if __name__ == "__main__":
    main()
