"""What a run notes of itself: `metrics.jsonl`, and TensorBoard's event files."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilegeo.errors import MissingExtraError
from mobilegeo.output.atomic import write_atomically

FILE = "metrics.jsonl"


class RunLog:
    """One line an epoch.

    Lines of epochs that a resumed run takes again are dropped first.

    Args:
        folder: of the run.
        step: optimiser steps that the run goes on after.
        tensorboard: whether to write event files too, into `folder/tensorboard`.

    Raises:
        MissingExtraError: event files are wanted and the package is not there.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool) -> None:
        self._file = folder / FILE
        if self._file.exists():
            _drop_after(self._file, step)
        self._events = _events(folder / "tensorboard", step) if tensorboard else None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Notes values by name, after `step` optimiser steps."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)
            self._events.flush()

    def close(self) -> None:
        """Finishes the event files."""
        if self._events is not None:
            self._events.close()


def _drop_after(path: Path, step: int) -> None:
    """Keeps the whole lines up to a step; a line that was cut off is dropped."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            within = json.loads(line)["step"] <= step
        except (ValueError, KeyError, TypeError):
            within = False
        if within and line.endswith("\n"):
            kept.append(line)
    write_atomically(path, "".join(kept).encode())


def _events(folder: Path, step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError(
            "logging.tensorboard",
            "needs the package tensorboard, not installed here",
            "run pip install 'mobilegeo[learn]', or set logging.tensorboard to false",
        )
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)
