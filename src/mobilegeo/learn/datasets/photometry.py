"""The photometric gap between a drone photo and a satellite map, drawn at random.

Each step takes and returns a float32 [H, W, 3] RGB image with values about 0 … 1 and draws its
own strength. Steps are generic on purpose: they widen what counts as the same place, and are not
fitted to any one camera or map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mobilegeo.learn.datasets.view import smooth_field

Array = NDArray[np.float32]
Step = Callable[[Array, np.random.Generator], Array]


def float32(values: ArrayLike) -> Array:
    """The values as a float32 array."""
    return np.asarray(values, dtype=np.float32)


def luminance(image: Array) -> Array:
    """Rec. 601 luma, float32 [H, W]."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return float32(image @ weights)


def season(image: Array, rng: np.random.Generator) -> Array:
    """Turns vegetation (excess green) yellow, brown, grey, lush or dark."""
    total = image.sum(axis=2) + np.float32(0.05)
    excess = (2.0 * image[..., 1] - image[..., 0] - image[..., 2]) / total
    vegetation = np.clip((excess - 0.02) / 0.12, 0.0, 1.0) * rng.uniform(0.3, 1.0)
    tints = (
        (1.25, 1.05, 0.65),
        (1.15, 0.95, 0.75),
        (1.0, 1.0, 0.95),
        (0.8, 1.2, 0.6),
        (0.6, 0.8, 0.5),
    )
    tint = np.array(tints[rng.integers(len(tints))], np.float32) * rng.uniform(0.7, 1.5)
    changed = luminance(image)[..., None] * tint.astype(np.float32)
    mixed = image + (changed - image) * vegetation[..., None].astype(np.float32)
    return float32(mixed)


def colour(image: Array, rng: np.random.Generator) -> Array:
    """Another sensor's colours: a matrix near the identity, white balance and saturation."""
    matrix = np.eye(3) + rng.normal(0.0, 0.05, (3, 3))
    matrix *= np.exp(rng.normal(0.0, 0.09, 3))[:, None]
    grey = np.full((3, 3), 1.0 / 3.0)
    saturation = rng.uniform(0.1, 1.4)
    matrix = (saturation * np.eye(3) + (1.0 - saturation) * grey) @ matrix
    return float32(cv2.transform(image, matrix.astype(np.float32)))


def tone(image: Array, rng: np.random.Generator) -> Array:
    """Exposure, gamma, contrast and a random monotone tone curve."""
    gamma = math.exp(rng.normal(0.0, 0.3))
    steps = rng.gamma(2.0, 1.0, 8)
    knots = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
    levels = np.linspace(0.0, 1.0, 256)
    curve = np.interp(levels**gamma, np.linspace(0.0, 1.0, 9), knots)
    strength = rng.uniform(0.0, 0.7)
    curve = strength * curve + (1.0 - strength) * levels**gamma
    contrast, brightness = rng.uniform(0.55, 1.3), rng.normal(0.0, 0.08)
    curve = (curve - 0.5) * contrast + 0.5 + brightness
    index = np.clip(image * 255.0, 0.0, 255.0).astype(np.uint8)
    return float32(curve[index])


def haze(image: Array, rng: np.random.Generator) -> Array:
    """Mixes in a bright veil of varying thickness."""
    thickness = rng.uniform(0.05, 0.4)
    field = smooth_field(rng, image.shape[0], 4)
    veil = np.clip(thickness * (1.0 + 0.3 * field), 0.0, 0.7)
    air = np.array([0.85, 0.88, 0.92], np.float32) * np.float32(rng.uniform(0.7, 1.05))
    return float32(image * (1.0 - veil) + air * veil)


def illumination(image: Array, rng: np.random.Generator) -> Array:
    """Brightness that varies slowly across the image: clouds, slopes, mosaic seams."""
    field = smooth_field(rng, image.shape[0], int(rng.integers(3, 7)))
    return float32(image * np.exp(rng.uniform(0.05, 0.25) * field))


def cast_shadows(image: Array, rng: np.random.Generator) -> Array:
    """Patches of shade, drawn out along one direction, bluish."""
    size = image.shape[0]
    blobs = smooth_field(rng, size, int(rng.integers(10, 40)))[..., 0] > rng.uniform(1.0, 1.8)
    length = int(rng.integers(3, 15))
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.uint8)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    end = (round(length + length * math.cos(angle)), round(length + length * math.sin(angle)))
    cv2.line(kernel, (length, length), end, 1, 1)
    shade = cv2.dilate(blobs.astype(np.float32), kernel)
    shade = cv2.GaussianBlur(shade, (0, 0), float(rng.uniform(0.5, 1.5)))[..., None]
    dark = np.array([0.9, 1.0, 1.1], np.float32) * np.float32(rng.uniform(0.35, 0.8))
    return float32(image * (1.0 - shade * (1.0 - dark)))


def shade_tones(image: Array, rng: np.random.Generator) -> Array:
    """Lifts or deepens what is already in shadow, as another sun or exposure does."""
    dark = np.clip(1.0 - luminance(image) / 0.35, 0.0, 1.0)[..., None]
    return float32(image * np.exp(rng.normal(0.0, 0.6) * dark))


