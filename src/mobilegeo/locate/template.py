"""From a photo and a view of it to a template: unit descriptors on the map's grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.encoder.base import Encoder, ImageSpec
from mobilegeo.locate.correlate import Template
from mobilegeo.locate.normalise import GroundPatch, project
from mobilegeo.locate.relief import SurfaceModel, project_relief
from mobilegeo.maps.descriptors import DescriptorBasis

MAX_SIDE_M = 160.0
"""Templates reach no farther: 20 × 20 cells of 8 m place a photo as well as 24 × 24 did, at two
thirds of the cost (`docs/results/descriptors.md`)."""

CELL_COVERAGE = 0.75
"""A cell counts when the photo covers at least this share of it."""

ENCODE_BATCH = 2
"""Larger batches fall out of the processor's cache: 24 views cost 381 ms in twos, 439 ms in eights
and 476 ms at once."""
VIEWS_AT_ONCE = 32
"""Patches of one size fill batches, and 32 of the largest take 18 MB."""


def visible_centre(view: GroundView) -> tuple[float, float] | None:
    """Middle of the ground worth looking at: east and north of the point below the camera.

    The image centre, or the middle of the visible ground where the image centre shows none;
    `None` for a view without ground.
    """
    at_centre = view.centre_ground
    if at_centre is not None:
        return at_centre
    outline = view.footprint()
    if len(outline) == 0:
        return None
    return float(outline[:, 0].mean()), float(outline[:, 1].mean())


def aimed_at(view: GroundView) -> tuple[float, float]:
    """`visible_centre` of a view that is known to show ground."""
    centre = visible_centre(view)
    assert centre is not None, "views without ground are turned away before"
    return centre


def template_patch(
    image: NDArray[np.uint8],
    view: GroundView,
    spec: ImageSpec,
    surface: SurfaceModel | None = None,
    place: tuple[float, float] | None = None,
    offset_m: tuple[float, float] = (0.0, 0.0),
) -> GroundPatch:
    """The photo on the map's feature grid, as one square patch around `visible_centre`.

    Args:
        image: uint8 [H, W, 3] RGB.
        view: a view that shows ground.
        spec: the encoder's facts; gives resolution and sizes.
        surface: heights of the map; the ground is taken as flat without them.
        place: where the camera is, in the map's frame; needed for the surface to serve.
        offset_m: moves the patch's centre east and north.
    """
    centre = aimed_at(view)
    outline = view.footprint() - np.array(centre)
    reach_m = min(MAX_SIDE_M / 2, float(np.abs(outline).max()))
    step_px = np.lcm(spec.multiple_px, 2 * spec.feature_stride_px)
    size_px = int(step_px * max(1, np.ceil(2 * reach_m / spec.feature_gsd_m / step_px)))
    gsd_m = spec.feature_gsd_m
    centre = (centre[0] + offset_m[0], centre[1] + offset_m[1])
    if surface is not None and place is not None:
        patch = project_relief(
            image, view, surface, place, gsd_m=gsd_m, size_px=size_px, centre=centre
        )
        if patch is not None:
            return patch
    return project(image, view, gsd_m=gsd_m, size_px=size_px, centre=centre)


def view_templates(
    image: NDArray[np.uint8],
    views: Sequence[GroundView],
    encoder: Encoder,
    basis: DescriptorBasis,
) -> list[Template]:
    """Templates of a photo under any number of views, on flat ground, in the given order.

    Only `VIEWS_AT_ONCE` projected photos are in memory at a time; a template is a sixth of one.
    """
    templates: list[Template] = []
    for start in range(0, len(views), VIEWS_AT_ONCE):
        group = views[start : start + VIEWS_AT_ONCE]
        patches = [template_patch(image, view, encoder.spec) for view in group]
        templates += make_templates(patches, encoder, basis)
    return templates


def make_templates(
    patches: Sequence[GroundPatch], encoder: Encoder, basis: DescriptorBasis
) -> list[Template]:
    """Encodes patches, those of equal size together, into templates in the given order."""
    spec = encoder.spec
    templates: dict[int, Template] = {}
    by_size: dict[int, list[int]] = {}
    for number, patch in enumerate(patches):
        by_size.setdefault(len(patch.valid), []).append(number)
    for numbers in by_size.values():
        for start in range(0, len(numbers), ENCODE_BATCH):
            group = numbers[start : start + ENCODE_BATCH]
            images = np.stack([spec.fill(patches[n].image, patches[n].coloured) for n in group])
            for number, features in zip(group, encoder.features(images), strict=True):
                valid = covered_cells(patches[number].valid, spec.feature_stride_px, CELL_COVERAGE)
                templates[number] = Template(basis.unit(features, valid), valid)
    return [templates[number] for number in range(len(patches))]


def covered_cells(valid: NDArray[np.bool_], stride_px: int, share: float) -> NDArray[np.bool_]:
    """Cells of which at least `share` is valid, bool [H / stride, W / stride]."""
    height, width = valid.shape
    cells = valid.reshape(height // stride_px, stride_px, width // stride_px, stride_px)
    enough: NDArray[np.bool_] = cells.mean(axis=(1, 3)) >= share
    return enough
