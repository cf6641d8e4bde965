"""Alignment: the photo's dense descriptors, as a template, over the map's.

Coarse: every hypothesis over every place allowed, on the grid's corners. Fine: around the best
places, heading and scale are climbed by encoding the photo anew, and the peak is interpolated
between cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.encoder.base import Encoder, ImageSpec
from mobilegeo.geo import LocalFrame
from mobilegeo.locate.correlate import MapSpectrum, Template
from mobilegeo.locate.peak import climb, interpolate
from mobilegeo.locate.prior import Box, Prior
from mobilegeo.locate.scan import MODE_DISTANCE_M, Block, Heatmap, Mode, Scan, Scores, blocks
from mobilegeo.locate.template import (
    MapStatistics,
    aimed_at,
    make_templates,
    template_patch,
)
from mobilegeo.maps.cells import FEATURE_STEP

Float32 = NDArray[np.float32]

RIVAL_SHARE = 0.75
"""Coarse peaks of at least this share of the highest are refined as well, at most `MAX_RIVALS`."""
MAX_RIVALS = 3

HEADING_STEP_DEG = 6.0
LOG_SCALE_STEP = 0.09
"""Fine search: first steps in heading and in log scale."""

REFINE_CELLS = 4


class FeatureMap(Protocol):
    """The part of a map pack that alignment reads."""

    spec: ImageSpec
    frame: LocalFrame
    feature_mean: Float32
    feature_std: Float32

    def features(
        self, x0_cell: int, y0_cell: int, width: int, height: int
    ) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Quantised descriptors and validity of cells, see `MapPack.features`."""
        ...


@dataclass(frozen=True)
class Alignment:
    """The outcome of aligning one photo.

    Attributes:
        best: the highest mode, refined.
        second: strength of the best mode elsewhere; −∞ when there is none.
        noise_mean, noise_std: of the strengths over all places and hypotheses.
        trials: how many places and hypotheses were compared.
        width_m: distance at which the peak has fallen by its half, from its curvature.
        heatmap: the block around the best mode.
    """

    best: Mode
    second: float
    noise_mean: float
    noise_std: float
    trials: int
    width_m: float
    heatmap: Heatmap


