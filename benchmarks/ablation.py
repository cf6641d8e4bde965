"""What each term of the objective adds, on simulated views of held-out places.

Six students differ in nothing but the objective: InfoNCE alone, then triplet, cross-entropy on
all exits, FISD, UAPA and cross-distillation are added one after another, with the paper's weights.
All see the same number of steps, and of one seed the same batches in the same order. The teacher,
trained once a seed, sees more pixels. Measured once, after the last epoch, on the test places.

    python benchmarks/ablation_data.py ../shared/data --out runs/ablation_data
    python benchmarks/ablation.py --weights ../shared/weights/mobilenetv2_100_imagenet.safetensors

Runs that are finished are not repeated.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mobilegeo.learn.evaluation.benchmark_run import Settings, evaluate_dataset
from mobilegeo.learn.evaluation.embedding import ViewEmbedder
from mobilegeo.learn.evaluation.networks import open_network
from mobilegeo.learn.evaluation.tables import Record, markdown_table
from mobilegeo.learn.losses.objective import ObjectiveWeights
from mobilegeo.learn.training.loop import run

CONFIGS = Path(__file__).parent.parent / "configs"
CROSS = "cross"
TERMS_OF = {
    "contrastive only (InfoNCE)": ("info_nce",),
    "+ triplet": ("triplet",),
    "+ exits (cross-entropy)": ("ce_final", "ce_exit"),
    "+ FISD": ("fisd",),
    "+ UAPA": ("uapa",),
    "+ cross-distillation": (CROSS,),
}
PROTOCOLS = {"D2S": "university1652-d2s", "S2D": "university1652-s2d"}
COLUMNS = tuple(f"{task} {metric}" for task in PROTOCOLS for metric in ("R@1", "AP"))


@dataclass(frozen=True)
class Trial:
    """One student, or the teacher.

    Attributes:
        name: as in the table.
        seed: of everything random.
        overrides: of the configuration.
        config: the file.
    """

    name: str
    seed: int
    config: Path
    overrides: tuple[str, ...]


def students(seed: int, teacher: Path) -> list[Trial]:
    """The six students of a seed, each with one more part of the objective."""
    trials = []
    active: set[str] = set()
    for name, terms in TERMS_OF.items():
        active |= set(terms)
        off = [f.name for f in fields(ObjectiveWeights) if f.name not in active]
        overrides = [f"loss.{term}=0.0" for term in off]
        if CROSS in active:
            overrides += ["task=cross_distillation", f"teacher_network={teacher.resolve()}"]
        trials.append(Trial(name, seed, CONFIGS / "ablation_student.toml", tuple(overrides)))
    return trials


def train(trial: Trial, arguments: argparse.Namespace) -> Path:
    """Trains one network and returns its file."""
    section = "teacher" if "teacher" in trial.config.stem else "student"
    slug = "".join(c if c.isalnum() else "-" for c in trial.name).strip("-")
    out = (arguments.out / f"{slug}-{trial.seed}").resolve()
    finished = out / "finished"
    network = out / "network.safetensors"
    if not finished.exists():
        common = [
            f"seed={trial.seed}",
            f"out={out}",
            f"data.root={arguments.data.resolve()}",
            f"{section}.backbone.weights={arguments.weights.resolve()}",
        ]
        if arguments.epochs:
            common.append(f"schedule.epochs={arguments.epochs}")
        network = run(
            trial.config, [*common, *trial.overrides], tell=print, advance=lambda *_: None
        )
        finished.touch()
    return network


def measure(network: Path, data: Path) -> dict[str, float]:
    """Metrics on the test places, percent."""
    embedder = ViewEmbedder(open_network(str(network), None), None)
    settings = Settings(protocols=tuple(PROTOCOLS.values()))
    rows = evaluate_dataset(embedder, "university1652", data, settings).rows
    metrics = {row.task: row.result.metrics for row in rows}
    return {column: 100.0 * metrics[column[:3]][column[4:]] for column in COLUMNS}


def table(results: list[dict[str, object]]) -> str:
    """Mean and standard deviation over the seeds, and the difference to the row above."""
    records: list[Record] = []
    above: dict[str, dict[int, float]] = {}
    for name in dict.fromkeys(str(result["name"]) for result in results):
        mine = [result for result in results if result["name"] == name]
        record: dict[str, str | float | None] = {"objective": name, "seeds": len(mine)}
        for column in COLUMNS:
            by_seed = {int(str(r["seed"])): float(str(r[column])) for r in mine}
            values = np.array(list(by_seed.values()))
            record[column] = f"{values.mean():.1f} ± {values.std(ddof=len(values) > 1):.1f}"
            if column == COLUMNS[0]:
                pairs = [v - above[column][s] for s, v in by_seed.items() if above.get(column)]
                record["change, paired"] = (
                    f"{np.mean(pairs):+.1f} ({min(pairs):+.1f} … {max(pairs):+.1f})"
                    if pairs
                    else ""
                )
            above[column] = by_seed
        records.append(record)
    return markdown_table(records)


def main() -> None:
    """Trains, measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("runs/ablation_data"))
    parser.add_argument("--weights", type=Path, required=True, help="of mobilenetv2_100")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="instead of the configurations'")
    arguments = parser.parse_args()
    results = []
    for seed in arguments.seeds:
        teacher = Trial("teacher", seed, CONFIGS / "ablation_teacher.toml", ())
        taught_by = train(teacher, arguments)
        for trial in (teacher, *students(seed, taught_by)):
            network = train(trial, arguments)
            scores = measure(network, arguments.data)
            results.append({"name": trial.name, "seed": seed, **scores})
            print(json.dumps(results[-1]), flush=True)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    ordered = [r for r in results if r["name"] != "teacher"]
    print(table([*ordered, *(r for r in results if r["name"] == "teacher")]))


if __name__ == "__main__":
    main()
