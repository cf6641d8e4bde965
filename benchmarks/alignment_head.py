r"""Descriptors trained to find their place, against those taken from the same features untrained.

Every map is described once by each encoder and stored as packs are (48 directions, whitened, 4
bits); its photos are aligned with all of it, without a prior, under the telemetry that they claim.
Prints for each map and encoder what `descriptors.py` prints, and for each encoder in how many
photos it beats the first one.

    python benchmarks/alignment_head.py --encoder first runs/aligned.onnx \
        --located runs/autzen runs/autzen --south autzen \
        --located runs/sheffield ../shared/data/drone/sheffield_cross/images
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from descriptors import RIGHT_M, Case, aligned, described, reduced, row
from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.locate.align import Alignment
from mobilegeo.locate.confidence import margin
from mobilegeo.maps.descriptors import CHANNELS, WHITENING

BITS = 4
HEADER = (
    "| map, encoder | channels | whitening | bits | MB/km² | right | median | root mean square |"
    " margin | its tenth | peak over noise | agreement |\n|" + "---|" * 12
)
COMPARISON = (
    "| right now | lost | higher margin, median change | higher agreement | larger error, m |\n|"
    + "---|" * 6
)


def located(
    run: Path, photos: Path, every: int, encoder: Encoder, south: bool
) -> tuple[Case, list[tuple[Alignment, float]]]:
    """A map described by an encoder, and its photos' alignments with their errors, metres."""
    case = described(run, photos, every, encoder)
    if south:
        middle = case.pack.frame.point(0.0, 0.0).lat
        case = replace(case, photos=[one for one in case.photos if one[2].lat < middle])
    channels = min(CHANNELS, encoder.spec.feature_dim)
    return case, aligned(case, reduced(case, channels, WHITENING, BITS), encoder)


def compared(first: list[tuple[Alignment, float]], other: list[tuple[Alignment, float]]) -> str:
    """Photos for which the second is better than the first, and the median change."""
    right = [(a, b) for a, b in zip(first, other, strict=True) if max(a[1], b[1]) <= RIGHT_M]
    changes = {
        "margin": [margin(b) - margin(a) for (a, _), (b, _) in right],
        "agreement": [b.agreement - a.agreement for (a, _), (b, _) in right],
        "error": [error_b - error_a for (_, error_a), (_, error_b) in right],
    }
    lost = sum(b[1] > RIGHT_M >= a[1] for a, b in zip(first, other, strict=True))
    won = sum(a[1] > RIGHT_M >= b[1] for a, b in zip(first, other, strict=True))
    cells = [
        f" {sum(v > 0 for v in values)} of {len(right)}, {np.median(values):+.3f} |"
        for values in changes.values()
    ]
    return f" {won} | {lost} |" + "".join(cells)


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    runs = {"type": Path, "nargs": 2, "action": "append", "metavar": ("RUN", "PHOTOS")}
    add("--located", required=True, **runs)
    add("--encoder", nargs="+", required=True, help="the first is what others are compared with")
    add("--south", nargs="*", default=[], help="runs of which only the southern half is held out")
    add("--every", type=int, default=3, help="take every n-th photo")
    options = parser.parse_args()
    encoders = {Path(name).stem: load_encoder(name) for name in options.encoder}
    print(HEADER)
    changes = []
    for run, photos in options.located:
        results = []
        for name, encoder in encoders.items():
            case, found = located(run, photos, options.every, encoder, run.name in options.south)
            variant = (min(CHANNELS, encoder.spec.feature_dim), WHITENING, BITS)
            print(row(f"{run.name}, {name}", variant, found, case.pack.spec.cell_m), flush=True)
            results.append(found)
            if len(results) > 1:
                changes.append(f"| {run.name}, {name} |{compared(results[0], found)}")
    print(f"\n| against {options.encoder[0]} {COMPARISON}")
    print("\n".join(changes))


if __name__ == "__main__":
    main()
