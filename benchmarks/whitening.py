r"""What whitening by the map's own tiles does for retrieval: the best tile's distance, both ways.

Photos and tiles of the suite's sites, as the localizer normalises and cuts them, embedded by each
encoder; compared as they are, centred on the map's mean, and whitened (`maps/whitening.py`).

    python benchmarks/whitening.py ../shared/data --sites runs/suite \
        --encoder nano first runs/suite/imagenet.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.learn.evaluation.tables import Record, markdown_table
from mobilegeo.maps.whitening import Whitening
from suite_sites import AUTZEN, CALITERRA, SHEFFIELD, WORLD, Sizes, make_site, site_at
from tile_sets import SiteImages

SITES = (SHEFFIELD, CALITERRA, f"{WORLD}2003", f"{WORLD}2004", f"{WORLD}2005", AUTZEN)
BATCH = 16


def embedded(encoder: Encoder, images: np.ndarray) -> np.ndarray:
    """float32 [N, D]."""
    starts = range(0, len(images), BATCH)
    return np.concatenate([encoder.embed(images[start : start + BATCH]) for start in starts])


def centred(whitening: Whitening, embeddings: np.ndarray) -> np.ndarray:
    """Embeddings without the map's mean."""
    moved = embeddings - whitening.mean
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def row(name: str, site: str, seen: SiteImages, encoder: Encoder) -> list[Record]:
    """The three ways on one site."""
    photos, tiles = (embedded(encoder, images) for images in (seen.photos, seen.tiles))
    whitening = Whitening.fitted(tiles)
    ways = {
        "as they are": (photos, tiles),
        "centred": tuple(centred(whitening, each) for each in (photos, tiles)),
        "whitened": tuple(whitening.apply(each) for each in (photos, tiles)),
    }
    rows: list[Record] = []
    for way, (query, tile) in ways.items():
        score = query @ tile.T
        score[seen.photo_footprint_m[:, None] != seen.tile_footprint_m] = -np.inf
        order = np.argsort(-score, axis=1)[:, :5]
        apart = np.linalg.norm(seen.tile_xy_m[order] - seen.photo_xy_m[:, None], axis=2)
        best = apart[:, 0]
        rows.append({
            "encoder": name, "site": site, "embeddings": way, "photos": len(query),
            "median, m": float(np.median(best)), "90 % within, m": float(np.quantile(best, 0.9)),
            "within 25 m, %": 100 * float((best <= 25).mean()),
            "within 50 m, %": 100 * float((best <= 50).mean()),
            "top 5 within 50 m, %": 100 * float((apart.min(axis=1) <= 50).mean()),
        })  # fmt: skip
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sites", type=Path, required=True, help="OUT of suite.py")
    parser.add_argument("--encoder", nargs="+", required=True)
    options = parser.parse_args()
    encoders = {Path(name).stem: load_encoder(name) for name in options.encoder}
    rows: list[Record] = []
    for name in SITES:
        site = site_at(name, options.data, options.sites / "sites")
        if not (site.folder / "truth.csv").exists():
            make_site(site, options.data, Sizes())
        seen = SiteImages.of(site)
        for encoder_name, encoder in encoders.items():
            rows += row(encoder_name, name, seen, encoder)
    print(markdown_table(rows, digits=1))


if __name__ == "__main__":
    main()
