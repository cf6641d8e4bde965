"""From a configuration to its trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from mobilegeo.errors import UsageError
from mobilegeo.learn import alignment, layout
from mobilegeo.learn.alignment.config import TASK as ALIGNMENT_HEAD
from mobilegeo.learn.configuration import read_toml
from mobilegeo.learn.layout.config import TASK as LAYOUT_HEAD
from mobilegeo.learn.training.config import Task
from mobilegeo.learn.training.loop import Advance, Tell, run


def train(path: Path, overrides: Sequence[str] = (), *, tell: Tell, advance: Advance) -> Path:
    """Trains what a configuration's `task` names; started again, goes on where it stopped.

    Args:
        path: TOML file.
        overrides: `section.key=value`, instead of what the file says.
        tell: takes lines about the run.
        advance: takes a stage, the steps done and the steps in all.

    Returns:
        What the run made: a safetensors file.

    Raises:
        UsageError: the configuration cannot be meant.
        ResourceError: imagery or weights are missing, memory ran out, or the loss diverged.
    """
    task = read_toml(path, overrides).get("task")
    if task == LAYOUT_HEAD:
        return layout.run(path, overrides)
    if task == ALIGNMENT_HEAD:
        return alignment.run(path, overrides, tell=tell, advance=advance)
    known = (*get_args(Task), LAYOUT_HEAD, ALIGNMENT_HEAD)
    if task not in known:
        raise UsageError(path, f"has task {task!r}", f"write task = one of: {', '.join(known)}")
    return run(path, overrides, tell=tell, advance=advance)
