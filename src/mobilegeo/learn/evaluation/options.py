"""What is to be evaluated, from the words of the command line."""

from __future__ import annotations

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.records import D2S, S2D
from mobilegeo.learn.evaluation.benchmark_run import ALL, Settings
from mobilegeo.learn.evaluation.corruptions import CONDITIONS
from mobilegeo.learn.evaluation.images import CLEAN, Condition
from mobilegeo.learn.evaluation.multiview_queries import MultiView

SEVERITY = "3"
METHOD = "msrm"
_TASKS = {"d2s": (D2S,), "s2d": (S2D,), "both": (D2S, S2D)}


def parse_settings(
    *,
    task: str,
    protocols: str | None,
    corruptions: str | None,
    severities: str | None,
    view_counts: str | None,
    view_methods: str | None,
    seed: int,
) -> Settings:
    """Reads lists with commas between.

    Args:
        task: D2S, S2D or both.
        protocols: names; None takes the dataset's own.
        corruptions: names, several joined with `+`, or `all`; None evaluates clean images only.
        severities: whole numbers 1 … 5; every corruption is evaluated at each; None takes 3.
        view_counts: how many views make a query; None takes single views only.
        view_methods: how they are chosen; every method is evaluated with each number; None takes
            the paper's.
        seed: of corruptions and random views, from 0.

    Raises:
        UsageError: a word is not known, a number is none, or an option would have no effect; names
            the option.
    """
    _check_used("--severity", severities, "--corrupt", corruptions)
    _check_used("--multi-view-method", view_methods, "--multi-view", view_counts)
    if task.lower() not in _TASKS:
        raise UsageError(f"--task {task}", "is none", "choose D2S, S2D or both")
    if view_counts is not None and D2S not in _TASKS[task.lower()]:
        raise UsageError("--multi-view", "fuses the views of drones that ask", "use --task D2S")
    return Settings(
        tasks=_TASKS[task.lower()],
        protocols=_names(protocols),
        conditions=_conditions(corruptions, severities or SEVERITY, seed),
        multi_views=_multi_views(view_counts, view_methods or METHOD, seed),
    )


def _check_used(option: str, value: str | None, needed: str, given: str | None) -> None:
    if value is not None and given is None:
        raise UsageError(option, f"has no effect without {needed}", f"add {needed} or leave it out")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _whole_numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option} {text}", "is not a list of whole numbers", "write for example 1,3,5"
        ) from None


def _conditions(names: str | None, severities: str, seed: int) -> tuple[Condition, ...]:
    """Clean, and every corruption at every severity."""
    chosen = (*CONDITIONS, "blur") if names == ALL else _names(names)
    levels = _whole_numbers(severities, "--severity")
    return (CLEAN, *(Condition(name, level, seed) for name in chosen for level in levels))


def _multi_views(counts: str | None, methods: str, seed: int) -> tuple[MultiView, ...]:
    """Every method with every number of views; once for the methods that take all."""
    if counts is None:
        return ()
    numbers = _whole_numbers(counts, "--multi-view")
    wanted = (MultiView(k, method, seed) for method in _names(methods) for k in numbers)
    return tuple({str(multi): multi for multi in wanted}.values())