class Aligner:
    """Aligns one photo with one map.

    Args:
        feature_map: the map's descriptors.
        encoder: the encoder that made them.
        image: uint8 [H, W, 3] RGB.
        prior: where the camera can be; anywhere when `None`.
    """

    def __init__(
        self,
        feature_map: FeatureMap,
        encoder: Encoder,
        image: NDArray[np.uint8],
        prior: Prior | None = None,
    ) -> None:
        self._map = feature_map
        self._statistics = MapStatistics(feature_map.feature_mean, feature_map.feature_std)
        self._encoder = encoder
        self._image = image
        # Places are compared at the corners of cells, of which a small prior may hold none.
        self._prior = None if prior is None else prior.dilated(feature_map.spec.cell_m)

    def align(self, views: Sequence[GroundView], areas: Sequence[Box]) -> Alignment | None:
        """The best place for the photo's visible centre within `areas`.

        Args:
            views: hypotheses, each of which shows ground.
            areas: boxes of the map's frame in which to look.

        Returns:
            `None` when the map holds no data there.
        """
        templates = self._templates(views)
        scan = Scan()
        for block in blocks(areas, self._map.spec.cell_m):
            scan.add(self._correlate(block, views, templates), views)
        if not scan.modes:
            return None
        rivals = [m for m in scan.modes if m.strength >= RIVAL_SHARE * scan.modes[0].strength]
        refined = [self._refine(mode) for mode in rivals[:MAX_RIVALS]]
        winner, width_m = max(refined, key=lambda pair: pair[0].strength)
        others = [mode for mode, _ in refined] + scan.modes[len(refined) :]
        second = max(
            (m.strength for m in others if m.distance_m(winner) > MODE_DISTANCE_M),
            default=-math.inf,
        )
        mean, std = scan.noise()
        return Alignment(
            winner, second, mean, std, scan.trials, width_m, scan.heatmap_around(winner)
        )

    def _templates(self, views: Sequence[GroundView]) -> list[Template]:
        patches = [template_patch(self._image, view, self._map.spec) for view in views]
        return make_templates(patches, self._encoder, self._statistics)

    def _correlate(
        self, block: Block, views: Sequence[GroundView], templates: Sequence[Template]
    ) -> Scores:
        """Scores of every template at every corner of the block."""
        margin = max(max(t.valid.shape) for t in templates) // 2
        features, valid = self._map.features(
            block.x0 - margin,
            block.y0 - margin,
            block.width + 2 * margin,
            block.height + 2 * margin,
        )
        inner = (slice(margin, margin + block.height + 1), slice(margin, margin + block.width + 1))
        cells = self._statistics.unit(features * np.float32(FEATURE_STEP), valid)
        shape = (len(templates), block.height + 1, block.width + 1)
        values = np.full(shape, -1.0, dtype=np.float32)
        allowed = np.empty(shape, dtype=np.bool_)
        spectrum = MapSpectrum(cells, valid, 2 * margin) if valid.any() else None
        for number, (view, template) in enumerate(zip(views, templates, strict=True)):
            allowed[number] = self._allowed(block, view)
            if spectrum is not None:
                values[number] = spectrum.correlate(template)[inner]
        return Scores(values, allowed, _weights(templates), block)

    def _allowed(self, block: Block, view: GroundView) -> NDArray[np.bool_]:
        """Corners at which the camera would stand inside the prior."""
        x, y = block.corners()
        if self._prior is None:
            return np.ones((len(y), len(x)), dtype=np.bool_)
        centre = aimed_at(view)
        grid_x, grid_y = np.meshgrid(x - centre[0], y - centre[1])
        return self._prior.contains(self._map.frame, grid_x, grid_y)

    def _refine(self, mode: Mode) -> tuple[Mode, float]:
        """Climbs heading and scale, then interpolates between cells; also the peak's width."""

        def turned(angle_deg: float) -> GroundView:
            return replace(mode.view, heading_deg=mode.view.heading_deg + angle_deg)

        heading = climb(lambda steps: self._peaks(map(turned, steps), mode), HEADING_STEP_DEG)
        straight = turned(heading)

        def scaled(log_scale: float) -> GroundView:
            return replace(straight, agl_m=straight.agl_m * math.exp(log_scale))

        log_scale = climb(lambda steps: self._peaks(map(scaled, steps), mode), LOG_SCALE_STEP)
        return self._peak_at(scaled(log_scale), mode)

    def _peaks(self, views: Iterator[GroundView], near: Mode) -> list[float]:
        chosen = list(views)
        scores = self._correlate(self._block_around(near), chosen, self._templates(chosen))
        return [float(value.max()) for value in np.where(scores.open, scores.values, -1.0)]

    def _peak_at(self, view: GroundView, near: Mode) -> tuple[Mode, float]:
        scores = self._correlate(self._block_around(near), [view], self._templates([view]))
        values = np.where(scores.open[0], scores.values[0], np.float32(-1.0))
        row, column, score, width_cells = interpolate(values)
        cell_m = self._map.spec.cell_m
        left, top = scores.block.x0 * cell_m, (scores.block.y0 + scores.block.height) * cell_m
        strength = score * float(scores.weights[0])
        mode = Mode(left + column * cell_m, top - row * cell_m, score, strength, view)
        return mode, width_cells * cell_m

    def _block_around(self, mode: Mode) -> Block:
        cell_m = self._map.spec.cell_m
        x, y = round(mode.x_m / cell_m), round(mode.y_m / cell_m)
        side = 2 * REFINE_CELLS
        return Block(x - REFINE_CELLS, y - REFINE_CELLS, side, side, cell_m)


def _weights(templates: Sequence[Template]) -> Float32:
    return np.sqrt(np.array([t.valid.sum() for t in templates], dtype=np.float32))
