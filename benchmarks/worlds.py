"""Errors on generated worlds that nothing was trained or calibrated on.

Every world has its own layout, seasons, light and sensor noise (`mobilegeo.world`); photos are
60 to 250 m high, tilted by up to 40°, and their telemetry is wrong as a drone's is. Each is located
without GPS, as it is, and with parts of its telemetry withheld.

    python benchmarks/worlds.py --out runs/outside --seeds 2003 2004 2005
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from mobilegeo.evaluation import evaluate
from mobilegeo.fix import Fix
from outside import UNKNOWN, Case, forget, world_case

EVERY = {"known": 1, "no heading": 2, "no height": 3, "neither": 4}
"""One photo in so many is tried, as unknowns take their time."""


def locate(case: Case, mode: str) -> tuple[list[Fix], list]:
    """Fixes and truths of a map's photos."""
    chosen = case.photos[:: EVERY[mode]]
    fixes = []
    for photo, _ in chosen:
        # A world's photos are named alike.
        fix = case.localizer.locate(forget(photo, UNKNOWN[mode]))
        fixes.append(replace(fix, photo=f"{case.name}/{Path(photo.source).name}"))
    truths = [replace(truth, photo=f"{case.name}/{truth.photo}") for _, truth in chosen]
    return fixes, truths


def row(name: str, fixes: list[Fix], truths: list) -> str:
    """A line of the table."""
    found = evaluate(fixes, truths, wrong_m=25.0).to_record()
    spent = np.median([fix.timing_ms["total"] for fix in fixes])
    return (
        f"| {name} | {found['photos']} | {found['fixes']} | {found['wrong_fixes']} |"
        f" {found['median_error_m']:.2f} m | {found['p90_error_m']:.2f} m |"
        f" {found['median_heading_error_deg']:.2f}° | {found['coverage_68']:.0%} |"
        f" {found['coverage_95']:.0%} | {spent:.0f} |"
    )


def main() -> None:
    """Locates every world's photos under every mode and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2003, 2004, 2005])
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--modes", nargs="+", choices=list(UNKNOWN), default=list(UNKNOWN))
    options = parser.parse_args()
    cases = [world_case(options.out / f"world{s}", s, options.photos) for s in options.seeds]
    print("| unknown, world | photos | fixes | wrong | median | 90 % within | heading |"
          " 68 % circle | 95 % circle | ms |")  # fmt: skip
    print("|" + "---|" * 10)
    records = []
    for mode in options.modes:
        fixes, truths = [], []
        for case in cases:
            some = locate(case, mode)
            fixes += some[0]
            truths += some[1]
            print(row(f"{mode}, {case.name}", *some), flush=True)
        print(row(f"{mode}, all", fixes, truths), flush=True)
        records += [{"mode": mode} | fix.to_record() for fix in fixes]
    (options.out / "worlds.json").write_text(json.dumps(records))


if __name__ == "__main__":
    main()
