"""Datasets in which a photo shows several tiles in part: places and tasks from graded pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mobilegeo.learn.datasets.records import D2S, S2D, Pair, Place, Retrieval, Subset, View


def places_of_pairs(pairs: Iterable[Pair]) -> tuple[Place, ...]:
    """Training places: each tile with the photos that overlap it most.

    A photo is filed under one tile only, the one with the largest overlap. Two tiles that share
    a photo, be it in part, are marked as overlapping.

    Returns:
        Places in the order of their ids, which are the tiles'.
    """
    of_photo: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        of_photo[pair.drone.place].append(pair)
    tiles: dict[str, View] = {}
    photos: dict[str, list[View]] = defaultdict(list)
    overlaps: dict[str, set[str]] = defaultdict(set)
    for matching in of_photo.values():
        best = max(matching, key=lambda pair: pair.overlap).satellite
        tiles[best.place] = best
        photos[best.place].append(replace(matching[0].drone, place=best.place))
        shown = {pair.satellite.place for pair in matching}
        for tile in shown:
            overlaps[tile] |= shown - {tile}
    return tuple(
        Place(tile, (*photos[tile], tiles[tile]), frozenset(overlaps[tile] & tiles.keys()))
        for tile in sorted(tiles)
    )


def graded_tasks(
    photos: Iterable[View], tiles: Sequence[View], positive: Iterable[tuple[str, str]]
) -> tuple[dict[str, Subset], dict[str, Retrieval]]:
    """Both search tasks, as Game4Loc evaluates them.

    Photos without a positive tile take no part; every tile is in the gallery, but only tiles with
    a positive photo are asked for.

    Args:
        photos: drone views, each with an own `place`.
        tiles: satellite views, each with an own `place`.
        positive: places of a photo and of a tile that match.

    Returns:
        Subsets and retrievals by name.
    """
    right: dict[str, set[str]] = defaultdict(set)
    back: dict[str, set[str]] = defaultdict(set)
    for photo, tile in positive:
        right[photo].add(tile)
        back[tile].add(photo)
    drone = tuple(Place(view.place, (view,)) for view in photos if view.place in right)
    satellite = tuple(Place(view.place, (view,)) for view in tiles)
    asked = tuple(place for place in satellite if place.id in back)
    subsets = {
        "query_drone": Subset("query_drone", "drone", drone),
        "gallery_satellite": Subset("gallery_satellite", "satellite", satellite),
        "query_satellite": Subset("query_satellite", "satellite", asked),
        "gallery_drone": Subset("gallery_drone", "drone", drone),
    }
    retrievals = {
        D2S: Retrieval(D2S, subsets["query_drone"], subsets["gallery_satellite"], _frozen(right)),
        S2D: Retrieval(S2D, subsets["query_satellite"], subsets["gallery_drone"], _frozen(back)),
    }
    return subsets, retrievals


def _frozen(sets: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(members) for name, members in sets.items()}
