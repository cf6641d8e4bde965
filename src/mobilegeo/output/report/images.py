"""Pictures inside the page: shrunk, JPEG, as data URIs."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from mobilegeo.output.report.parts import Image

HEATMAP_SIDE_PX = 224


def data_uri(image: Image, side_px: int, quality: int = 75) -> str:
    """The picture as a JPEG data URI, its longer side at most `side_px`.

    Args:
        image: uint8 [H, W, 3] RGB.
        side_px: limit of the longer side; smaller pictures are kept as they are.
        quality: of the JPEG, 1 … 100.
    """
    import cv2

    factor = side_px / max(image.shape[:2])
    if factor < 1:
        size = [max(1, round(factor * side)) for side in (image.shape[1], image.shape[0])]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


def paint_heatmap(heatmap: NDArray[np.float32]) -> Image:
    """The heatmap in colour, dark low and bright high, its peak ringed.

    Args:
        heatmap: float32 [h, w]; NaN becomes grey.

    Returns:
        uint8 [H, W, 3] RGB, longer side `HEATMAP_SIDE_PX`, the cells kept visible as squares.
    """
    import cv2

    known = np.isfinite(heatmap)
    values = np.where(known, heatmap, 0.0)
    low, high = (values[known].min(), values[known].max()) if known.any() else (0.0, 1.0)
    levels = np.clip(255 * (values - low) / max(high - low, 1e-12), 0, 255).astype(np.uint8)
    painted = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    painted[~known] = 128
    factor = HEATMAP_SIDE_PX / max(heatmap.shape)
    size = [max(1, round(factor * side)) for side in (heatmap.shape[1], heatmap.shape[0])]
    enlarged: Image = cv2.resize(painted, size, interpolation=cv2.INTER_NEAREST)
    if known.any():
        row, column = np.unravel_index(np.argmax(np.where(known, values, -np.inf)), heatmap.shape)
        peak = (round(factor * (int(column) + 0.5)), round(factor * (int(row) + 0.5)))
        cv2.circle(enlarged, peak, 9, (255, 255, 255), 2, cv2.LINE_AA)
    return enlarged
