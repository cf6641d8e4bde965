r"""How much of an alignment's peak survives a wrong heading or a wrong height.

Takes folders made by `real_drone.py`. Each photo's template is made with its telemetry falsified by
a fixed amount, without the refinement that would undo it, and correlated with the map around the
true place. Prints the median over photos of the peak, as a share of the peak without the error, and
the median distance of the peak from where it is without the error.

    python benchmarks/alignment_tolerance.py runs/sheffield \
        ../shared/data/drone/sheffield_cross/images
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mobilegeo.camera import GroundView
from mobilegeo.encoder import Encoder, encoder_for
from mobilegeo.evaluation import read_truth_csv
from mobilegeo.locate.correlate import MapSpectrum
from mobilegeo.locate.hypotheses import hypotheses
from mobilegeo.locate.template import make_templates, template_patch
from mobilegeo.maps.pack import MapPack
from mobilegeo.metadata.telemetry import read_telemetry_csv
from mobilegeo.photo import Photo, read_photo

HEADING_ERRORS_DEG = (-15, -10, -7.5, -5, 0, 5, 7.5, 10, 15)
HEIGHT_ERRORS = (0.75, 0.8, 0.89, 0.95, 1.0, 1.05, 1.12, 1.25, 1.33)
REACH_CELLS = 24


def peaks(
    photo: Photo,
    views: Sequence[GroundView],
    pack: MapPack,
    encoder: Encoder,
    x_m: float,
    y_m: float,
) -> np.ndarray:
    """Score and place of the peak of each view near a place, [N, 3]: score, row, column."""
    patches = [template_patch(photo.image, view, pack.spec) for view in views]
    cell_m = pack.spec.cell_m
    x0, y0 = round(x_m / cell_m) - REACH_CELLS, round(y_m / cell_m) - REACH_CELLS
    cells, valid = pack.features(x0, y0, 2 * REACH_CELLS, 2 * REACH_CELLS)
    spectrum = MapSpectrum(
        cells, valid, max(len(p.valid) for p in patches) // pack.spec.feature_stride_px
    )
    result = []
    for template in make_templates(patches, encoder, pack.basis):
        scores = spectrum.correlate(template)
        row, column = np.unravel_index(int(scores.argmax()), scores.shape)
        result.append((scores[row, column], row, column))
    return np.array(result, dtype=float)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("photos", type=Path)
    options = parser.parse_args()
    pack = MapPack.open(options.folder / "map.pack")
    encoder = encoder_for(pack)
    table = read_telemetry_csv(options.folder / "telemetry.csv")
    by_heading, by_height = [], []
    for row in read_truth_csv(options.folder / "truth.csv"):
        photo = read_photo(options.photos / row.photo, telemetry=table.lookup(row.photo))
        height, width = photo.image.shape[:2]
        view = hypotheses(photo.telemetry.pose, photo.camera, width, height).views[0]
        place = pack.frame.xy(row.position)
        turned = [replace(view, heading_deg=view.heading_deg + e) for e in HEADING_ERRORS_DEG]
        raised = [replace(view, agl_m=view.agl_m * e) for e in HEIGHT_ERRORS]
        by_heading.append(peaks(photo, turned, pack, encoder, *place))
        by_height.append(peaks(photo, raised, pack, encoder, *place))
    for name, errors, found in (
        ("heading error, degrees", HEADING_ERRORS_DEG, np.array(by_heading)),
        ("height times", HEIGHT_ERRORS, np.array(by_height)),
    ):
        none = errors.index(0 if 0 in errors else 1.0)
        share = found[:, :, 0] / found[:, none : none + 1, 0]
        moved = np.hypot(*(found[:, :, 1:] - found[:, none : none + 1, 1:]).transpose(2, 0, 1))
        print(f"| {name} | share of the peak | moved, m |\n|---|---|---|")
        for number, error in enumerate(errors):
            median_m = np.median(moved[:, number]) * pack.spec.cell_m
            print(f"| {error:g} | {np.median(share[:, number]):.2f} | {median_m:.1f} |")


if __name__ == "__main__":
    main()