def objects(image: Array, rng: np.random.Generator) -> Array:
    """Small rectangles that are there in one view only: cars, containers, tents."""
    canvas = np.ascontiguousarray(image)
    size = image.shape[0]
    for _ in range(int(rng.integers(3, 40))):
        centre = rng.uniform(0.0, size, 2)
        length = rng.uniform(2.0, 10.0)
        shape = (float(length), float(length * rng.uniform(0.3, 0.6)))
        box = cv2.boxPoints(
            ((float(centre[0]), float(centre[1])), shape, float(rng.uniform(0, 180)))
        )
        shades = rng.uniform(0.05, 1.0) + rng.normal(0.0, 0.1, 3)
        cv2.fillConvexPoly(canvas, np.rint(box).astype(np.int32), tuple(float(s) for s in shades))
    return canvas


def rebuilt(image: Array, rng: np.random.Generator) -> Array:
    """Replaces a patch by another part of the image, turned: ground that has changed."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        centre = rng.uniform(0.0, size, 2)
        axes = rng.uniform(0.05, 0.2, 2) * size
        box = cv2.boxPoints(
            (
                (float(centre[0]), float(centre[1])),
                (float(axes[0]) * 2, float(axes[1]) * 2),
                float(rng.uniform(0, 180)),
            )
        )
        cv2.fillConvexPoly(mask, np.rint(box).astype(np.int32), 1.0)
    other = np.rot90(image, int(rng.integers(1, 4)))
    return float32(np.where(mask[..., None] > 0, other, image))


def soften(image: Array, rng: np.random.Generator) -> Array:
    """Optics and resampling: a Gaussian, or detail lost at a lower resolution."""
    if rng.random() < 0.5:
        return float32(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6))))
    size = image.shape[0]
    small = round(size * float(rng.uniform(0.35, 0.9)))
    reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    return float32(cv2.resize(reduced, (size, size), interpolation=cv2.INTER_LINEAR))


def motion_blur(image: Array, rng: np.random.Generator) -> Array:
    """The drone moved during the exposure."""
    length = int(rng.integers(1, 4))
    side = 2 * length + 1
    kernel = np.zeros((side, side), np.float32)
    angle = rng.uniform(0.0, math.pi)
    step = np.array([math.cos(angle), math.sin(angle)]) * length
    start, end = (tuple(int(v) for v in np.rint(length + sign * step)) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1)
    return float32(cv2.filter2D(image, -1, kernel / kernel.sum()))


def sharpen(image: Array, rng: np.random.Generator) -> Array:
    """Unsharp masking, as cameras and map makers apply it."""
    blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.8, 2.0)))
    return float32(image + rng.uniform(0.2, 1.2) * (image - blurred))


def local_contrast(image: Array, rng: np.random.Generator) -> Array:
    """Contrast-limited histogram equalisation of the luminance, gain applied to all channels."""
    luma = luminance(image)
    levels = np.clip(luma * 255.0, 0.0, 255.0).astype(np.uint8)
    equalised = cv2.createCLAHE(float(rng.uniform(1.0, 3.0)), (4, 4)).apply(levels)
    gain = (equalised.astype(np.float32) / 255.0 + 0.02) / (np.clip(luma, 0.0, 1.0) + 0.02)
    return float32(image * gain[..., None])


def vignette(image: Array, rng: np.random.Generator) -> Array:
    """Darker towards the corners."""
    axis = np.linspace(-1.0, 1.0, image.shape[0], dtype=np.float32)
    radius = axis[None, :] ** 2 + axis[:, None] ** 2
    return float32(image * (1.0 - rng.uniform(0.05, 0.25) * radius)[..., None])


def sensor_noise(image: Array, rng: np.random.Generator) -> Array:
    """White noise, more of it in one channel than another."""
    sigma = (rng.uniform(0.005, 0.05) * rng.uniform(0.6, 1.4, 3)).astype(np.float32)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return float32(image + noise * sigma)


def jpeg(image: Array, rng: np.random.Generator) -> Array:
    """Compression at quality 25 … 95."""
    levels = np.clip(image * 255.0, 0.0, 255.0).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])
    return float32(cv2.imdecode(encoded, cv2.IMREAD_COLOR) / np.float32(255.0))


SCENE: Sequence[tuple[float, Step]] = (
    (0.5, season),
    (0.3, shade_tones),
    (0.3, cast_shadows),
    (0.5, objects),
    (0.35, rebuilt),
)
"""What differs on the ground and in the light, with the probability of each step."""

QUERY: Sequence[tuple[float, Step]] = (
    (0.4, illumination),
    (0.4, haze),
    (0.8, colour),
    (0.9, tone),
    (0.15, local_contrast),
    (0.5, soften),
    (0.25, motion_blur),
    (0.4, sharpen),
    (0.4, vignette),
    (0.5, sensor_noise),
    (0.5, jpeg),
)
"""What a drone's camera does."""

TILE: Sequence[tuple[float, Step]] = (
    (0.3, illumination),
    (0.3, haze),
    (0.8, colour),
    (0.9, tone),
    (0.1, local_contrast),
    (0.6, soften),
    (0.3, sharpen),
    (0.2, sensor_noise),
    (0.5, jpeg),
)
"""What a satellite and a map's maker do."""


def degrade(
    image: NDArray[np.uint8], rng: np.random.Generator, *chains: Sequence[tuple[float, Step]]
) -> NDArray[np.uint8]:
    """Runs the steps of `chains` in order, each with its probability.

    Args:
        image: uint8 [H, H, 3] RGB.
        rng: source of all randomness.
        chains: steps with probabilities.

    Returns:
        uint8 [H, H, 3], not quite black anywhere: pure black means "outside the photo".
    """
    out = image.astype(np.float32) / np.float32(255.0)
    for chain in chains:
        for probability, step in chain:
            if rng.random() < probability:
                out = step(out, rng)
    return np.asarray(np.clip(np.rint(out * 255.0), 1.0, 255.0), dtype=np.uint8)
