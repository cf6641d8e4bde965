r"""Pictures of where an encoder's tiles go wrong: for its model card.

Photos of the suite's generated worlds, taken in another season than the map, each beside the tile
that the encoder takes for its place and the tile that shows it; the worst first. Worlds, because
their pictures may be shown anywhere.

    python benchmarks/failures.py ../shared/data --sites runs/suite --encoder nano \
        --out docs/results/nano_failures.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.locate.stopwatch import Stopwatch
from mobilegeo.maps import open_map
from outside import photos_of
from suite_sites import WORLD_SEEDS, Site, Sizes, make_site, site_at

GAP_PX = 6


def cases(site: Site, encoder: Encoder) -> list[tuple[float, np.ndarray]]:
    """Error of the best tile in metres, and photo, best tile and true place side by side."""
    localizer = Localizer(site.pack(encoder), encoder, Options(ignore_gps=True))
    source, pack = open_map([site.folder / "map.tif"]), localizer.pack
    size = encoder.spec.size_px

    def ground(x_m: float, y_m: float, side_m: float) -> np.ndarray:
        half = side_m / 2
        patch = source.read(pack.frame, x_m - half, y_m + half, side_m / size, size, size)
        return encoder.spec.fill(patch.image, patch.valid)

    found = []
    for photo, truth in photos_of(site.folder, site.images):
        prepared = localizer.prepare(photo, None, Stopwatch())
        best = localizer.search(prepared.queries, prepared.embeddings, None)[0]
        tile = pack.tiles.at([best.row])
        x_m, y_m, side_m = (float(v[0]) for v in (tile.x_m, tile.y_m, tile.footprint_m))
        true_x, true_y = pack.frame.xy(truth.position)
        views = [prepared.queries[0].patch.image, ground(x_m, y_m, side_m)]
        views.append(ground(true_x, true_y, side_m))
        error_m = float(np.hypot(x_m - true_x, y_m - true_y))
        found.append((error_m, beside(views, f"{error_m:.0f} m, tiles of {side_m:.0f} m")))
    return found


def beside(views: list[np.ndarray], text: str) -> np.ndarray:
    """Images of one size in a row, with a line of text above, uint8 RGB."""
    gap = np.full((views[0].shape[0], GAP_PX, 3), 255, np.uint8)
    row = np.hstack([views[0], gap, views[1], gap, views[2]])
    line = np.full((22, row.shape[1], 3), 255, np.uint8)
    cv2.putText(line, text, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([line, row])


def main() -> None:
    """Draws the worst cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sites", type=Path, required=True, help="OUT of suite.py")
    parser.add_argument("--encoder", default="nano")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=4)
    options = parser.parse_args()
    encoder = load_encoder(options.encoder)
    found = []
    for seed in WORLD_SEEDS:
        site = site_at(f"world{seed}", options.data, options.sites / "sites")
        if not (site.folder / "truth.csv").exists():
            make_site(site, options.data, Sizes())
        found += cases(site, encoder)
    worst = sorted(found, key=lambda case: -case[0])[: options.count]
    image = np.vstack([picture for _, picture in worst])
    cv2.imwrite(str(options.out), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(f"{len(found)} photos, the worst {', '.join(f'{error:.0f} m' for error, _ in worst)}")


if __name__ == "__main__":
    main()
