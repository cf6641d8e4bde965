r"""The evaluation suite: judges encoders against fixed baselines, on fixed data, with fixed seeds.

Contestants: the encoders named, plain ImageNet features untrained (`plain_imagenet.py`), and SIFT
matching alone (`sift_map.py`). Parts: simulated places, generated worlds across seasons, a real
scene with relief, two real flights, photos of elsewhere, bad weather, speed. Every step's result is
kept in OUT: started again, it goes on, and a further encoder costs only its own steps. What is
kept is not made anew when code or an encoder's constants change: give a new OUT then.

Writes OUT/models.json, and one table a part into `--report`, between two marker lines; the rest of
that file is left as it is.

    python benchmarks/suite.py ../shared/data --out runs/suite \
        --weights ../shared/weights/mobilenetv2_100_imagenet.safetensors \
        --encoder nano=runs/nano1.onnx,runs/nano2.onnx,runs/nano3.onnx
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import fields
from datetime import date
from pathlib import Path
from statistics import mean, stdev

from mobilegeo.bench.machine import cores, cpu_name
from mobilegeo.learn.evaluation.tables import Record, markdown_table
from mobilegeo.output.atomic import write_atomically
from suite_parts import PARTS
from suite_run import Contestant, Suite
from suite_sites import Sizes

BEGIN, END = "<!-- written by benchmarks/suite.py -->", "<!-- end of benchmarks/suite.py -->"


LEGEND = """\
`imagenet`: the same network with ImageNet weights, untrained, the last layer pooled for tiles and
stage 4 dense for alignment. `sift`: SIFT matching with the whole map, no network. Pose known as a
drone knows it, no GPS. *within 25 m*: share of all photos whose best place is right, fix or not;
medians are over all photos. *fixes* use the constants beside the encoder (`*.calibration.json`)
if it has any; others are judged with neutral ones, and withhold more. *evidence* is the
neutral probability for every encoder, the inliers for SIFT. *tiles*: retrieval alone. *from sift*:
median distance to the place that SIFT finds.
± is the standard deviation over the files of one name, which differ in the seed of their training.
Seconds are those of all rows, maps and photos included, each step counted once.
"""


def between_markers(text: str, written: str) -> str:
    """A page with what lies between the markers replaced; appended where it has none."""
    block = f"{BEGIN}\n{written}\n{END}\n"
    before, found, rest = text.partition(BEGIN)
    if not found:
        return f"{text.rstrip()}\n\n{block}".lstrip()
    return before + block + rest.partition(END)[2].removeprefix("\n")


def section(name: str, rows: list[Record], seconds: float) -> str:
    """A part's table, what it is, and what it took."""
    told = (PARTS[name].__doc__ or "").strip()
    table = markdown_table(averaged(rows), digits=1)
    return f"## {name}\n\n{told}\n\n{table}\n{seconds:.0f} s.\n"


def averaged(rows: list[Record], digits: int = 1) -> list[Record]:
    """Rows with the same words, as of one recipe's seeds, become one."""
    alike: dict[tuple[str, ...], list[Record]] = {}
    for row in rows:
        words = tuple(cell for cell in row.values() if isinstance(cell, str))
        alike.setdefault(words, []).append(row)
    return [
        {column: _together([row[column] for row in group], digits) for column in group[0]}
        for group in alike.values()
    ]


def _together(cells: list[str | float | None], digits: int) -> str | float | None:
    """Mean ± sample standard deviation, unless all are equal; `None` where one is."""
    if None in cells:
        return None
    if len(set(cells)) == 1:
        return cells[0]
    return f"{mean(cells):.{digits}f} ± {stdev(cells):.{digits}f}"


def contestants(options: argparse.Namespace) -> tuple[Contestant, ...]:
    """The baselines and the encoders named."""
    plain = options.out / "imagenet.onnx"
    if not plain.exists():
        from plain_imagenet import write_plain_imagenet

        write_plain_imagenet(options.weights, plain)
    named = [str(plain), "first", *options.encoder]
    encoders = (each for text in dict.fromkeys(named) for each in Contestant.of(text))
    return (Contestant("sift"), *encoders)


def run(suite: Suite, names: list[str], heading: str) -> tuple[str, dict[str, list[Record]]]:
    """The page and the rows of every part; a step counts for the part that needed it first."""
    sections, rows, spent = [heading], {}, 0.0
    for name in names:
        rows[name] = PARTS[name](suite)
        total = sum(suite.seconds.values())
        sections.append(section(name, rows[name], total - spent))
        spent = total
        print(sections[-1], flush=True)
    return "\n".join(sections), rows


def main() -> None:
    """Runs the parts asked for and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet mobilenetv2_100")
    parser.add_argument(
        "--encoder",
        action="append",
        default=[],
        help="shipped names or files; those of one NAME share a row: mean ± standard deviation",
        metavar="[NAME=]ENCODER[,ENCODER…]",
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--report", type=Path, help="such as docs/results/models.md")
    parser.add_argument("--note", default="", help="said of the machine in the report")
    for size in fields(Sizes):
        parser.add_argument(
            f"--{size.name.replace('_', '-')}", type=int, default=size.default, metavar="N"
        )
    options = parser.parse_args()
    names = options.only.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        parser.error(f"--only: no part {unknown[0]}; choose from {', '.join(PARTS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = Sizes(**{size.name: getattr(options, size.name) for size in fields(Sizes)})
    suite = Suite(options.data, options.out, contestants(options), sizes)
    heading = (
        f"Date {date.today()}, {cores()}-core CPU ({cpu_name()}){options.note and ', '}"
        f"{options.note}.\n\n```\npython {shlex.join(sys.argv)}\n```\n\n{LEGEND}"
    )
    page, rows = run(suite, names, heading)
    write_atomically(
        options.out / "models.json",
        json.dumps({"rows": rows, "seconds": suite.seconds}, indent=1).encode(),
    )
    if options.report is not None:
        text = options.report.read_text() if options.report.exists() else "# Models\n"
        write_atomically(options.report, between_markers(text, page).encode())


if __name__ == "__main__":
    main()
