"""The maps of the suite with their photos, the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nadir_mosaic
import oblique_scene
import real_drone
from mobilegeo.encoder.base import Encoder
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.heights import HeightSource
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.record import FORMAT_VERSION
from mobilegeo.output.atomic import make_folder
from mobilegeo.world.demo import write_demo

SEED = 1
WORLD = "world"
WORLD_SEEDS = (2003, 2004, 2005)
"""Worlds on which nothing was trained or calibrated, see `worlds.py`."""

AUTZEN, SHEFFIELD, CALITERRA = "autzen", "sheffield", "caliterra"
FLIGHTS = {SHEFFIELD: "drone/sheffield_cross", CALITERRA: "drone/caliterra"}
HIGH_M, LOW_M = (80.0, 160.0), (40.0, 80.0)
"""Footprints of tiles for photos from above about 70 m, and from below."""
FOOTPRINTS_M = {AUTZEN: HIGH_M, SHEFFIELD: LOW_M, CALITERRA: LOW_M}


@dataclass(frozen=True)
class Sizes:
    """How much of everything; the defaults take about a quarter of an hour for two encoders.

    Attributes:
        places: simulated places, nine in ten of them for test.
        views: drone views of each.
        surveys: of the held-out scene, 100 photos each.
        worlds: generated worlds, 1 … `len(WORLD_SEEDS)`.
        photos: of each world.
        pitch_photos: of the scene at each pitch.
        corrupted: one in so many real photos is seen in each bad condition.
        bench_photos: that each encoder locates for its speed.
    """

    places: int = 120
    views: int = 4
    surveys: int = 1
    worlds: int = 3
    photos: int = 12
    pitch_photos: int = 12
    corrupted: int = 4
    bench_photos: int = 20

    @property
    def world_names(self) -> tuple[str, ...]:
        """Of the sites that are generated."""
        return tuple(f"{WORLD}{seed}" for seed in WORLD_SEEDS[: self.worlds])


@dataclass(frozen=True)
class Site:
    """A map and its photos.

    Attributes:
        name: of the site.
        folder: map.tif, truth.csv and, where there are any, telemetry.csv and surface.tif.
        images: folder of the photos.
        footprints_m: of the map's tiles.
    """

    name: str
    folder: Path
    images: Path
    footprints_m: tuple[float, ...]

    def pack(self, encoder: Encoder) -> MapPack:
        """The map as an encoder describes it; what was built before is opened."""
        out = self.folder / "packs" / f"{encoder.sha256[:12]}-{FORMAT_VERSION}.pack"
        if out.is_dir():
            return MapPack.open(out, encoder=encoder)
        make_folder(out.parent)
        surface = self.folder / "surface.tif"
        return build_pack(
            open_map([self.folder / "map.tif"]),
            out,
            encoder,
            heights=HeightSource(surface) if surface.exists() else None,
            footprints_m=self.footprints_m,
            resume=True,
        )


def site_at(name: str, data: Path, root: Path) -> Site:
    """A site by name: a world, or a key of `FOOTPRINTS_M`."""
    folder = root / name
    images = data / FLIGHTS[name] / "images" if name in FLIGHTS else folder
    if name.startswith(WORLD):
        images = folder / "photos"
    return Site(name, folder, images, FOOTPRINTS_M.get(name, HIGH_M))


def make_site(site: Site, data: Path, sizes: Sizes) -> None:
    """Writes a site's map, photos and tables."""
    make_folder(site.folder)
    if site.name.startswith(WORLD):
        write_demo(site.folder, int(site.name.removeprefix(WORLD)), sizes.photos)
    elif site.name == AUTZEN:
        oblique_scene.prepare(data / "scenes/autzen", site.folder, sizes.pitch_photos, SEED)
    elif site.name == SHEFFIELD:
        real_drone.prepare(data / FLIGHTS[SHEFFIELD], site.folder)
    else:
        nadir_mosaic.prepare(data / FLIGHTS[CALITERRA], site.folder, SEED)
