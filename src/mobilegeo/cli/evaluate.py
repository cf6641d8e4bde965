"""`mobilegeo evaluate`: fixes against the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mobilegeo.evaluation import Evaluation
    from mobilegeo.evaluation.metrics import Calibration

WRONG_M = 50.0

_Row = tuple[str, str, str]


def evaluate(
    fixes: Annotated[
        Path, typer.Option(help="Fixes, as `mobilegeo locate --json` prints them.", metavar="JSONL")
    ],
    truth: Annotated[
        Path,
        typer.Option(
            help="True positions: photo, lat, lon and optionally heading_deg, agl_m. "
            "Empty lat and lon: a photo taken outside the map.",
            metavar="CSV",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    wrong_m: Annotated[
        float, typer.Option(help="A fix with a larger error in metres is wrong.")
    ] = WRONG_M,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the reliability curve and the wrong-fix rate over coverage.", metavar="PNG"
        ),
    ] = None,
) -> None:
    """Measures fixes against the photos' true positions.

    Example: mobilegeo evaluate --fixes fixes.jsonl --truth truth.csv
    """
    from mobilegeo.evaluation import evaluate as evaluate_fixes
    from mobilegeo.evaluation import read_truth_csv
    from mobilegeo.evaluation.plot import write_plot
    from mobilegeo.output import read_fixes_jsonl

    evaluation = evaluate_fixes(read_fixes_jsonl(fixes), read_truth_csv(truth), wrong_m=wrong_m)
    if plot is not None:
        write_plot(evaluation, plot)
    if as_json:
        typer.echo(json.dumps(evaluation.to_record(), allow_nan=False))
    else:
        _print_table(evaluation)


def _print_table(evaluation: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for row in _rows(evaluation):
        table.add_row(*row)
    console = Console(markup=False)
    console.print(table)
    for names, what in (
        (evaluation.photos_without_record, "in the truth, but not among the fixes"),
        (evaluation.photos_without_truth, "among the fixes, but not in the truth (left out)"),
    ):
        if names:
            console.print(f"{len(names)} {what}: {', '.join(names)}", soft_wrap=True)


def _rows(result: Evaluation) -> list[_Row]:
    """Name, value and remark of each line."""
    return [
        *_position_rows(result),
        *_sigma_rows(result.calibration),
        *_confidence_rows(result),
        *_optional_rows(result),
    ]


def _position_rows(result: Evaluation) -> list[_Row]:
    return [
        ("photos with a true position", str(result.photos), ""),
        ("fixes", str(result.fixes), f"{_percent(result.fix_rate)} of photos"),
        ("median error", _metres(result.median_error_m), "over fixes"),
        ("mean error", _metres(result.mean_error_m), "over fixes"),
        ("90 % of errors within", _metres(result.p90_error_m), "over fixes"),
        *(
            (
                f"within {item.radius_m} m",
                _percent(item.of_photos),
                f"of photos; {_percent(item.of_fixes)} of fixes",
            )
            for item in result.within
        ),
        (
            "wrong fixes",
            str(result.wrong_fixes),
            f"{_percent(result.wrong_fix_rate)} of fixes; error above {result.wrong_m:g} m",
        ),
    ]


def _sigma_rows(sigma: Calibration) -> list[_Row]:
    return [
        ("errors within 1 sigma", _percent(sigma.within_1_sigma), "nominal 39.3 %"),
        ("errors within 2 sigma", _percent(sigma.within_2_sigma), "nominal 86.5 %"),
        ("68 % circle holds", _percent(sigma.coverage_68), "nominal 68 %"),
        ("95 % circle holds", _percent(sigma.coverage_95), "nominal 95 %"),
        ("median error / sigma", _plain(sigma.median_error_sigma), "nominal 1.18"),
    ]


def _confidence_rows(result: Evaluation) -> list[_Row]:
    from mobilegeo.evaluation.reliability import calibration_error

    return [
        ("confidence AUROC", _plain(result.confidence_auroc), "right against wrong fixes"),
        (
            "confidence error",
            _percent(calibration_error(result.reliability)),
            "mean distance of confidence from the share of right fixes",
        ),
        *(
            (
                f"surest {100 * risk.coverage:g} %",
                _percent(risk.wrong_fix_rate),
                "wrong fixes"
                + (
                    "" if risk.confidence is None else f"; confidence {risk.confidence:.2f} or more"
                ),
            )
            for risk in result.risk
        ),
    ]


def _optional_rows(result: Evaluation) -> list[_Row]:
    """Of what only some truth tables state."""
    rows = []
    if result.median_heading_error_deg is not None:
        value = f"{result.median_heading_error_deg:.1f}°"
        rows.append(("median heading error", value, f"over {result.headings} fixes"))
    if result.outside_photos:
        remark = f"photos, {result.outside_wrong_fixes} of them wrongly given a fix"
        rows.append(("outside the map", str(result.outside_photos), remark))
    return rows


def _metres(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} m"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
