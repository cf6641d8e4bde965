"""`mobilegeo learn check-data`: is a dataset complete and where it should be?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilegeo.cli.common import progress_bar

if TYPE_CHECKING:
    from mobilegeo.learn.datasets.findings import Count, Report

UNUSABLE = 3


def check_data(
    name: Annotated[
        str,
        typer.Argument(
            help="university1652, sues200, denseuav, gta_uav, uav_visloc or folder.",
            metavar="NAME",
            show_default=False,
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Where it was unpacked.", metavar="FOLDER")],
    variant: Annotated[
        str | None, typer.Option(help="Check one height or split only.", show_default=False)
    ] = None,
    all_images: Annotated[
        bool, typer.Option("--all", help="Open every image, not a sample of 200.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Says what of a dataset is there, missing, misplaced or damaged, and what to do about it.

    Exit code 3 means that the dataset cannot be used as it is.

    Example: mobilegeo learn check-data university1652 University-Release
    """
    from mobilegeo.learn.datasets.check import check_dataset

    with progress_bar() as progress:
        report = check_dataset(
            name, folder, variant=variant, all_images=all_images, progress=progress
        )
    if as_json:
        typer.echo(json.dumps(report.to_record()))
    else:
        _print(report)
    if not report.usable:
        raise typer.Exit(UNUSABLE)


def _print(report: Report) -> None:
    for finding in report.findings:
        typer.echo(f"{finding.level}: {finding}")
    if report.counts:
        typer.echo(_table(report.counts))
    if report.images_opened:
        typer.echo(f"opened {report.images_opened:,} of {report.images_total:,} images")
    typer.echo(f"{report.dataset}: {'usable' if report.usable else 'not usable as it is'}")


def _table(counts: tuple[Count, ...]) -> str:
    rows = [("subset", "places", "images", "")]
    rows += [
        (
            count.subset,
            _of(count.places, count.official_places),
            _of(count.images, count.official_images),
            "" if _complete(count) else "differs",
        )
        for count in counts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {places:>{widths[1]}}  {images:>{widths[2]}}  {remark}".rstrip()
        for name, places, images, remark in rows
    )


def _of(found: int, official: int | None) -> str:
    return f"{found:,}" if official is None else f"{found:,} of {official:,}"


def _complete(count: Count) -> bool:
    return count.official_places in (None, count.places) and count.official_images in (
        None,
        count.images,
    )
