"""Runs the command line, in its own process or in this one, and makes a small world for it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import mobilegeo
from mobilegeo.cli import main
from mobilegeo.geo import LatLon
from mobilegeo.world.demo import write_demo

SOURCES = Path(mobilegeo.__file__).parents[1]
STRIDE = "0.5"
_TIMEOUT_S = 120
_BECOME = (
    "import os, sys; os.execv(sys.executable, [sys.executable, '-m', 'mobilegeo', *sys.argv[1:]])"
)

OBEY_PERMISSIONS = "import ctypes; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)"
"""Drops CAP_DAC_OVERRIDE, so that read-only folders are read-only even for root."""
HEAR_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)"
"""Undoes the deafness to SIGINT that jobs in the background inherit."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """One JSON object a line of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


def start(
    *arguments: str | Path, cwd: Path | None = None, first: str = ""
) -> subprocess.Popen[str]:
    """Starts `python -m mobilegeo` from this source tree, after statements of Python, if any."""
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "2"}
    command = ["-c", f"{first}; {_BECOME}"] if first else ["-m", "mobilegeo"]
    return subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
    )


def run(*arguments: str | Path, cwd: Path | None = None, first: str = "") -> Outcome:
    """Runs the command line in a process of its own; see `start`."""
    with start(*arguments, cwd=cwd, first=first) as process:
        out, err = process.communicate(timeout=_TIMEOUT_S)
    return Outcome(process.returncode, out, err)


def call(*arguments: str | Path) -> Outcome:
    """Runs the command line in this process, which saves a second a command."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    argv = ["mobilegeo", *map(str, arguments)]
    code: object = "main returned"
    with mock.patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Outcome(code, *(_text(stream) for stream in (out, err)))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@dataclass(frozen=True)
class World:
    """A generated world with its pack; not to be changed by tests."""

    folder: Path
    map_tif: Path
    photos: tuple[Path, ...]
    truth_csv: Path
    pack: Path
    build: Outcome

    @property
    def truth(self) -> dict[str, dict[str, float]]:
        """True values by photo name."""
        with self.truth_csv.open(newline="", encoding="utf-8") as lines:
            return {
                row.pop("photo"): {name: float(value) for name, value in row.items()}
                for row in csv.DictReader(lines)
            }

    def place(self, photo: Path) -> LatLon:
        """What the centre of a photo truly shows."""
        row = self.truth[photo.name]
        return LatLon(row["lat"], row["lon"])


@cache
def small_world(base: Path) -> World:
    """A world of 300 × 300 m with three photos, and its pack; made once for all modules."""
    folder = base / "cli-world"
    files = write_demo(folder, size_m=(300, 300), photos=3, photo_px=(640, 480))
    pack = folder / "map.pack"
    build = run("map", "build", files.map_tif, "-o", pack, "--stride", STRIDE, "--json")
    return World(folder, files.map_tif, files.photos, files.truth_csv, pack, build)
