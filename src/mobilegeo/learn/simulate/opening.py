"""From the paths of a command line to ground."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.sources import SourceSpec, read_sources
from mobilegeo.learn.simulate.ground import Ground
from mobilegeo.learn.simulate.image_ground import ImageGround
from mobilegeo.learn.simulate.raster_ground import RasterGround


def open_grounds(
    paths: Sequence[Path], *, dsm: Path | None = None, gsd_m: float | None = None
) -> list[Ground]:
    """Opens reference imagery.

    Args:
        paths: georeferenced imagery that makes one map; or, with `gsd_m`, folders of images
            without a georeference, at any depth.
        dsm: surface model of the map, in metres.
        gsd_m: resolution of images without a georeference, metres a pixel.

    Raises:
        MapError: imagery is missing, damaged or has no georeference.
        ResourceError: a folder holds no images.
        UsageError: the arguments contradict one another.
    """
    if gsd_m is None:
        return [RasterGround(paths, dsm)]
    if dsm is not None:
        raise UsageError(
            "--dsm", "says nothing of images without a georeference", "leave it or --gsd-m out"
        )
    if not gsd_m > 0.0:
        raise UsageError(f"--gsd-m {gsd_m}", "is not positive", "give metres a pixel")
    for path in paths:
        if not path.is_dir():
            raise UsageError(path, "is no folder of images", "give folders with --gsd-m")
    return [image_ground("images", path, gsd_m=gsd_m) for path in paths]


def image_ground(kind: str, path: Path, *, gsd_m: float = 0.0, zoom: int = 0) -> ImageGround:
    """Imagery that `sources.read_sources` reads, without using where on earth it is.

    Args:
        kind: key of `sources.READERS`.
        path: folder.
        gsd_m: metres a pixel, for imagery that does not say.
        zoom: zoom level to read, for XYZ tiles.
    """
    spec = SourceSpec(kind, path.name, gsd_m=gsd_m, zoom=zoom)
    return ImageGround(path.name, read_sources(spec, path.parent))
