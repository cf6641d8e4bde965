"""`mobilegeo map`: make a map pack, and look at one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mobilegeo.cli.common import parse_lengths, progress_bar
from mobilegeo.encoder.registry import DEFAULT

app = typer.Typer(help="Make a map pack from imagery, and look at one.")


@app.command()
def build(
    rasters: Annotated[
        list[Path],
        typer.Argument(
            help="GeoTIFF, COG, VRT or other georeferenced raster; a folder of XYZ tiles; MBTiles. "
            "Several are taken as one map, the first on top.",
            metavar="RASTER...",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the pack.", metavar="PACK")],
    footprint_m: Annotated[str, typer.Option(help="Sides of the tiles, metres.")] = "60,120,240",
    stride: Annotated[
        float, typer.Option(help="Step from tile to tile, as a share of the footprint.")
    ] = 0.25,
    encoder: Annotated[
        str, typer.Option(help="A shipped encoder or an exported .onnx file.")
    ] = DEFAULT,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted build.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing pack.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
) -> None:
    """Builds a map pack: everything that a drone needs to know of an area, in one folder.

    Example: mobilegeo map build ortho.tif -o area.pack
    """
    from mobilegeo.encoder import load_encoder
    from mobilegeo.maps import open_map
    from mobilegeo.maps.build import build_pack
    from mobilegeo.maps.pack import pack_info

    footprints = parse_lengths(footprint_m, "--footprint-m")
    with progress_bar() as progress:
        pack = build_pack(
            open_map(rasters),
            out,
            load_encoder(encoder),
            footprints_m=footprints,
            stride=stride,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
        )
    _print(pack_info(pack), as_json=as_json)


@app.command()
def info(
    pack: Annotated[Path, typer.Argument(help="Folder of the pack.", metavar="PACK")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Shows what a pack holds, and verifies every file in it.

    Example: mobilegeo map info area.pack
    """
    from mobilegeo.maps.pack import MapPack, pack_info

    _print(pack_info(MapPack.open(pack)), as_json=as_json)


def _print(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    box = facts["bounds"]
    tiles = ", ".join(f"{n} of {f} m" for f, n in facts["tiles_per_footprint"].items())
    lines = {
        "pack": facts["path"],
        "from": ", ".join(facts["sources"]),
        "bounds": f"{box['south']:.6f},{box['west']:.6f} … {box['north']:.6f},{box['east']:.6f}",
        "area": f"{facts['area_km2']:.3f} km² with data",
        "tiles": f"{facts['tiles']}: {tiles}",
        "encoder": f"{facts['encoder']['id']} ({facts['encoder']['sha256'][:12]})",
        "size": f"{facts['bytes'] / 1e6:.1f} MB, {facts['bytes_per_km2'] / 1e6:.1f} MB/km²",
        "hashes": "verified",
        "made": f"{facts['created']} by {facts['created_by']}",
    }
    for name, value in lines.items():
        typer.echo(f"{name:8} {value}")
    for note in facts["notes"]:
        typer.echo(f"note     {note}")
