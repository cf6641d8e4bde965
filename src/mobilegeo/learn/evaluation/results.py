"""Result files: the table in Markdown, CSV and LaTeX, and everything in JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mobilegeo
from mobilegeo.learn.evaluation.benchmark_run import Findings
from mobilegeo.learn.evaluation.networks import Network
from mobilegeo.learn.evaluation.tables import csv_table, latex_table, markdown_table
from mobilegeo.output.atomic import write_atomically


@dataclass(frozen=True, slots=True)
class Provenance:
    """How results came about.

    Attributes:
        command: as typed.
        network: name of the weights.
        network_sha256: hash of their file.
        size_px: side of the network's input.
        date: day and time, UTC.
        hardware: what embedded the images.
        mobilegeo: version.
    """

    command: str
    network: str
    network_sha256: str
    size_px: int
    date: str
    hardware: str
    mobilegeo: str


def provenance(network: Network, command: str) -> Provenance:
    """Of a run that is made now, on this machine."""
    cpu = f"{os.cpu_count()}-core {platform.machine()} CPU"
    hardware = network.device.replace("CPU", cpu, 1)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Provenance(
        command,
        network.id,
        network.sha256,
        network.size_px,
        date,
        hardware,
        mobilegeo.__version__,
    )


def to_record(findings: Findings, origin: Provenance) -> dict[str, Any]:
    """Everything as one JSON object; metrics are fractions and metres here."""
    return {
        **asdict(origin),
        "rows": [
            {
                "dataset": row.dataset,
                "variant": row.variant,
                "task": row.task,
                "condition": asdict(row.condition),
                "views": row.views,
                "fused": row.fused,
                "encoded": row.encoded,
                **asdict(row.result),
            }
            for row in findings.rows
        ],
        "unreadable": [
            {"where": error.where, "problem": error.problem, "cure": error.cure}
            for error in findings.unreadable.values()
        ],
    }


def write_results(out: Path, findings: Findings, origin: Provenance) -> list[Path]:
    """Writes `results.md`, `.csv`, `.tex` and `.json`.

    Returns:
        Their paths.

    Raises:
        UsageError: the folder cannot be written.
    """
    facts = [f"{name}: {value}" for name, value in asdict(origin).items()]
    comments = "".join(f"% {fact}\n" for fact in facts)
    contents = {
        "results.md": _markdown(findings, facts),
        "results.csv": csv_table(findings.records),
        "results.tex": comments + latex_table(findings.records),
        "results.json": json.dumps(to_record(findings, origin), indent=1) + "\n",
    }
    for name, text in contents.items():
        write_atomically(out / name, text.encode())
    return [out / name for name in contents]


def _markdown(findings: Findings, facts: Sequence[str]) -> str:
    lines = [
        "# Evaluation\n",
        "\n".join(f"- {fact}" for fact in facts) + "\n",
        markdown_table(findings.records),
        "`fused`: views in a query; `encoded`: views that went through the network for it.\n",
    ]
    if findings.unreadable:
        lines.append(
            f"{len(findings.unreadable)} images could not be read. As queries they count as "
            "missed, in the gallery they are left out:\n"
        )
        lines.append("".join(f"- {error}\n" for error in findings.unreadable.values()))
    return "\n".join(lines)
