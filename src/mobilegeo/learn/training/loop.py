"""A training run: from a configuration to a network, resumable at any moment."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mobilegeo.errors import UsageError
from mobilegeo.learn import checkpoint
from mobilegeo.learn.models.student import Student
from mobilegeo.learn.training.average import MovingAverage
from mobilegeo.learn.training.config import TrainingConfig, load_config
from mobilegeo.learn.training.data.batch import ViewBatch
from mobilegeo.learn.training.data.opening import open_training_data
from mobilegeo.learn.training.data.training import TrainingData
from mobilegeo.learn.training.data.validation import ValidationData
from mobilegeo.learn.training.distributed import Ranks, joined_ranks
from mobilegeo.learn.training.joint_norm import join_batch_norms
from mobilegeo.learn.training.learner import build_learner, costs, input_size_px
from mobilegeo.learn.training.log import RunLog
from mobilegeo.learn.training.optimiser import schedule, set_learning_rate
from mobilegeo.learn.training.state import Progress, RunState
from mobilegeo.learn.training.step import Stepper
from mobilegeo.learn.training.validation import feature_statistics, places_alike, validate

Tell = Callable[[str], None]
Advance = Callable[[str, int, int], None]


def run(config_path: Path, overrides: Sequence[str] = (), *, tell: Tell, advance: Advance) -> Path:
    """Trains what the configuration describes; started again, goes on after the last checkpoint.

    Everything is under `out`: `step-*.safetensors` to go on from, `network.safetensors`,
    `metrics.jsonl` and `tensorboard/`.

    Args:
        config_path: TOML file.
        overrides: `section.key=value`, instead of what the file says.
        tell: takes lines about the run.
        advance: takes a stage, the steps done and the steps in all.

    Returns:
        The trained network's file.

    Raises:
        UsageError: the configuration cannot be meant.
        ResourceError: imagery or weights are missing, memory ran out, or the loss diverged.
    """
    config = load_config(config_path, overrides)
    with joined_ranks() as ranks:
        quiet: Tell = lambda _: None  # noqa: E731
        training = Training(config, ranks, tell if ranks.first else quiet)
        return training.finish(advance if ranks.first else lambda *_: None)


class Training:
    """A run that has been set up, or resumed.

    Args:
        config: the run.
        ranks: this process and the others.
        tell: takes lines about the run.
    """

    def __init__(self, config: TrainingConfig, ranks: Ranks, tell: Tell) -> None:
        self.config, self.ranks, self._tell = config, ranks, tell
        self.data, self.validation = _open(config)
        self.state = _start(config, ranks, self.data, tell)
        last = checkpoint.last_checkpoint(config.out)
        if last is not None:
            self.state.resume(last)
            tell(f"goes on after step {self.state.progress.step}")
        self.epoch_steps = self.data.batches_per_epoch // config.memory.accumulation
        if not self.epoch_steps:
            raise UsageError(
                "memory.accumulation",
                f"is {config.memory.accumulation}, an epoch has {self.data.batches_per_epoch} "
                "batches",
                "lower it, or sampling.places_per_batch",
            )

    def finish(self, advance: Advance) -> Path:
        """Trains to the end, or until the metric has long not improved."""
        config, progress = self.config, self.state.progress
        log = self._log()
        try:
            while progress.epoch < config.schedule.epochs and not self._stopped():
                self._epoch(log, advance)
        finally:
            if log is not None:
                log.close()
        if self._stopped():
            self._tell(
                f"stopped early: the best {config.schedule.metric}, {progress.best:.4g}, is "
                f"{progress.stale} evaluations old"
            )
        return config.out / checkpoint.NETWORK_FILE

    def _log(self) -> RunLog | None:
        if not self.ranks.first:
            return None
        self.config.out.mkdir(parents=True, exist_ok=True)
        step = self.state.progress.step
        return RunLog(self.config.out, step, self.config.logging.tensorboard)

    def _stopped(self) -> bool:
        patience = self.config.schedule.patience
        return 0 < patience <= self.state.progress.stale

    def _epoch(self, log: RunLog | None, advance: Advance) -> None:
        """Takes the steps that the epoch still has, evaluates, notes and writes a checkpoint."""
        progress = self.state.progress
        self._judge_likeness()
        started, first = time.monotonic(), progress.taken
        images = 0
        for batches in self._groups():
            images += sum(len(b.drone) + len(b.satellite) for b in batches)
            self._step(batches)
            advance("steps", progress.step, self.config.schedule.epochs * self.epoch_steps)
            self._save_within()
        seconds = time.monotonic() - started
        values = self._means(progress)
        if progress.taken > first:
            values["images_per_s"] = round(images * self.ranks.world / seconds, 1)
        progress.epoch, progress.taken, progress.sums = progress.epoch + 1, 0, {}
        values |= self._evaluate()
        if log is not None:
            log.write(progress.step, values)
            self.state.save()
        self._tell(_line(values))

    def _groups(self) -> Iterator[list[ViewBatch]]:
        """The batches of each step that is left of the epoch."""
        size, progress = self.config.memory.accumulation, self.state.progress
        batches = self.data.batches(
            progress.epoch,
            start=progress.taken * size,
            rank=self.ranks.rank,
            world=self.ranks.world,
            neighbours=self.state.neighbours,
        )
        for _ in range(progress.taken, self.epoch_steps):
            yield list(itertools.islice(batches, size))

    def _step(self, batches: Sequence[ViewBatch]) -> None:
        state, progress = self.state, self.state.progress
        stepper = state.stepper
        set_learning_rate(stepper.optimiser, self._learning_rate())
        for name, value in stepper.take(batches, progress.step).items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.step += 1
        progress.taken += 1
        if state.average is not None:
            state.average.update(stepper.learner.network, progress.step)

    def _learning_rate(self) -> float:
        plan = self.config.schedule
        warmup = math.ceil(plan.warmup_epochs * self.epoch_steps)
        share = schedule(self.state.progress.step, plan.epochs * self.epoch_steps, warmup)
        return self.config.optimiser.learning_rate * share

    def _save_within(self) -> None:
        every, progress = self.config.schedule.checkpoint_steps, self.state.progress
        due = every and progress.step % every == 0 and progress.taken < self.epoch_steps
        if due and self.ranks.first:
            self.state.save()

    def _means(self, progress: Progress) -> dict[str, float]:
        """The line of the epoch: means of the terms, learning rate and temperature."""
        losses = {f"loss/{name}": total / progress.taken for name, total in progress.sums.items()}
        return {
            "epoch": progress.epoch + 1,
            **losses,
            "learning_rate": self.state.stepper.optimiser.param_groups[-1]["lr"],
            "temperature": self.state.stepper.learner.temperature,
        }

    def _judge_likeness(self) -> None:
        """Finds the places that look alike, where the sampling asks for it at this epoch."""
        sampling, progress = self.config.sampling, self.state.progress
        if progress.taken or not sampling.refreshes(progress.epoch):
            return
        found = None
        if self.ranks.first:
            found = places_alike(
                self.state.result,
                self.data,
                min(sampling.hard_pool, self.data.places - 1),
                self.ranks.device,
                self.state.stepper.autocast,
            )
        self.state.neighbours = self.ranks.share(found)

    def _evaluate(self) -> dict[str, float]:
        """Metrics on the held-out places, where there are any and it is time; keeps the best."""
        plan, progress = self.config.schedule, self.state.progress
        last = progress.epoch == plan.epochs
        if progress.epoch % plan.evaluate_every and not last:
            return {}
        if self.validation is None:
            self._save_network()
            return {}
        metrics = None
        if self.ranks.first:
            stepper = self.state.stepper
            metrics = validate(
                self.state.result, self.validation, self.ranks.device, stepper.autocast
            )
        metrics = self.ranks.share(metrics) or {}
        self._note(metrics[plan.metric])
        return {f"validation/{name}": value for name, value in metrics.items()}

    def _note(self, metric: float) -> None:
        progress = self.state.progress
        if progress.best is None or metric > progress.best:
            progress.best, progress.stale = metric, 0
            self._save_network()
        else:
            progress.stale += 1

    def _save_network(self) -> None:
        if not self.ranks.first:
            return
        network, features = self.state.result, None
        if isinstance(network, Student):
            features = feature_statistics(network, self.data, self.ranks.device)
        self.state.save_network(self.config.out / checkpoint.NETWORK_FILE, features)


def _open(config: TrainingConfig) -> tuple[TrainingData, ValidationData | None]:
    return open_training_data(
        config.data, config.sampling, size_px=input_size_px(config), seed=config.seed
    )


def _start(config: TrainingConfig, ranks: Ranks, data: TrainingData, tell: Tell) -> RunState:
    learner = build_learner(config, data.place_ids)
    tell(costs(learner.network, config.network.backbone.name))
    if ranks.world > 1:
        join_batch_norms(learner.network)
    learner.to(ranks.device)
    stepper = Stepper(config, learner, ranks)
    decay = config.schedule.ema_decay
    average = MovingAverage(learner.network, decay) if decay else None
    return RunState(config, data.place_ids, stepper, average)


def _line(values: dict[str, float]) -> str:
    """An epoch in one line."""
    epoch = f"epoch {values['epoch']:.0f}"
    parts = [f"{k} {v:.4g}" for k, v in values.items() if k != "epoch"]
    return f"{epoch}: {', '.join(parts)}"
