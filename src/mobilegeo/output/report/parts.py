"""What the report is made of, besides the fixes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.evaluation import Evaluation
from mobilegeo.fix import Fix
from mobilegeo.geo import Bounds, LatLon

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MapImage:
    """A small picture of the map.

    Attributes:
        image: uint8 [H, W, 3] RGB, north up.
        bounds: what it covers, edge to edge.
    """

    image: Image
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class PhotoPanel:
    """What can be shown of one photo; what is missing is left out.

    Attributes:
        photo: uint8 [H, W, 3] RGB, any size; shrunk for the report.
        query: uint8 [H, W, 3] RGB: the photo as the encoder saw it.
        tiles: the best tiles, uint8 [H, W, 3] RGB each, with a caption such as score and footprint.
        heatmap: float32 [h, w], north up: score over positions; NaN where nothing was compared.
    """

    photo: Image | None = None
    query: Image | None = None
    tiles: tuple[tuple[Image, str], ...] = ()
    heatmap: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One photo in the report.

    Attributes:
        number: counts from 1; names the pin on the map and the card.
        fix: the answer.
        position: of the fix; None without one.
        truth: the true position, where known.
        panel: its pictures.
    """

    number: int
    fix: Fix
    position: LatLon | None
    truth: LatLon | None
    panel: PhotoPanel


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything on the page, in order.

    Attributes:
        entries: the photos.
        map_image: a picture of the map, or None for a plain plot.
        evaluation: against the truth, where that is known.
    """

    entries: tuple[Entry, ...]
    map_image: MapImage | None
    evaluation: Evaluation | None
