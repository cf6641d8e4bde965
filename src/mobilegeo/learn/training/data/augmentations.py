"""What training does to an image before a network sees it, for either side of its own.

`sample4geo` is the set of Sample4Geo's University-1652 code (Deuser et al., ICCV 2023,
arXiv 2303.11851): JPEG at quality 90 … 100, colour jitter, blur or sharpening, dropout on a grid or
in boxes, quarter turns of the satellite view, and a mirror that both views of a place share.
`mccg` is that of the University-1652 baseline and of MCCG: padding and a random crop, free rotation
of the satellite view, the mirror. Hue is turned around the grey axis of RGB, not in HSV, so that
all of the jitter is one matrix, JPEG comes after resizing, and the cell of the dropout's grid is
drawn (a tenth to a third of the side; theirs is a tenth). All other strengths are theirs.

A satellite view may be turned, as no place has a preferred direction from above and the drone looks
at it from all sides. Images are stretched to a square, as the public trainers and evaluators do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Turns = Literal["none", "quarter", "free"]

_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Look:
    """The augmentation of one side. Shares are probabilities, 0 … 1.

    Attributes:
        compressed: share of images that go through JPEG at quality 90 … 100.
        shift: largest shift along each axis, as a share of the side; edges are repeated.
        turns: quarter turns, or any angle within ±90°, or none.
        coloured: share with colour jitter.
        jitter: largest relative change of brightness, contrast and saturation, and of hue in turns.
        blurred: share that is blurred or sharpened.
        dropped: share of which parts are made black.
    """

    compressed: float = 0.0
    shift: float = 0.0
    turns: Turns = "none"
    coloured: float = 0.0
    jitter: float = 0.15
    blurred: float = 0.0
    dropped: float = 0.0

    def apply(self, image: Image, size_px: int, rng: np.random.Generator) -> Image:
        """One image, augmented.

        Args:
            image: uint8 [H, W, 3] RGB.
            size_px: S.
            rng: draws everything.

        Returns:
            uint8 [S, S, 3].
        """
        out = stretched(image, size_px)
        if rng.random() < self.compressed:
            out = _compressed(out, rng)
        if self.shift or self.turns != "none":
            out = self._moved(out, rng)
        if rng.random() < self.coloured:
            out = _jittered(out, self.jitter, rng)
        if rng.random() < self.blurred:
            out = _blurred_or_sharpened(out, rng)
        if rng.random() < self.dropped:
            out = _with_holes(out, rng)
        return out

    def _moved(self, image: Image, rng: np.random.Generator) -> Image:
        """Turned and shifted."""
        if self.turns == "quarter":
            image = np.ascontiguousarray(np.rot90(image, int(rng.integers(4))))
        size = image.shape[0]
        angle = float(rng.uniform(-90.0, 90.0)) if self.turns == "free" else 0.0
        shift = rng.uniform(-self.shift, self.shift, 2) * size
        if angle == 0.0 and not shift.any():
            return image
        middle = (size - 1) / 2
        matrix = cv2.getRotationMatrix2D((middle, middle), angle, 1.0)
        matrix[:, 2] += shift
        border = cv2.BORDER_REFLECT if angle else cv2.BORDER_REPLICATE
        warped: Image = cv2.warpAffine(image, matrix, (size, size), borderMode=border)
        return warped


@dataclass(frozen=True)
class Recipe:
    """The augmentation of a place's views.

    Attributes:
        drone, satellite: of each side.
        mirrored: share of the visits of a place in which all its views are mirrored: a mirrored
            place is another place, so both sides must agree.
    """

    drone: Look
    satellite: Look
    mirrored: float = 0.5


RECIPES: dict[str, Recipe] = {
    "none": Recipe(Look(), Look(), mirrored=0.0),
    "sample4geo": Recipe(
        Look(compressed=0.5, coloured=0.5, blurred=0.3, dropped=0.3),
        Look(compressed=0.5, coloured=0.5, blurred=0.3, dropped=0.3, turns="quarter"),
    ),
    "mccg": Recipe(Look(shift=10 / 256), Look(shift=10 / 256, turns="free")),
}


def stretched(image: Image, size_px: int) -> Image:
    """An image at another size, averaged where that is smaller: uint8 [S, S, 3]."""
    if image.shape[:2] == (size_px, size_px):
        return image
    method = cv2.INTER_AREA if min(image.shape[:2]) > size_px else cv2.INTER_LINEAR
    resized: Image = cv2.resize(image, (size_px, size_px), interpolation=method)
    return resized


def _compressed(image: Image, rng: np.random.Generator) -> Image:
    quality = int(rng.integers(90, 101))
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    # Encoder and decoder both take the channels for BGR, so the order is kept.
    decoded: Image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return decoded


def _jittered(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Brightness, contrast, saturation and hue at once, as one affine map of the colours."""
    brightness, contrast, saturation = 1.0 + rng.uniform(-strength, strength, 3)
    hue = 2.0 * math.pi * rng.uniform(-strength, strength)
    grey = np.tile(_LUMA, (3, 1))
    colours = saturation * np.eye(3) + (1.0 - saturation) * grey
    matrix = brightness * contrast * (_hue_turn(hue) @ colours)
    mean = brightness * float(_LUMA @ cv2.mean(image)[:3])
    offset = np.full((3, 1), (1.0 - contrast) * mean)
    jittered: Image = cv2.transform(image, np.hstack([matrix, offset]))
    return jittered


def _hue_turn(angle: float) -> NDArray[np.float64]:
    """Rotation around the grey axis, float64 [3, 3]; grey stays as it is."""
    axis = np.full(3, 1.0 / math.sqrt(3.0))
    cross = np.cross(axis, np.eye(3)).T
    turn: NDArray[np.float64] = (
        math.cos(angle) * np.eye(3)
        + math.sin(angle) * cross
        + (1.0 - math.cos(angle)) * np.outer(axis, axis)
    )
    return turn


def _blurred_or_sharpened(image: Image, rng: np.random.Generator) -> Image:
    out: Image
    if rng.random() < 0.5:
        out = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.2)))
        return out
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    amount = float(rng.uniform(0.2, 1.0))
    out = cv2.addWeighted(image, 1.0 + amount, soft, -amount, 0.0)
    return out


def _with_holes(image: Image, rng: np.random.Generator) -> Image:
    """Black squares of a regular grid (16 % of the area), or 10 to 25 boxes anywhere."""
    size = image.shape[0]
    keep = np.ones((size, size, 1), np.uint8)
    if rng.random() < 0.5:
        cell = int(rng.integers(max(2, size // 10), max(3, size // 3)))
        left, top = (int(v) for v in rng.integers(0, cell, 2))
        covered = (np.arange(size) + top) % cell < 0.4 * cell
        across = (np.arange(size) + left) % cell < 0.4 * cell
        keep[covered[:, None] & across[None, :]] = 0
    else:
        for _ in range(int(rng.integers(10, 26))):
            height, width = (int(v) for v in rng.uniform(0.1, 0.2, 2) * size)
            top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
            keep[top : top + height, left : left + width] = 0
    return image * keep
