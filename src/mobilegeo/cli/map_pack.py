"""`mobilegeo map`: make a map pack, and look at one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mobilegeo.cli.common import RuntimeName, parse_lengths, progress_bar

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
    dsm: Annotated[
        Path | None,
        typer.Option(
            help="Surface model (heights with roofs and crowns) of the same ground: a raster; "
            "views that are not straight down are projected onto it instead of a plane.",
            metavar="RASTER",
        ),
    ] = None,
    dsm_unit: Annotated[
        str | None,
        typer.Option(help="Unit of its heights, m or ft. [default: what the file says, or m]"),
    ] = None,
    imagery: Annotated[
        bool,
        typer.Option(
            "--imagery", help="Keep the map itself in the pack too, for `locate --verify`."
        ),
    ] = False,
    footprint_m: Annotated[str, typer.Option(help="Sides of the tiles, metres.")] = "60,120,240",
    stride: Annotated[
        float, typer.Option(help="Step from tile to tile, as a share of the footprint.")
    ] = 0.25,
    encoder: Annotated[
        str | None,
        typer.Option(help="A shipped encoder or an exported .onnx file; first if not given."),
    ] = None,
    runtime: RuntimeName = None,
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
    from mobilegeo.encoder.registry import DEFAULT, load_encoder
    from mobilegeo.maps import open_map
    from mobilegeo.maps.build import build_pack
    from mobilegeo.maps.heights import HeightSource
    from mobilegeo.maps.pack import pack_info

    heights = None if dsm is None else HeightSource(dsm, dsm_unit)
    footprints = parse_lengths(footprint_m, "--footprint-m")
    with progress_bar() as progress:
        pack = build_pack(
            open_map(rasters),
            out,
            load_encoder(encoder or DEFAULT, runtime=runtime),
            heights=heights,
            imagery=imagery,
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


@app.command()
def index(
    pack: Annotated[Path, typer.Argument(help="Folder of the pack.", metavar="PACK")],
    kind: Annotated[
        str,
        typer.Option(
            help="ivf-pq, about 45 bytes a tile, or ivf-sq8, about 270; both score again exactly.",
            metavar="NAME",
        ),
    ] = "ivf-pq",
    remove: Annotated[
        bool, typer.Option("--remove", help="Drop the pack's approximate indexes instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
) -> None:
    """Makes an approximate index of a large pack, for photos that may be anywhere on the map.

    Searches without a prior then look at part of the tiles only; `map info` says what share of the
    best tiles they find. Searches inside a prior stay exact.

    Example: mobilegeo map index country.pack
    """
    from mobilegeo.index.build import build_index, remove_index
    from mobilegeo.maps.pack import MapPack, pack_info

    opened = MapPack.open(pack)
    if remove:
        changed = remove_index(opened)
    else:
        with progress_bar() as progress:
            changed = build_index(opened, kind, progress=progress)
    _print(pack_info(changed), as_json=as_json)


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
        "surface": _surface_line(facts["surface"]),
        "imagery": _imagery_line(facts["imagery"], facts["area_km2"]),
        "search": _index_line(facts["index"]),
        "encoder": f"{facts['encoder']['id']} ({facts['encoder']['sha256'][:12]})",
        "size": f"{facts['bytes'] / 1e6:.1f} MB, {facts['bytes_per_km2'] / 1e6:.1f} MB/km²",
        "hashes": "verified",
        "made": f"{facts['created']} by {facts['created_by']}",
    }
    for name, value in lines.items():
        typer.echo(f"{name:8} {value}")
    for note in facts["notes"]:
        typer.echo(f"note     {note}")


def _surface_line(surface: dict[str, Any] | None) -> str:
    if surface is None:
        return "none, the ground is taken as flat"
    return (
        f"{surface['source']}: {surface['low_m']:g} … {surface['high_m']:g} m, "
        f"{surface['area_km2']:.3f} km²"
    )


def _index_line(indexes: list[dict[str, Any]] | None) -> str:
    if not indexes:
        return "exact everywhere"
    return "exact inside a prior; anywhere: " + "; ".join(
        f"{one['footprint_m']:g} m {one['kind']}, recall@10 {one['recall_at_10']:.3f} "
        f"on perturbed tiles, {one['bytes'] / 1e6:.1f} MB"
        for one in indexes
    )


def _imagery_line(imagery: dict[str, Any] | None, area_km2: float) -> str:
    if imagery is None:
        return "none, places cannot be verified with --verify"
    return (
        f"{imagery['gsd_m']:g} m a pixel, {imagery['bytes'] / 1e6:.1f} MB, "
        f"{imagery['bytes'] / 1e6 / area_km2:.2f} MB/km²"
    )
