"""What every dataset reader yields: places and their views, subsets of them, and retrieval tasks.

```
Benchmark
├── train: Place, Place, …            each with its views of every kind
├── pairs: Pair, Pair, …              only where a photo matches several tiles in part
├── subsets: {"query_drone": Subset}  by their official names
└── retrievals: {"D2S": Retrieval}    query and gallery, and which gallery places are right
```
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon

ViewKind = Literal["drone", "satellite", "street", "google"]
"""`google` is University-1652's noisy street imagery from an image search."""

D2S = "D2S"
"""Drone to satellite: find the tile that a drone photo shows (localization)."""
S2D = "S2D"
"""Satellite to drone: find the drone photos of a tile (navigation)."""


@dataclass(frozen=True, slots=True)
class PlanePoint:
    """A point of a dataset's own flat frame, for worlds that have no latitude and longitude.

    Attributes:
        x_m: metres to the right (east).
        y_m: metres down (south).
    """

    x_m: float
    y_m: float


@dataclass(frozen=True, slots=True)
class PixelBox:
    """A rectangle of whole pixels in an image.

    Attributes:
        left, top: the first column and row.
        width, height: size in pixels.
    """

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class View:
    """One image of a place.

    Attributes:
        path: the image file.
        kind: from where it was taken.
        place: id of the place that it is filed under.
        height_m: height above ground in metres, as the dataset states it; None where unknown.
        heading_deg: clockwise from true north, 0 … 360; None where unknown.
        position: of the image centre on the ground; None where unknown.
        crop: the part of the file that is the view; None means the whole file.
    """

    path: Path
    kind: ViewKind
    place: str
    height_m: float | None = None
    heading_deg: float | None = None
    position: LatLon | PlanePoint | None = None
    crop: PixelBox | None = None

    @property
    def lat_lon(self) -> LatLon:
        """The position on the earth.

        Raises:
            UsageError: the dataset does not tell it, or is of another world.
        """
        if not isinstance(self.position, LatLon):
            problem = "has no latitude and longitude"
            raise UsageError(self.path, problem, "choose a measure that needs none")
        return self.position


@dataclass(frozen=True)
class Place:
    """One place and its views.

    Attributes:
        id: the dataset's name of the place, unique in a subset.
        views: in the order of the file names, kind after kind.
        overlaps: ids of other places that show some of the same ground; never negatives.
    """

    id: str
    views: tuple[View, ...]
    overlaps: frozenset[str] = frozenset()

    def of_kind(self, kind: ViewKind) -> tuple[View, ...]:
        """The views of one kind, in order."""
        return tuple(view for view in self.views if view.kind == kind)


@dataclass(frozen=True)
class Subset:
    """A named part of a dataset with views of one kind, such as `gallery_satellite`.

    Attributes:
        name: the official name.
        kind: of all its views.
        places: in the order of their ids.
    """

    name: str
    kind: ViewKind
    places: tuple[Place, ...]

    @cached_property
    def views(self) -> tuple[View, ...]:
        """All views, place after place: the rows of an embedding matrix."""
        return tuple(view for place in self.places for view in place.views)

    @cached_property
    def place_ids(self) -> frozenset[str]:
        """Ids of its places."""
        return frozenset(place.id for place in self.places)


@dataclass(frozen=True, slots=True)
class Pair:
    """A drone view and a satellite view that show partly the same ground.

    Attributes:
        drone: the photo.
        satellite: the tile.
        overlap: intersection over union of both footprints, 0 … 1.
        positive: whether finding the tile counts as right; otherwise it is semi-positive.
    """

    drone: View
    satellite: View
    overlap: float
    positive: bool


@dataclass(frozen=True)
class Retrieval:
    """One direction of search.

    Attributes:
        name: `D2S` or `S2D`.
        query: the views to search with.
        gallery: the views to search in.
        matches: query place id → ids of the right gallery places; None means the same id.
    """

    name: str
    query: Subset
    gallery: Subset
    matches: Mapping[str, frozenset[str]] | None = None

    def right_places(self, query_place: str) -> frozenset[str]:
        """Ids of the gallery places that answer a query of this place."""
        if self.matches is not None:
            return self.matches.get(query_place, frozenset())
        return frozenset({query_place}) & self.gallery.place_ids

    @cached_property
    def distractors(self) -> Subset:
        """The part of the gallery that no query asks for."""
        return self._part("distractors", wanted=False)

    @cached_property
    def targets(self) -> Subset:
        """The part of the gallery that some query asks for."""
        return self._part("targets", wanted=True)

    def relevant(self) -> tuple[NDArray[np.int64], ...]:
        """The right answers.

        Returns:
            For each of `query.views`, int64 [n]: rows of `gallery.views` that are right, sorted.
        """
        rows: dict[str, list[int]] = defaultdict(list)
        for row, view in enumerate(self.gallery.views):
            rows[view.place].append(row)
        of_place = {
            place.id: np.array(
                sorted(row for right in self.right_places(place.id) for row in rows[right]),
                dtype=np.int64,
            )
            for place in self.query.places
        }
        return tuple(of_place[view.place] for view in self.query.views)

    def _part(self, suffix: str, *, wanted: bool) -> Subset:
        asked = frozenset[str]().union(*(self.right_places(p.id) for p in self.query.places))
        places = tuple(place for place in self.gallery.places if (place.id in asked) == wanted)
        return Subset(f"{self.gallery.name}:{suffix}", self.gallery.kind, places)


@dataclass(frozen=True)
class Benchmark:
    """A dataset as read from disk.

    Attributes:
        name: key of the catalogue.
        variant: which of the dataset's settings (a height, a split); "" where there is one only.
        root: the folder that was read.
        train: the training places, in the order of their ids.
        subsets: the test parts by official name.
        retrievals: the search tasks by name.
        pairs: graded training pairs; empty where places are matched one to one.
    """

    name: str
    variant: str
    root: Path
    train: tuple[Place, ...]
    subsets: Mapping[str, Subset]
    retrievals: Mapping[str, Retrieval]
    pairs: tuple[Pair, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("subsets", "retrievals"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def retrieval(self, name: str) -> Retrieval:
        """One search task.

        Raises:
            UsageError: the dataset has no such task.
        """
        if name not in self.retrievals:
            known = ", ".join(self.retrievals)
            raise UsageError(f"task {name!r}", f"{self.name} has none such", f"use one of: {known}")
        return self.retrievals[name]
