"""The map and the photos on which is measured: the user's, or a generated world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mobilegeo.encoder import Encoder, load_encoder
from mobilegeo.encoder.registry import DEFAULT, encoder_for
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.source import open_map
from mobilegeo.world.demo import write_demo

WORLD_M = (400.0, 400.0)
WORLD_PHOTOS = 4
SEED = 1
STRIDE = 0.5


@dataclass(frozen=True, slots=True)
class Lane:
    """One encoder with its map.

    Attributes:
        name: the encoder as it was named.
        encoder: the network, in one runtime.
        pack: made by it.
    """

    name: str
    encoder: Encoder
    pack: MapPack


def own_lanes(
    path: Path, names: Sequence[str], runtimes: Sequence[str | None], threads: int | None
) -> list[Lane]:
    """Lanes on a pack of the user's.

    Args:
        path: of the pack.
        names: encoders; the one that made the pack when empty.
        runtimes: of each encoder; the default one is `None`.
        threads: CPU threads; all cores when `None`.

    Raises:
        PackError: there is no pack, or another encoder than one named made it.
        EncoderError: there is no such encoder.
    """
    pack = MapPack.open(path)
    asked: Sequence[str | None] = names or [None]
    return [
        Lane(
            name or pack.encoder_id,
            encoder_for(pack, name, threads=threads, runtime=runtime),
            pack,
        )
        for name, runtime in product(asked, runtimes)
    ]


def generated_lanes(
    folder: Path,
    names: Sequence[str],
    runtimes: Sequence[str | None],
    threads: int | None,
    photo_px: tuple[int, int],
    progress: Callable[[str, int, int], None],
) -> tuple[list[Lane], tuple[Path, ...]]:
    """Lanes on a world that is generated, the same every time.

    Args:
        folder: for map, photos and packs.
        names: encoders; the default one when empty.
        runtimes: of each encoder, which share its map; the default one is `None`.
        threads: CPU threads; all cores when `None`.
        photo_px: width and height of the photos.
        progress: called with a stage's name, steps done and steps in all.

    Returns:
        The lanes and the photos.

    Raises:
        EncoderError: there is no such encoder.
    """
    names = names or [DEFAULT]
    encoders = [
        [load_encoder(name, threads=threads, runtime=runtime) for runtime in runtimes]
        for name in names
    ]
    progress("world", 0, 1)
    world = write_demo(folder, SEED, WORLD_PHOTOS, WORLD_M, photo_px)
    progress("world", 1, 1)
    lanes = []
    for number, (name, group) in enumerate(zip(names, encoders, strict=True)):
        out = folder / f"{number}.pack"
        source = open_map([world.map_tif])
        pack = build_pack(source, out, group[0], stride=STRIDE, progress=progress)
        lanes += [Lane(name, encoder, pack) for encoder in group]
    return lanes, world.photos
