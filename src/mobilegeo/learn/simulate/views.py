"""The images of one place: what the drone sees along its spiral, and the satellite's square."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.camera import GroundView
from mobilegeo.learn.datasets import photometry
from mobilegeo.learn.simulate.settings import Settings, SpiralView
from mobilegeo.world.render import render_view
from mobilegeo.world.scene import Scene

Image = NDArray[np.uint8]
Chain = Sequence[tuple[float, photometry.Step]]

_CHANGED: Chain = (
    (0.4, photometry.season),
    (0.2, photometry.shade_tones),
    (0.15, photometry.cast_shadows),
    (0.3, photometry.objects),
    (0.15, photometry.rebuilt),
)
"""What is different on the ground when the satellite passes."""
_TOUR: Chain = (
    (0.3, photometry.haze),
    (0.8, photometry.colour),
    (0.8, photometry.tone),
)
"""Light and camera of a flight: drawn once a place."""
_FRAME: Chain = (
    (0.3, photometry.soften),
    (0.15, photometry.motion_blur),
    (0.3, photometry.vignette),
    (0.5, photometry.sensor_noise),
)
"""What differs from photo to photo of a flight."""
_STRENGTH = (0.2, 0.7)
"""Share of a look in the mixture with the clean image, drawn once an image. At full strength the
looks are meant to widen what counts as the same place; University-1652's gap is smaller."""


def satellite_image(
    scene: Scene, footprint_m: float, size_px: int, rng: np.random.Generator
) -> Image:
    """The square around the scene's origin from straight above, at another time and by other means.

    Season, shadows, parked and built things and colours differ from the drone's.

    Args:
        scene: the place at the frame's origin.
        footprint_m: side of the square.
        size_px: S.
        rng: draws the look.

    Returns:
        uint8 [S, S, 3] RGB, north up.
    """
    gsd_m = footprint_m / size_px
    level = int(np.clip(np.log2(max(gsd_m / scene.gsd_m, 1.0)) + 0.25, 0, len(scene.pyramid) - 1))
    image = scene.pyramid[level]
    half = footprint_m / 2
    to_ground = np.array(
        [[gsd_m, 0.0, gsd_m / 2 - half], [0.0, -gsd_m, half - gsd_m / 2], [0, 0, 1]]
    )
    matrix = (scene.index_matrix(image.shape) @ to_ground)[:2]
    square: Image = cv2.warpAffine(
        image,
        matrix,
        (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    return _with_look(square, rng, (_CHANGED, photometry.TILE))


def drone_images(
    scene: Scene, views: Sequence[SpiralView], settings: Settings, key: tuple[int, ...]
) -> Iterator[Image]:
    """The photos of one flight, with the relief of the scene.

    Args:
        scene: the place at the frame's origin.
        views: of the spiral.
        settings: lens and size.
        key: seeds the looks.

    Yields:
        uint8 [S, S, 3] RGB for each view.
    """
    for view in views:
        image = render_view(scene, ground_view(scene, view, settings), view.east_m, view.north_m)
        tour, frame = np.random.default_rng(key), np.random.default_rng((*key, view.number))
        yield _with_look(_with_look(image, tour, (_TOUR,)), frame, (_FRAME,))


def ground_view(scene: Scene, view: SpiralView, settings: Settings) -> GroundView:
    """The camera of a view, which looks at the ground at the scene's origin."""
    # The renderer counts height from the ground below the camera, the spiral from the place's.
    climb_m = scene.ground_at(0.0, 0.0) - scene.ground_at(view.east_m, view.north_m)
    return GroundView(
        settings.size_px,
        settings.size_px,
        settings.hfov_deg,
        view.heading_deg,
        settings.pitch_deg,
        0.0,
        max(1.0, view.height_m + climb_m),
    )


def _with_look(image: Image, rng: np.random.Generator, chains: Sequence[Chain]) -> Image:
    """The image mixed with itself after the chains' steps."""
    share = float(rng.uniform(*_STRENGTH))
    changed = photometry.degrade(image, rng, *chains)
    mixed: Image = cv2.addWeighted(image, 1.0 - share, changed, share, 0.0)
    return mixed
