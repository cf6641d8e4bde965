"""`mobilegeo learn check-data`: is a dataset complete and where it should be?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mobilegeo.cli.common import progress_bar

UNUSABLE = 3


def check_data(
    name: Annotated[
        str,
        typer.Argument(
            help="The dataset, such as university1652, or folder for your own; ? lists all.",
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
    record = report.to_record()
    if as_json:
        typer.echo(json.dumps(record))
    else:
        _print(record)
    if not report.usable:
        raise typer.Exit(UNUSABLE)


def _print(record: dict[str, Any]) -> None:
    for finding in sorted(record["findings"], key=lambda finding: str(finding["level"])):
        typer.echo("{level}: {where}: {problem}; {cure}".format(**finding))
    if record["counts"]:
        typer.echo(_table(record["counts"]))
    if record["images_total"]:
        typer.echo(f"opened {record['images_opened']:,} of {record['images_total']:,} images")
    typer.echo(f"{record['dataset']}: {'usable' if record['usable'] else 'not usable as it is'}")


def _table(counts: list[dict[str, Any]]) -> str:
    """Subsets line by line; official numbers where they differ from those found."""
    rows = [("subset", "places", "images")]
    rows += [(c["subset"], _cell(c, "places"), _cell(c, "images")) for c in counts]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {places:>{widths[1]}}  {images:>{widths[2]}}"
        for name, places, images in rows
    )


def _cell(count: dict[str, Any], what: str) -> str:
    found, official = count[what], count[f"official_{what}"]
    return f"{found:,}" if official in (None, found) else f"{found:,} of {official:,}"
