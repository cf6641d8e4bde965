"""One evaluation from start to files: open the network, embed, measure, draw, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilegeo.learn.datasets.records import Benchmark
from mobilegeo.learn.evaluation.benchmark_run import Findings, Settings, evaluate_dataset
from mobilegeo.learn.evaluation.drawing import write_png
from mobilegeo.learn.evaluation.embedding import BATCH, Progress, ViewEmbedder
from mobilegeo.learn.evaluation.networks import open_network
from mobilegeo.learn.evaluation.plots import embedding_plot, sample_places
from mobilegeo.learn.evaluation.results import (
    Provenance,
    provenance,
    to_record,
    write_results,
)
from mobilegeo.learn.evaluation.search import Search
from mobilegeo.learn.evaluation.sheets import retrieval_sheet
from mobilegeo.learn.evaluation.tables import markdown_table
from mobilegeo.output.atomic import make_folder

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Request:
    """What is to be evaluated on what.

    Attributes:
        network: name of a shipped encoder, or path of an `.onnx` or `.safetensors` file.
        dataset: key of the catalogue.
        root: its folder.
        variant: a height or split; None takes the first, `all` every one.
        settings: tasks, protocols, conditions and multi-view queries.
        cache: folder of embeddings kept between runs; None keeps none.
        out: folder of the result files; None writes none.
        batch: images a pass.
        size_px: side of the input; None takes the size the network was trained for.
    """

    network: str
    dataset: str
    root: Path
    variant: str | None = None
    settings: Settings = field(default_factory=Settings)
    cache: Path | None = None
    out: Path | None = None
    batch: int = BATCH
    size_px: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        findings: the table and the unreadable files.
        origin: how it came about.
        files: that were written.
        passed: images that went through the network; the others came from the cache.
    """

    findings: Findings
    origin: Provenance
    files: Sequence[Path]
    passed: int

    def table(self) -> str:
        """In Markdown."""
        return markdown_table(self.findings.records)

    def to_record(self) -> dict[str, Any]:
        """Everything as one JSON object; metrics are fractions and metres."""
        return {
            **to_record(self.findings, self.origin),
            "passed": self.passed,
            "files": [str(path) for path in self.files],
        }


def run(request: Request, command: str, progress: Progress | None = None) -> Outcome:
    """Evaluates as requested and writes results and pictures into `request.out`.

    Args:
        request: what.
        command: as typed, for the results.
        progress: is told of every stage.

    Raises:
        MobileGeoError: see `open_network`, `ViewEmbedder` and `evaluate_dataset`.
    """
    out = request.out
    if out is not None:
        make_folder(out)
    network = open_network(request.network, request.size_px)
    embedder = ViewEmbedder(network, request.cache, batch=request.batch, progress=progress)
    pictures = None if out is None else _Pictures(out, network.id, request.settings.tasks[0])
    findings = evaluate_dataset(
        embedder, request.dataset, request.root, request.settings, request.variant, pictures
    )
    origin = provenance(network, command)
    files: list[Path] = []
    if out is not None and pictures is not None:
        files = [*write_results(out, findings, origin), *pictures.files]
    return Outcome(findings, origin, files, embedder.passed)


class _Pictures:
    """Draws every search: a retrieval sheet each, and an embedding plot of the first task's.

    Both tasks hold the same images, so that a second plot would show nothing new.
    """

    def __init__(self, out: Path, network: str, plotted_task: str) -> None:
        self.files: list[Path] = []
        self._out = out
        self._network = network
        self._plotted_task = plotted_task

    def __call__(self, benchmark: Benchmark, search: Search) -> None:
        parts = (benchmark.name, benchmark.variant, search.retrieval.name, str(search.condition))
        title = ", ".join((" ".join(filter(None, parts)), self._network))
        stem = "-".join(filter(None, parts)).replace(" ", "-")
        self._write(f"sheet-{stem}.png", retrieval_sheet(search, title))
        sample = sample_places(search)
        if search.retrieval.name == self._plotted_task and len(sample.places) > 1:
            self._write(f"plot-{stem}.png", embedding_plot(sample, title))

    def _write(self, name: str, image: Image) -> None:
        path = self._out / name
        write_png(image, path)
        self.files.append(path)
