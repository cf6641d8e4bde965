"""`mobilegeo learn export`: a trained network or a float32 encoder as a proven encoder file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilegeo.cli.common import progress_bar, require_learning_wing

if TYPE_CHECKING:
    from mobilegeo.learn.export.run import Exported


def export(
    source: Annotated[
        str,
        typer.Argument(
            help="A .safetensors file of a training; or, for float16 and int8, a float32 .onnx "
            "file or the name of a shipped encoder.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .onnx file to write.")],
    precision: Annotated[str, typer.Option(help="float32, float16 or int8.")] = "float32",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="A georeferenced map, or a folder of images at the encoder's resolution. int8 "
            "needs it: one half calibrates, the other is held out.",
            metavar="IMAGES",
            show_default=False,
        ),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="Judge recall on this folder of `learn simulate` instead.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the halves and the simulated views.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Exports an encoder for `map build --encoder` and `locate --encoder`.

    A file that differs from the network, or that loses more than half a point of recall by its
    precision, is an error and is not kept.

    Example: mobilegeo learn export first --precision int8 --calibrate ortho.tif -o first-int8.onnx
    """
    require_learning_wing()
    from mobilegeo.learn.export.run import Request
    from mobilegeo.learn.export.run import export as run

    request = Request(source, out, precision, calibrate, held_out, seed=seed)
    with progress_bar() as progress:
        done = run(request, progress)
    typer.echo(json.dumps(done.to_record()) if as_json else _told(done))


def _told(done: Exported) -> str:
    parity = done.parity
    lines = [f"{done.path}: {done.precision}, {done.size / 1e6:.2f} MB, sha256 {done.sha256}"]
    lines.append(
        f"cosines with {done.against} on {parity.images} images: embeddings "
        f"{parity.embedding_min:.6f} or more, median {parity.embedding_median:.6f}; features "
        f"{parity.features_min:.6f} or more, median {parity.features_median:.6f}"
    )
    if done.recall is not None:
        recall = done.recall
        lines.append(
            f"recall@1 of {recall.queries} held-out queries: {100 * recall.before:.2f} % before, "
            f"{100 * recall.after:.2f} % after, drop {100 * recall.drop:.2f} ± "
            f"{100 * recall.standard_error:.2f} points"
        )
    return "\n".join(lines)
