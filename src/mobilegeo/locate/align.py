"""Alignment: the photo's dense descriptors, as a template, over the map's.

Coarse: every hypothesis over every place allowed, on the grid's corners. Fine: around the best
places, the joint optimum over position, heading and scale (`refine`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.encoder.base import Encoder
from mobilegeo.locate.coarse import CoarseMap
from mobilegeo.locate.correlate import Template
from mobilegeo.locate.likeness import CORNERS, REACH_CELLS, Likeness, likeness
from mobilegeo.locate.prior import Box, Prior
from mobilegeo.locate.refine import Scores as CornerScores
from mobilegeo.locate.refine import refine
from mobilegeo.locate.scan import MODE_DISTANCE_M, Block, Heatmap, Mode, Scan, Scores, blocks
from mobilegeo.locate.template import (
    MAX_SIDE_M,
    aimed_at,
    make_templates,
    template_patch,
    view_templates,
)
from mobilegeo.locate.verify import agreement
from mobilegeo.locate.window import FeatureMap, open_window

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

RIVAL_SHARE = 0.75
"""Coarse peaks of at least this share of the highest are refined as well, at most `MAX_RIVALS`."""
MAX_RIVALS = 3


@dataclass(frozen=True)
class Peak:
    """A place after refinement.

    Attributes:
        mode: the place.
        spread: float64 [4, 4] over (east m, north m, heading deg, log scale): times the relative
            noise (s / p)² it is the covariance, see `refine`.
        width_m: distance at which the peak has fallen by its half, from its curvature.
        agreement: share of the photo's cells that find their best match there, see `verify`.
    """

    mode: Mode
    spread: Float64
    width_m: float
    agreement: float


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
        spread, agreement: of the best place, see `Peak`.
    """

    best: Mode
    second: float
    noise_mean: float
    noise_std: float
    trials: int
    width_m: float
    heatmap: Heatmap
    spread: Float64
    agreement: float

    @property
    def relative_noise(self) -> float:
        """Standard deviation of the noise as a share of the peak, s / p."""
        return self.noise_std / max(self.best.strength, 1e-3)

    @property
    def covariance(self) -> Float64:
        """float64 [2, 2], m²: of the position (east, north) if it is right, from noise alone.

        `confidence.covariance_m2` adds what noise does not tell.
        """
        return self.spread[:2, :2] * self.relative_noise**2

    @property
    def heading_sigma_deg(self) -> float:
        """One standard deviation of the heading if the place is right, from noise alone."""
        return math.sqrt(self.spread[2, 2]) * self.relative_noise

    @property
    def log_scale_sigma(self) -> float:
        """One standard deviation of the height's logarithm, from noise alone."""
        return math.sqrt(self.spread[3, 3]) * self.relative_noise


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
        self._encoder = encoder
        self._image = image
        # Places are compared at the corners of cells, of which a small prior may hold none.
        self._prior = None if prior is None else prior.dilated(feature_map.spec.cell_m)

    def align(
        self,
        views: Sequence[GroundView],
        areas: Sequence[Box],
        coarse: CoarseMap | None = None,
    ) -> Alignment | None:
        """The best place for the photo's visible centre within `areas`.

        Args:
            views: hypotheses, each of which shows ground.
            areas: boxes of the map's frame in which to look.
            coarse: the same map, pooled, which tells where in the areas to look closely, and
                under which views; everywhere and under all when `None`.

        Returns:
            `None` when the map holds no data there.
        """
        scan, templates = self._scan(views, areas, coarse)
        if not scan.modes:
            return None
        highest = scan.modes[0].strength  # below 0 for noise, of which every share is higher
        rivals = [m for m in scan.modes if m.strength >= min(highest, RIVAL_SHARE * highest)]
        refined = [self._refine(mode, templates[mode.view]) for mode in rivals[:MAX_RIVALS]]
        winner = max(refined, key=lambda peak: peak.mode.strength)
        others = [peak.mode for peak in refined] + scan.modes[len(refined) :]
        second = max(
            (m.strength for m in others if m.distance_m(winner.mode) > MODE_DISTANCE_M),
            default=-math.inf,
        )
        mean, std = scan.noise()
        return Alignment(
            best=winner.mode,
            second=second,
            noise_mean=mean,
            noise_std=std,
            trials=scan.trials,
            width_m=winner.width_m,
            heatmap=scan.heatmap_around(winner.mode),
            spread=winner.spread,
            agreement=winner.agreement,
        )

    def _scan(
        self, views: Sequence[GroundView], areas: Sequence[Box], coarse: CoarseMap | None
    ) -> tuple[Scan, dict[GroundView, Template]]:
        """Compares every view, on flat ground, with every place; gives the templates as well."""
        templates = view_templates(self._image, views, self._encoder, self._map.basis)
        if coarse is not None:
            places = coarse.places(
                templates, areas, lambda number, b: self._allowed(b, aimed_at(views[number]))
            )
            areas = [place.box for place in places]
            promising = sorted({place.number for place in places})
            views = [views[number] for number in promising]
            templates = [templates[number] for number in promising]
        weights = np.array([_weight(t) for t in templates], dtype=np.float32)
        margin = max((max(t.valid.shape) for t in templates), default=0) // 2
        scan = Scan()
        for block in blocks(areas, self._map.spec.cell_m):
            window = open_window(self._map, block, margin)
            values = np.stack([window.correlate(template) for template in templates])
            allowed = np.stack([self._allowed(block, aimed_at(view)) for view in views])
            scan.add(Scores(values, allowed, weights, block), views)
        return scan, dict(zip(views, templates, strict=True))

    def _allowed(self, block: Block, centre: tuple[float, float]) -> NDArray[np.bool_]:
        """Corners at which the camera, `centre` metres off, would stand inside the prior."""
        x, y = block.corners()
        if self._prior is None:
            return np.ones((len(y), len(x)), dtype=np.bool_)
        grid_x, grid_y = np.meshgrid(x - centre[0], y - centre[1])
        return self._prior.contains(self._map.frame, grid_x, grid_y)

    def _refine(self, mode: Mode, flat: Template) -> Peak:
        """The joint optimum around a mode, over the map's relief where that is known.

        Args:
            mode: where to begin.
            flat: the template of its view on flat ground.
        """
        spec, block = self._map.spec, self._block_around(mode)
        margin = math.ceil(MAX_SIDE_M / 2 / spec.cell_m) + REACH_CELLS
        window = open_window(self._map, block, margin)
        middle = margin + CORNERS
        looks: list[Likeness] = []

        def look(view: GroundView, offset_m: tuple[float, float]) -> CornerScores:
            template = flat
            if looks or self._map.surface is not None:
                template = self._template(mode, view, offset_m)
            seen = likeness(template, window.cells, window.valid, middle, middle)
            looks.append(seen)
            centre = aimed_at(view)

            @cache
            def scores(turn_deg: float, log_scale: float) -> Float32:
                allowed = self._allowed(block, _turned(centre, turn_deg, log_scale))
                return np.where(allowed, seen.scores(turn_deg, log_scale), np.float32(-1.0))

            return scores

        found = refine(mode.view, look, spec.cell_m)
        last = looks[-1]
        x_m = (block.x0 + found.column) * spec.cell_m
        y_m = (block.y0 + block.height - found.row) * spec.cell_m
        strength = found.score * math.sqrt(len(last.south))
        best = Mode(x_m, y_m, found.score, strength, found.view)
        south, east = (corner - CORNERS for corner in found.corner)
        return Peak(best, found.spread, found.width_m, agreement(last, south, east))

    def _template(self, mode: Mode, view: GroundView, offset_m: tuple[float, float]) -> Template:
        """The photo at a mode's place, its middle moved from `visible_centre` by an offset."""
        place = _camera(mode, view)
        patch = template_patch(
            self._image, view, self._map.spec, self._map.surface, place, offset_m
        )
        return make_templates([patch], self._encoder, self._map.basis)[0]

    def _block_around(self, mode: Mode) -> Block:
        cell_m = self._map.spec.cell_m
        x, y = round(mode.x_m / cell_m), round(mode.y_m / cell_m)
        return Block(x - CORNERS, y - CORNERS, 2 * CORNERS, 2 * CORNERS, cell_m)


def _camera(mode: Mode, view: GroundView) -> tuple[float, float]:
    """The point below the camera if a view of this photo shows the mode's place, x and y."""
    east, north = aimed_at(view)
    return mode.x_m - east, mode.y_m - north


def _turned(centre: tuple[float, float], turn_deg: float, log_scale: float) -> tuple[float, float]:
    """The centre that a view has when it is turned clockwise and raised: they move all its ground.

    Exact unless the horizon limits what is seen (`visible_centre`), where the outline's mean
    turns and stretches likewise.
    """
    east, north = centre
    cos, sin = (math.exp(log_scale) * f(math.radians(turn_deg)) for f in (math.cos, math.sin))
    return east * cos + north * sin, north * cos - east * sin


def _weight(template: Template) -> float:
    """√cells: score times this is the strength of a mode."""
    return math.sqrt(float(template.valid.sum()))
