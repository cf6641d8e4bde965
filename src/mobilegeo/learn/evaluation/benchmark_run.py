"""A network on a benchmark: every variant, task, condition and protocol that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.learn.datasets.catalogue import find_dataset
from mobilegeo.learn.datasets.records import D2S, S2D, Benchmark, Retrieval
from mobilegeo.learn.evaluation.embedding import ViewEmbedder
from mobilegeo.learn.evaluation.images import CLEAN, Condition
from mobilegeo.learn.evaluation.multiview_queries import MultiView, check_choice
from mobilegeo.learn.evaluation.protocols import PROTOCOLS, Protocol, Result, find_protocol
from mobilegeo.learn.evaluation.search import Search, check_fit, embed_search
from mobilegeo.learn.evaluation.tables import Record

ALL = "all"
DATASET_PROTOCOLS: dict[str, tuple[str, ...]] = {
    "university1652": tuple(name for name in PROTOCOLS if name.startswith("university1652-")),
    "sues200": tuple(name for name in PROTOCOLS if name.startswith("sues200-")),
    "denseuav": ("denseuav", "denseuav-s2d"),
    "gta_uav": ("gta-uav", "gta-uav-s2d"),
    "uav_visloc": ("uav-visloc", "uav-visloc-s2d"),
}
"""What is reported unless protocols are named; other datasets take `folder`'s."""
FOLDER_PROTOCOLS = ("folder-d2s", "folder-s2d")
SINGLE = "single"
QUERY_COLUMNS = ("views", "fused", "encoded")


@dataclass(frozen=True)
class Settings:
    """What to evaluate.

    Attributes:
        tasks: `D2S`, `S2D`; those that the dataset lacks are an error unless both are asked for.
        protocols: names; empty takes the dataset's own.
        conditions: in which drone views are seen.
        multi_views: ways of fusing several drone views into one query, besides single ones; for
            drone to satellite.
    """

    tasks: tuple[str, ...] = (D2S, S2D)
    protocols: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = (CLEAN,)
    multi_views: tuple[MultiView, ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        dataset, variant, task: what was searched; the variant is "" where there is one only.
        condition: in which drone views were seen.
        views: how a query came about: `SINGLE`, or a method and its number of views.
        fused: drone or satellite views in a query, mean.
        encoded: views that went through the network for a query, mean.
        result: the metrics.
    """

    dataset: str
    variant: str
    task: str
    condition: Condition
    views: str
    fused: float
    encoded: float
    result: Result

    def to_record(self) -> dict[str, str | float | None]:
        """A row of `tables`; fractions become percent."""
        return {
            "dataset": " ".join(filter(None, (self.dataset, self.variant))),
            "task": self.task,
            "condition": str(self.condition),
            QUERY_COLUMNS[0]: self.views,
            QUERY_COLUMNS[1]: _whole(self.fused),
            QUERY_COLUMNS[2]: _whole(self.encoded),
            **self.result.to_record(),
        }


@dataclass
class Findings:
    """What a run has found so far.

    Attributes:
        rows: of the table.
        unreadable: files that could not be read, and why.
    """

    rows: list[Row] = field(default_factory=list)
    unreadable: dict[Path, PhotoError] = field(default_factory=dict)

    @property
    def records(self) -> list[Record]:
        """The table; how a query came about only where not all are single views."""
        records: list[Record] = [row.to_record() for row in self.rows]
        if any(row.views != SINGLE for row in self.rows):
            return records
        return [
            {name: cell for name, cell in record.items() if name not in QUERY_COLUMNS}
            for record in records
        ]


Look = Callable[[Benchmark, Search], None]
"""Called with each search once it is embedded, to draw pictures of it."""


def evaluate_dataset(
    embedder: ViewEmbedder,
    dataset: str,
    root: Path,
    settings: Settings,
    variant: str | None = None,
    look: Look | None = None,
) -> Findings:
    """Evaluates a network on a dataset.

    Args:
        embedder: the network and its cache.
        dataset: key of the catalogue.
        root: its folder.
        settings: what to evaluate.
        variant: a height or split; None takes the first, `all` every one.
        look: is shown every search.

    Raises:
        DatasetError: the dataset is incomplete or laid out in another way.
        UsageError: there is no such dataset, variant, task or protocol, or they do not fit.
    """
    protocols = _protocols(dataset, settings)
    entry = find_dataset(dataset)
    variants = (entry.variants or (None,)) if variant == ALL else (variant,)
    findings = Findings()
    for chosen in variants:
        benchmark = entry.read(root, chosen)
        for retrieval in _retrievals(benchmark, settings.tasks):
            fitting = [found for found in protocols if found.query == retrieval.query.kind]
            for search in _searches(retrieval, fitting, embedder, settings):
                findings.unreadable |= search.unreadable
                findings.rows += _rows(benchmark, search, fitting, settings)
                if look is not None:
                    look(benchmark, search)
    if not findings.rows:
        raise UsageError(
            f"protocol {', '.join(protocol.name for protocol in protocols)}",
            f"asks in the other direction than {' and '.join(settings.tasks)}",
            "choose another protocol or task",
        )
    return findings


def _searches(
    retrieval: Retrieval,
    protocols: Sequence[Protocol],
    embedder: ViewEmbedder,
    settings: Settings,
) -> Iterator[Search]:
    """A task under each condition, embedded; none where no protocol asks in its direction."""
    if not protocols:
        return
    for protocol in protocols:
        check_fit(retrieval, protocol)
    if settings.multi_views and retrieval.query.kind == "drone":
        check_choice(retrieval.query)
    for condition in settings.conditions:
        yield embed_search(retrieval, embedder, condition)


def _rows(
    benchmark: Benchmark, search: Search, protocols: Sequence[Protocol], settings: Settings
) -> Iterator[Row]:
    """Every protocol, with single and, where drones ask, with fused queries."""
    multi_views = settings.multi_views if search.retrieval.query.kind == "drone" else ()
    facts = (benchmark.name, benchmark.variant, search.retrieval.name, search.condition)
    for protocol in protocols:
        yield Row(*facts, SINGLE, 1.0, 1.0, search.measure(protocol))
        for multi in multi_views:
            result, queries = search.measure_fused(protocol, multi)
            yield Row(*facts, str(multi), queries.fused, queries.encoded, result)


def _protocols(dataset: str, settings: Settings) -> tuple[Protocol, ...]:
    names = settings.protocols or DATASET_PROTOCOLS.get(dataset, FOLDER_PROTOCOLS)
    return tuple(find_protocol(name) for name in names)


def _retrievals(benchmark: Benchmark, tasks: tuple[str, ...]) -> list[Retrieval]:
    """The tasks asked for; of several, those that the dataset has."""
    there = [task for task in tasks if task in benchmark.retrievals]
    return [benchmark.retrieval(task) for task in there or tasks[:1]]


def _whole(number: float) -> float:
    """A whole number as an integer, which tables print without decimals."""
    return int(number) if number == int(number) else number
