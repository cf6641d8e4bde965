"""Simulated views of open imagery, for comparing losses: small images, held-out places.

Places come from `tiles/{ucmerced,banepa,kampala,dubai}` and `scenes/autzen` (with its relief), as
evenly as these allow. Images that show some of the same ground are for training or for test
together; the scene is cut into three strips, of which one is for test.

    python benchmarks/ablation_data.py ../shared/data --out runs/ablation_data
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mobilegeo.cli.common import progress_bar
from mobilegeo.learn.datasets.sources import SourceSpec, read_sources
from mobilegeo.learn.simulate.dataset_writer import simulate
from mobilegeo.learn.simulate.image_ground import ImageGround
from mobilegeo.learn.simulate.settings import Settings

STRIPS = ((0.0, 0.33), (0.33, 0.66), (0.66, 1.0))
IMAGERY = {
    "ucmerced": [SourceSpec("images", "tiles/ucmerced", gsd_m=0.3)],
    "dubai": [SourceSpec("images", "tiles/dubai", gsd_m=0.5)],  # the true scale is not stated
    "banepa": [SourceSpec("xyz", f"tiles/banepa/{part}", zoom=19) for part in ("train", "predict")],
    "kampala": [SourceSpec("xyz", "tiles/kampala", zoom=21)],
    "autzen": [
        SourceSpec("scene", "scenes/autzen", top=top, bottom=bottom) for top, bottom in STRIPS
    ],
}


def main() -> None:
    """Writes the dataset; started again, it goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with tiles/ and scenes/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--places", type=int, default=450)
    parser.add_argument("--test-share", type=float, default=0.4)
    parser.add_argument("--views", type=int, default=12)
    parser.add_argument("--size", type=int, default=144)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = Settings(
        places=options.places,
        test_share=options.test_share,
        views=options.views,
        size_px=options.size,
        footprint_m=120.0,
        seed=options.seed,
    )
    grounds = [
        ImageGround(name, [source for spec in specs for source in read_sources(spec, options.data)])
        for name, specs in IMAGERY.items()
    ]
    with progress_bar() as progress:
        print(simulate(grounds, options.out, settings, progress=progress))


if __name__ == "__main__":
    main()
