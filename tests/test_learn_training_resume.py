"""A run that is killed at any moment and started again ends with the very same weights."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from mobilegeo.errors import ResourceError, UsageError  # noqa: E402
from mobilegeo.learn import checkpoint  # noqa: E402
from mobilegeo.learn.training import loop, state  # noqa: E402
from mobilegeo.learn.training.log import RunLog  # noqa: E402
from mobilegeo.learn.training.loop import run  # noqa: E402
from mobilegeo.learn.training.step import Stepper  # noqa: E402
from training_kit import write_config  # noqa: E402

EVERYTHING = (
    "schedule.checkpoint_steps=2",
    "schedule.ema_decay=0.9",
    "sampling.hard_from_epoch=1",
    "memory.chunk_images=3",
)
"""Dropout, a moving average, hard samples and gradient caching: all that has a state."""


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_written(tensors: Any, path: Path, *_: object) -> None:
    """A process that is killed while it writes a checkpoint."""
    Path(path).write_bytes(b"\x10\0\0\0\0\0\0\0half of a he")
    die()


def on_call(owner: Any, name: str, number: int, act: Callable[..., None], after: bool) -> None:
    """Lets `act` happen before, after or instead of the numbered call of a function."""
    real, calls = getattr(owner, name), []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        if len(calls) != number:
            return real(*args, **kwargs)
        if after:
            real(*args, **kwargs)
        return act(*args, **kwargs)

    setattr(owner, name, counted)


MOMENTS: dict[str, tuple[Any, str, int, Callable[..., None], bool]] = {
    "before the first weights move": (Stepper, "_move", 1, die, False),
    "within the first checkpoint": (checkpoint, "save_file", 1, half_written, False),
    "after the third step": (Stepper, "_move", 3, die, True),
    "within the best network": (checkpoint, "save_file", 2, half_written, False),
    "after the log of the first epoch": (RunLog, "write", 1, die, True),
    "while places that look alike are sought": (loop, "places_alike", 1, die, True),
    "after old checkpoints are removed": (state.RunState, "save", 1, die, True),
    "before the last log": (RunLog, "write", 1, die, False),
}
"""In the order of a run that is killed eight times."""


def train_in_child(config: Path, moment: str | None) -> None:
    torch.set_num_threads(1)
    if moment is not None:
        on_call(*MOMENTS[moment])
    run(config, EVERYTHING, tell=lambda _: None, advance=lambda *_: None)


def exit_code(config: Path, moment: str | None = None) -> int | None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mobilegeo.learn.training.loop"])
    process = context.Process(target=train_in_child, args=(config, moment))
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = write_config(tmp_path_factory.mktemp("straight"))
    assert exit_code(config) == 0
    return config.parent


def lines(folder: Path) -> list[dict[str, float]]:
    """Metrics without what depends on the clock."""
    text = (folder / "run" / "metrics.jsonl").read_text()
    return [
        {k: v for k, v in json.loads(line).items() if k != "images_per_s"}
        for line in text.splitlines()
    ]


def test_killed_at_many_moments_it_ends_with_the_same_bits(
    uninterrupted: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path)
    for moment in MOMENTS:
        assert exit_code(config, moment) == -signal.SIGKILL, moment
    assert exit_code(config) == 0
    names = sorted(path.name for path in (uninterrupted / "run").glob("*.safetensors"))
    assert names == ["network.safetensors", "step-0000004.safetensors", "step-0000006.safetensors"]
    for name in names:
        expected, found = (load_file(f / "run" / name) for f in (uninterrupted, tmp_path))
        assert found.keys() == expected.keys()
        assert [key for key in expected if not torch.equal(found[key], expected[key])] == []
        metadata = [checkpoint.read_metadata(f / "run" / name) for f in (uninterrupted, tmp_path)]
        assert metadata[0].get("progress") == metadata[1].get("progress")
    assert lines(tmp_path) == lines(uninterrupted)
    assert [line["epoch"] for line in lines(tmp_path)] == [1, 2]


def test_the_run_moved_what_it_should_and_kept_all_of_it(uninterrupted: Path) -> None:
    early, late = (load_file(uninterrupted / "run" / f"step-000000{k}.safetensors") for k in (4, 6))
    prefixes = {name.split(".")[0] for name in late}
    assert prefixes == {"network", "trained", "objective", "optimiser", "neighbours"}
    for name in ("trained.classifier.2.weight", "network.classifier.2.weight"):
        assert not torch.equal(early[name], late[name])
    assert not torch.equal(late["trained.classifier.2.weight"], late["network.classifier.2.weight"])


@pytest.fixture
def copied(uninterrupted: Path, tmp_path: Path) -> Path:
    """The finished run, in a copy that may be spoilt."""
    return shutil.copytree(uninterrupted, tmp_path / "again")


def go_on(folder: Path, *overrides: str) -> None:
    config = folder / "tiny.toml"
    run(config, (*EVERYTHING, *overrides), tell=lambda _: None, advance=lambda *_: None)


def test_a_finished_run_stays_as_it_is(copied: Path) -> None:
    before = (copied / "run" / "network.safetensors").read_bytes()
    go_on(copied, "data.workers=2")
    assert (copied / "run" / "network.safetensors").read_bytes() == before
    assert len(lines(copied)) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "optimiser.weight_decay=0.1",
            r"step-0000006.* another configuration: optimiser\.weight_decay was 0\.05 and is 0\.1;",
        ),
        ("student.backbone.size_px=64", r"student\.backbone\.size_px was 32 and is 64"),
    ],
)
def test_a_changed_configuration_is_refused_and_named(
    copied: Path, override: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        go_on(copied, override)


def test_another_dataset_is_refused(copied: Path) -> None:
    for kind in ("drone", "satellite"):
        folder = copied / "data" / "train" / kind
        for place in sorted(folder.iterdir()):
            place.rename(folder / f"moved-{place.name}")
    with pytest.raises(ResourceError, match=r"was trained on 6 places, which are not those found"):
        go_on(copied)


@pytest.mark.parametrize("content", [b"", b"no tensors here, but some bytes"])
def test_a_damaged_checkpoint_is_named(copied: Path, content: bytes) -> None:
    (copied / "run" / "step-0000006.safetensors").write_bytes(content)
    with pytest.raises(ResourceError, match=r"step-0000006\.safetensors: is not a readable check"):
        go_on(copied)


def test_another_trainers_checkpoint_is_refused(copied: Path) -> None:
    path = copied / "run" / "step-0000007.safetensors"
    checkpoint.write_tensors(path, {"model.weight": torch.zeros(2)}, {"model": "{}"})
    with pytest.raises(ResourceError, match="is no checkpoint of a training run; choose another"):
        go_on(copied)
