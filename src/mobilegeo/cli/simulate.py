"""`mobilegeo learn simulate`: training and test views from your own imagery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mobilegeo.cli.common import progress_bar


def simulate(
    imagery: Annotated[
        list[Path],
        typer.Argument(
            help="Georeferenced rasters, XYZ folders or MBTiles that make one map; with --gsd-m "
            "folders of images without a georeference.",
            metavar="RASTER...",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.", metavar="DIR")],
    dsm: Annotated[
        Path | None,
        typer.Option(help="Surface model in metres, for true relief.", show_default=False),
    ] = None,
    gsd_m: Annotated[
        float | None,
        typer.Option(help="Metres a pixel of images without a georeference.", show_default=False),
    ] = None,
    places: Annotated[
        int | None, typer.Option(help="At most so many places.", show_default=False)
    ] = None,
    test_share: Annotated[float, typer.Option(help="Share of the places for test.")] = 0.3,
    views: Annotated[int, typer.Option(help="Drone views of a place, up to 54.")] = 54,
    size: Annotated[int, typer.Option(help="Side of the images, pixels.")] = 512,
    footprint_m: Annotated[
        float | None,
        typer.Option(help="Side of the satellite views; 240 m unless given.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes everything random.")] = 0,
    workers: Annotated[int, typer.Option(help="Threads that render.", min=1)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Simulates drone and satellite views of places, in University-1652's layout.

    Started again with the same options, it goes on where it was stopped.

    Example: mobilegeo learn simulate ortho.tif --dsm dsm.tif -o simulated
    """
    from mobilegeo.learn.simulate.dataset_writer import simulate as run
    from mobilegeo.learn.simulate.opening import open_grounds
    from mobilegeo.learn.simulate.settings import Settings

    settings = Settings(
        places=places,
        test_share=test_share,
        views=views,
        size_px=size,
        footprint_m=footprint_m,
        seed=seed,
    )
    with progress_bar() as progress:
        done = run(
            open_grounds(imagery, dsm=dsm, gsd_m=gsd_m),
            out,
            settings,
            workers=workers,
            progress=progress,
        )
    if as_json:
        record = {"out": str(out), "train": done.train, "test": done.test}
        typer.echo(json.dumps({**record, "images": done.images, "with_truth": done.with_truth}))
        return
    typer.echo(
        f"{out}: {done.train} training and {done.test} test places, {done.images:,} images, "
        f"{done.with_truth} places with positions"
    )
