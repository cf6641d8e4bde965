"""Photos to be found among a map's tiles, behind the frozen trunk: judges a head in seconds.

A site of the suite (`suite_sites.py`) as the localizer sees it: its photos normalised, its tiles
cut, both through the trunk once. What a head makes of them is then a small matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from mobilegeo.encoder import load_encoder
from mobilegeo.learn.layout.cache import seen_grids
from mobilegeo.learn.layout.stages import unpacked
from mobilegeo.learn.models.heads import LayoutHead
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.locate.stopwatch import Stopwatch
from mobilegeo.maps import open_map
from mobilegeo.maps.plan import plan_build
from outside import photos_of
from suite_sites import Site

BATCH = 32
NEAR, FAR = 0.3, 0.6
"""In sides of a tile: centres as near show the photo's place, as far another one."""


@dataclass(frozen=True)
class TileSet:
    """One site behind the trunk.

    Attributes:
        photos, photo_coverage: int8 [Q, C, 7, 7] and uint8 [Q, 7, 7].
        photo_xy_m, photo_footprint_m: true position, float64 [Q, 2], and side of the tiles that
            a photo is compared with, float64 [Q].
        tiles, tile_coverage, tile_xy_m, tile_footprint_m: the same of the map's tiles.
    """

    photos: np.ndarray
    photo_coverage: np.ndarray
    photo_xy_m: np.ndarray
    photo_footprint_m: np.ndarray
    tiles: np.ndarray
    tile_coverage: np.ndarray
    tile_xy_m: np.ndarray
    tile_footprint_m: np.ndarray

    @classmethod
    def kept(cls, site: Site, trunk: Path, out: Path) -> TileSet:
        """The set of a site; what was made before is read."""
        path = out / f"{site.name}-{trunk.stem}.npz"
        if not path.exists():
            out.mkdir(parents=True, exist_ok=True)
            np.savez(path, **vars(_make(site, trunk)))
        with np.load(path) as arrays:
            return cls(**arrays)

    def errors_m(self, head: LayoutHead, channels: np.ndarray) -> np.ndarray:
        """Distance of each photo to the centre of its best tile, float64 [Q]."""
        best = self._scores(head, channels).argmax(axis=1)
        return np.linalg.norm(self.tile_xy_m[best] - self.photo_xy_m, axis=1)

    def leads(self, head: LayoutHead, channels: np.ndarray) -> np.ndarray:
        """Lead of the best tile near each photo over the best far off, in cosines, float64 [Q].

        Below 0 the photo is taken to another place. Where every photo is found, how clearly still
        tells heads apart.
        """
        score = self._scores(head, channels)
        apart = np.linalg.norm(self.tile_xy_m - self.photo_xy_m[:, None], axis=2)
        share = apart / self.photo_footprint_m[:, None]
        near = np.where(share <= NEAR, score, -np.inf).max(axis=1)
        return near - np.where(share >= FAR, score, -np.inf).max(axis=1)

    def _scores(self, head: LayoutHead, channels: np.ndarray) -> np.ndarray:
        """Cosine of each photo with each tile of its size, others infinitely low, [Q, N]."""
        photos = _embedded(head, self.photos[:, channels], self.photo_coverage)
        tiles = _embedded(head, self.tiles[:, channels], self.tile_coverage)
        score = photos @ tiles.T
        return np.where(self.photo_footprint_m[:, None] == self.tile_footprint_m, score, -np.inf)


def _embedded(head: LayoutHead, grids: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    head.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(grids), 256):
            rows = slice(start, start + 256)
            seen = torch.from_numpy(coverage[rows])[:, None].float() / 255.0
            parts.append(head.embed(unpacked(grids[rows]), seen).numpy())
    return np.concatenate(parts)


@dataclass(frozen=True)
class SiteImages:
    """A site as an encoder gets it.

    Attributes:
        photos, tiles: uint8 [Q, S, S, 3] and [N, S, S, 3].
        photo_xy_m, tile_xy_m: true positions and centres, float64 [Q, 2] and [N, 2].
        photo_footprint_m, tile_footprint_m: float64 [Q] and [N].
    """

    photos: np.ndarray
    photo_xy_m: np.ndarray
    photo_footprint_m: np.ndarray
    tiles: np.ndarray
    tile_xy_m: np.ndarray
    tile_footprint_m: np.ndarray

    @classmethod
    def of(cls, site: Site) -> SiteImages:
        """Normalises the photos and cuts the tiles of a site."""
        encoder = load_encoder()
        source = open_map([site.folder / "map.tif"])
        plan = plan_build(source, encoder, site.footprints_m, 0.25)
        images, centres, sides = [], [], []
        for block in plan.tile_blocks:
            patch = block.read(source, plan.frame)
            tiles = block.tiles(patch)
            if len(tiles):
                images.append(block.cut(encoder.spec.fill(patch.image, patch.valid), tiles))
                centres.append(tiles * block.grid.stride_m + block.grid.footprint_m / 2)
                sides += [block.grid.footprint_m] * len(tiles)
        localizer = Localizer(site.pack(encoder), encoder, Options(ignore_gps=True))
        frame = localizer.pack.frame
        queries, positions, wanted = [], [], []
        for photo, truth in photos_of(site.folder, site.images):
            (query,) = localizer.prepare(photo, None, Stopwatch()).queries
            queries.append(query.patch.image)
            positions.append(frame.xy(truth.position))
            wanted.append(query.footprint_m)
        return cls(
            np.stack(queries), np.array(positions), np.array(wanted),
            np.concatenate(images), np.concatenate(centres), np.array(sides),
        )  # fmt: skip


def _make(site: Site, trunk: Path) -> TileSet:
    seen = SiteImages.of(site)
    session = onnxruntime.InferenceSession(trunk)
    photos, photo_coverage = _grids(seen.photos, session)
    tiles, tile_coverage = _grids(seen.tiles, session)
    return TileSet(
        photos, photo_coverage, seen.photo_xy_m, seen.photo_footprint_m,
        tiles, tile_coverage, seen.tile_xy_m, seen.tile_footprint_m,
    )  # fmt: skip


def _grids(images: np.ndarray, session: onnxruntime.InferenceSession) -> tuple[np.ndarray, ...]:
    starts = range(0, len(images), BATCH)
    parts = [seen_grids(images[start : start + BATCH], session) for start in starts]
    grids, coverage = zip(*parts, strict=True)
    return np.concatenate(grids), np.concatenate(coverage)
