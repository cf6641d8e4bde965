"""What a small camera does to the light that falls into it."""

from __future__ import annotations

import numpy as np

from mobilegeo.world.scene import Image

_VIGNETTE = 0.28
_NOISE = 2.2
_BLUR_PX = 0.6


def expose(image: Image, rng: np.random.Generator) -> Image:
    """Vignetting, exposure, white balance, blur, noise and sharpening; uint8 [H, W, 3] RGB."""
    import cv2

    height, width = image.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    falloff = 1 - rng.uniform(0.3, 1.0) * _VIGNETTE * ((x * x + y * y) / 2) ** 1.5
    gains = rng.uniform(0.92, 1.10) * rng.normal(1, 0.025, 3)
    photo = image * falloff.astype(np.float32)[..., None] * gains.astype(np.float32)
    photo = cv2.GaussianBlur(photo, (0, 0), _BLUR_PX * rng.uniform(0.7, 1.3))
    soft = cv2.GaussianBlur(photo, (0, 0), 2.0)
    photo += 0.35 * (photo - soft)
    photo += _NOISE * rng.standard_normal(photo.shape, dtype=np.float32)
    return np.asarray(np.clip(photo + 0.5, 0, 255), dtype=np.uint8)
