"""Bad weather, light and motion, to test how retrieval degrades.

The conditions are those of University-1652's multi-weather works: normal, fog, rain, snow, their
pairs, dark, over-exposure and wind, plus a lens out of focus. The rendering is our own, so results
compare encoders with each other here, not with published tables.

What is random (where fog is thick, where drops fall, which way the wind shakes) depends on the
image's index and the seed alone: severities of one image differ only in strength, and `fog+rain`
has the fog of `fog`. Lengths scale with the shorter side of the image.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.learn.datasets.view import smooth_field

Image = NDArray[np.float32]
Corruption = Callable[[Image, int, np.random.Generator], Image]
"""Float32 [H, W, 3] with values 0 … 1 and a severity 1 … 5 to an image of the same shape."""

SEVERITIES = (1, 2, 3, 4, 5)
GAMMA = 2.2
"""Between pixel values and light."""


def fog(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """A bright veil, thicker in banks: direct light fades and airlight takes its place."""
    thickness = (0.25, 0.37, 0.49, 0.61, 0.73)[severity - 1]
    banks = _clouds(image.shape[0], image.shape[1], rng)
    veil = np.clip(thickness * (1.0 + 0.25 * banks), 0.0, 0.95)[..., None]
    air = np.array([0.86, 0.88, 0.90], np.float32)
    return np.asarray(image * (1.0 - veil) + air * veil, dtype=np.float32)


def rain(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Streaks along one slant, near ones long and few, under a grey veil."""
    side = min(image.shape[:2])
    slant_deg = rng.uniform(70.0, 110.0)
    cover = (0.08, 0.15, 0.22, 0.30, 0.40)[severity - 1]
    thickness = max(1, round(0.003 * side))
    streaks = np.zeros(image.shape[:2], np.float32)
    for relative_length in (0.04, 0.10):
        length = max(3, round(relative_length * side))
        drops = _drops(image, cover / 2.0 / (length * thickness), rng)
        line = _line(length, slant_deg + rng.uniform(-4.0, 4.0), thickness)
        streaks += _filtered(drops, line * _fading(line.shape[0]))
    soft = cv2.GaussianBlur(streaks, (0, 0), 0.6 * thickness)
    streaks = np.clip(1.3 * soft, 0.0, 1.0)[..., None]
    veil = np.float32(0.06 * severity)
    wet = image * (1.0 - veil) + np.float32(0.55) * veil
    return np.asarray(wet + 0.5 * streaks * (np.float32(0.9) - wet), dtype=np.float32)


