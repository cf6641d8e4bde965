"""From traces to a report: the pictures of each photo, cut to size as they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.fix import Fix
from mobilegeo.geo import Bounds, LatLon
from mobilegeo.locate.records import Trace
from mobilegeo.locate.retrieve import Match
from mobilegeo.maps.pack import MapPack
from mobilegeo.output.report.page import write_report
from mobilegeo.output.report.parts import MapImage, PhotoPanel

PICTURE_PX = 480
TILES = 4

Image = NDArray[np.uint8]


class ReportWriter:
    """Collects what a report shows of each photo; holds small pictures only.

    Args:
        directory: where the report will be written.
        pack: the map; its preview is the background.
        truth: true positions by photo, where known.
        title: heading of the page.
    """

    def __init__(
        self,
        directory: Path,
        pack: MapPack,
        truth: dict[str, LatLon] | None = None,
        title: str = "Where the photos were taken",
    ) -> None:
        self._directory = directory
        self._pack = pack
        self._truth = truth
        self._title = title
        self._preview = read_preview(pack)
        self._fixes: list[Fix] = []
        self._panels: dict[str, PhotoPanel] = {}

    def add(self, trace: Trace) -> None:
        """Takes one photo's answer and its pictures."""
        self._fixes.append(trace.fix)
        self._panels[trace.fix.photo] = PhotoPanel(
            photo=None if trace.photo is None else shrunk(trace.photo.image),
            query=None if trace.query is None else trace.query.patch.image,
            tiles=tuple(self._tile(match) for match in trace.matches[:TILES]),
            heatmap=None if trace.alignment is None else _heatmap(trace),
        )

    def write(self) -> Path:
        """Writes the report and returns its path."""
        return write_report(
            self._directory,
            self._fixes,
            map_image=MapImage(self._preview, preview_bounds(self._pack)),
            truth=self._truth,
            panels=self._panels,
            title=self._title,
        )

    def _tile(self, match: Match) -> tuple[Image, str]:
        """A tile as the map's preview shows it, as a pack holds no imagery of its own."""
        tile, extent = self._pack.tiles.at([match.row]), self._pack.preview_extent
        footprint_m = float(tile.footprint_m[0])
        px_per_m = self._preview.shape[1] / extent.width_m
        left = (float(tile.x_m[0]) - footprint_m / 2 - extent.west_m) * px_per_m
        top = (extent.north_m - float(tile.y_m[0]) - footprint_m / 2) * px_per_m
        side = footprint_m * px_per_m
        image = _crop(self._preview, left, top, side)
        return image, f"{match.score:.2f} · {footprint_m:g} m"


def read_preview(pack: MapPack) -> Image:
    """The map at a glance, uint8 [H, W, 3] RGB."""
    import cv2

    return np.ascontiguousarray(cv2.imread(str(pack.preview_path))[..., ::-1])


def preview_bounds(pack: MapPack) -> Bounds:
    """What the preview covers, in degrees; its edges bend by less than a pixel."""
    extent = pack.preview_extent
    x, y = (extent.west_m + extent.east_m) / 2, (extent.south_m + extent.north_m) / 2
    south, _ = pack.frame.to_degrees(x, extent.south_m)
    north, _ = pack.frame.to_degrees(x, extent.north_m)
    _, west = pack.frame.to_degrees(extent.west_m, y)
    _, east = pack.frame.to_degrees(extent.east_m, y)
    return Bounds(float(south), float(west), float(north), float(east))


def shrunk(image: Image, side_px: int = PICTURE_PX) -> Image:
    """The image with its longer side brought down to `side_px`."""
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: Image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small


def _crop(image: Image, left: float, top: float, side: float) -> Image:
    import cv2

    scale = PICTURE_PX / 2 / side
    matrix = np.array([[scale, 0.0, -left * scale], [0.0, scale, -top * scale]])
    size = (PICTURE_PX // 2, PICTURE_PX // 2)
    white = (255, 255, 255)
    crop: Image = cv2.warpAffine(image, matrix, size, borderValue=white)
    return crop


def _heatmap(trace: Trace) -> NDArray[np.float32]:
    assert trace.alignment is not None
    scores = trace.alignment.heatmap.scores
    rows, columns = np.nonzero(scores > -1.0)
    scores = scores[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return np.where(scores > -1.0, scores, np.float32(np.nan))