def snow(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Falling flakes of three sizes, a little blurred by their fall, under a white veil."""
    side = min(image.shape[:2])
    fall_deg = rng.uniform(60.0, 120.0)
    cover = (0.05, 0.10, 0.15, 0.21, 0.28)[severity - 1]
    clear = np.ones(image.shape[:2], np.float32)
    for diameter in (0.008, 0.014, 0.024):
        across = max(1.5, diameter * side)
        drops = _drops(image, cover / 3.0 / (math.pi * across**2 / 4.0), rng)
        flakes = _filtered(drops, _disc(across))
        fallen = _filtered(flakes, _unit(_line(max(3, round(across)), fall_deg)))
        clear *= 1.0 - 0.9 * np.clip(fallen, 0.0, 1.0)
    veil = 1.0 - clear[..., None] * np.float32(1.0 - 0.07 * severity)
    return np.asarray(image + veil * (np.float32(0.96) - image), dtype=np.float32)


def dark(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """Little light: dim, pale in colour, with the noise of few photons."""
    light_share = (0.30, 0.16, 0.085, 0.045, 0.022)[severity - 1]
    grey = image.mean(axis=2, keepdims=True)
    pale = image + np.float32(0.08 * severity) * (grey - image)
    light = pale**GAMMA * np.float32(light_share)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    light += noise * np.sqrt(light / np.float32(4000.0) + np.float32(1e-7))
    return np.asarray(np.clip(light, 0.0, 1.0) ** (1.0 / GAMMA), dtype=np.float32)


def over_exposure(image: Image, severity: int, rng: np.random.Generator) -> Image:  # noqa: ARG001
    """Too much light: bright parts saturate."""
    gain = (1.7, 2.4, 3.4, 4.8, 6.8)[severity - 1]
    light = np.clip(image, 0.0, 1.0) ** GAMMA * np.float32(gain)
    return np.asarray(np.clip(light, 0.0, 1.0) ** (1.0 / GAMMA), dtype=np.float32)


def wind(image: Image, severity: int, rng: np.random.Generator) -> Image:
    """The camera shakes: motion blur along one direction."""
    length = (0.015, 0.03, 0.05, 0.07, 0.10)[severity - 1] * min(image.shape[:2])
    kernel = _unit(_line(max(3, round(length)), rng.uniform(0.0, 180.0)))
    return _filtered(image, kernel)


def blur(image: Image, severity: int, rng: np.random.Generator) -> Image:  # noqa: ARG001
    """Out of focus: a disc."""
    diameter = (0.012, 0.02, 0.03, 0.042, 0.06)[severity - 1] * min(image.shape[:2])
    kernel = _unit(_disc(max(2.0, diameter)))
    return _filtered(image, kernel)


CORRUPTIONS: dict[str, Corruption] = {
    "fog": fog,
    "rain": rain,
    "snow": snow,
    "dark": dark,
    "over-exposure": over_exposure,
    "wind": wind,
    "blur": blur,
}
"""By name; names joined with `+` are applied from left to right."""

CONDITIONS = (
    "fog",
    "rain",
    "snow",
    "fog+rain",
    "fog+snow",
    "rain+snow",
    "dark",
    "over-exposure",
    "wind",
)
"""University-1652's weather conditions besides normal."""


def corrupt(
    image: NDArray[np.uint8], name: str, severity: int, index: int, seed: int = 0
) -> NDArray[np.uint8]:
    """The image under a condition, the same for the same arguments.

    Args:
        image: uint8 [H, W, 3] RGB.
        name: of a corruption, or several joined with `+`.
        severity: 1 (mild) … 5 (hardly recognisable).
        index: the image's number in its set, from 0.
        seed: of the whole evaluation, from 0.

    Returns:
        uint8 [H, W, 3].
    """
    steps = [_find(part) for part in name.split("+")]
    if severity not in SEVERITIES:
        raise UsageError(f"severity {severity}", "is not one of 1 … 5", "choose one of them")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(
            "image", f"is {image.dtype} {list(image.shape)}", "give uint8 [H, W, 3] RGB"
        )
    out = image.astype(np.float32) / np.float32(255.0)
    for part, step in zip(name.split("+"), steps, strict=True):
        out = step(out, severity, np.random.default_rng([seed, index, zlib.crc32(part.encode())]))
    rounded: NDArray[np.uint8] = np.clip(np.rint(out * 255.0), 0.0, 255.0).astype(np.uint8)
    return rounded


def _find(name: str) -> Corruption:
    if name not in CORRUPTIONS:
        raise UsageError(
            f"corruption {name}", "is not known", f"choose from {', '.join(CORRUPTIONS)}"
        )
    return CORRUPTIONS[name]


def _clouds(height: int, width: int, rng: np.random.Generator) -> Image:
    """Noise with large and small structure, of about unit variance, float32 [height, width]."""
    side = max(height, width)
    octaves = [(cells, 0.6**octave) for octave, cells in enumerate((3, 6, 12, 24))]
    field = np.zeros((side, side), np.float32)
    for cells, weight in octaves:
        field += np.float32(weight) * smooth_field(rng, side, cells)[..., 0]
    scale = math.sqrt(sum(weight**2 for _, weight in octaves))
    return np.asarray(field[:height, :width] / np.float32(scale), dtype=np.float32)


def _drops(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Ones in about a `share` of the pixels, which a larger share keeps; float32 [H, W]."""
    return (rng.random(image.shape[:2], dtype=np.float32) < share).astype(np.float32)


def _filtered(image: Image, kernel: Image) -> Image:
    """Correlation, mirrored at the borders; float32 of the image's shape."""
    return np.asarray(
        cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT), dtype=np.float32
    )


def _line(length: int, direction_deg: float, thickness: int = 1) -> Image:
    """A line through the middle of a square, float32 [S, S] with S odd."""
    half = length // 2
    canvas = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    direction = math.radians(direction_deg)
    step = np.array([math.cos(direction), math.sin(direction)]) * half
    start, end = (tuple(int(v) for v in np.rint(half + sign * step)) for sign in (-1, 1))
    cv2.line(canvas, start, end, 255, thickness, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255.0)


def _fading(size: int) -> Image:
    """From 1 in the middle of a square to 0 at its inscribed circle, float32 [size, size]."""
    axis = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    return np.asarray(np.clip(1.0 - axis[:, None] ** 2 - axis**2, 0.0, 1.0), dtype=np.float32)


def _disc(diameter: float) -> Image:
    """A filled circle with a soft edge, float32 [S, S] with S odd."""
    half = math.ceil(diameter / 2.0)
    axis = np.arange(-half, half + 1, dtype=np.float32)
    radius = np.hypot(axis[:, None], axis[None, :])
    return np.asarray(np.clip(diameter / 2.0 + 0.5 - radius, 0.0, 1.0), dtype=np.float32)


def _unit(kernel: Image) -> Image:
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)
