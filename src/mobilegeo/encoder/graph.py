"""What encoders read from an ONNX file share, whichever runtime computes them."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import Encoded, ImageSpec
from mobilegeo.errors import EncoderError

INPUT = "image"
EMBEDDING = "embedding"
FEATURES = "features"


class GraphEncoder(ABC):
    """An encoder read from one ONNX file; thread-safe.

    The file's graph takes `image`, float32 [B, 3, H, W], and gives `embedding` [B, D] and
    `features` [B, C, h, w]. Only the part of the graph that a call needs is run.

    Args:
        path: the model file, with an `ImageSpec` in its metadata.
        runtime: name of what computes it, as in `mobilegeo.encoder.RUNTIMES`.
        threads: CPU threads; all cores when `None`.

    Attributes:
        path: the model file.
        runtime: name of what computes it.
        threads: CPU threads; all cores when `None`.

    Raises:
        EncoderError: the file is missing, damaged, or not an encoder exported by MobileGeo.
        MissingExtraError: the runtime is not installed.
    """

    def __init__(
        self, path: str | os.PathLike[str], runtime: str, threads: int | None = None
    ) -> None:
        self.path = Path(path)
        self.runtime = runtime
        self.threads = threads
        model = _read(self.path)
        self._sha256 = hashlib.sha256(model).hexdigest()
        self._spec = self._open(model)

    @property
    def spec(self) -> ImageSpec:
        """Facts about input and outputs, from the file's metadata."""
        return self._spec

    @property
    def sha256(self) -> str:
        """Hash of the model file, hexadecimal."""
        return self._sha256

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings, float32 [B, D], L2-normalised, of uint8 [B, H, W, 3] RGB images."""
        return self._run((EMBEDDING,), normalise_pixels(images, self._spec))[0]

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Dense descriptors, float32 [B, h, w, C], of uint8 [B, H, W, 3] RGB images."""
        return _channels_last(self._run((FEATURES,), normalise_pixels(images, self._spec))[0])

    def encode(self, images: NDArray[np.uint8]) -> Encoded:
        """Both outputs from one pass over uint8 [B, H, W, 3] RGB images."""
        batch = normalise_pixels(images, self._spec)
        embedding, features = self._run((EMBEDDING, FEATURES), batch)
        return Encoded(embedding, _channels_last(features))

    @abstractmethod
    def _open(self, model: bytes) -> ImageSpec:
        """Makes the runtime's session from the file's content and reads its facts."""

    @abstractmethod
    def _run(
        self, outputs: tuple[str, ...], batch: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """The named outputs of the graph, for float32 [B, 3, H, W]."""


def normalise_pixels(images: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """Pixels as a network takes them.

    Args:
        images: uint8 [B, H, W, 3] RGB; H and W multiples of `spec.multiple_px`.
        spec: the network's facts.

    Returns:
        float32 [B, 3, H, W], (RGB / 255 − mean) / std.

    Raises:
        EncoderError: the array is of another shape or type.
    """
    require_images(images, spec)
    height, width = images.shape[1:3]
    scale = np.float32(1 / 255) / np.array(spec.std, dtype=np.float32)
    shift = np.array(spec.mean, dtype=np.float32) / np.array(spec.std, dtype=np.float32)
    batch = np.empty((len(images), 3, height, width), dtype=np.float32)
    for channel in range(3):
        np.multiply(images[..., channel], scale[channel], out=batch[:, channel])
        batch[:, channel] -= shift[channel]
    return batch


def require_images(images: NDArray[np.uint8], spec: ImageSpec) -> None:
    """Checks what an encoder is given.

    Raises:
        EncoderError: the array is not uint8 [B, H, W, 3], or H or W is no multiple of
            `spec.multiple_px`.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise EncoderError(
            spec.model_id,
            f"was given {images.dtype} {list(images.shape)}",
            "pass uint8 [B, H, W, 3] RGB images",
        )
    height, width = images.shape[1:3]
    if height % spec.multiple_px or width % spec.multiple_px or not height or not width:
        raise EncoderError(
            spec.model_id,
            f"was given images of {width} × {height} px",
            f"both sides must be positive multiples of {spec.multiple_px}",
        )


def read_spec(path: Path, text: str | None, width: object, outputs: Collection[str]) -> ImageSpec:
    """The facts in a model's metadata, checked against its graph.

    Args:
        path: the model file, for the message.
        text: the metadata entry, if the file has one.
        width: last side of the output `embedding`, as the graph declares it.
        outputs: names of the graph's outputs.

    Raises:
        EncoderError: there is no such entry, it cannot be read, or the graph breaks its promise.
    """
    if text is None:
        raise EncoderError(
            path,
            "is an ONNX model without MobileGeo's ImageSpec",
            "export it with `mobilegeo learn export`",
        )
    spec = ImageSpec.from_json(text, str(path))
    if width != spec.embedding_dim or FEATURES not in outputs:
        raise EncoderError(
            path,
            f"has outputs {', '.join(outputs)} with embeddings of {width} numbers, its ImageSpec "
            f"promises {EMBEDDING} [B, {spec.embedding_dim}] and {FEATURES}",
            "export the model again",
        )
    return spec


def unreadable(path: Path, error: Exception) -> EncoderError:
    """The error for a file that a runtime does not take as a model."""
    return EncoderError(
        path, f"is not a readable ONNX model ({error})", "copy or export the file again"
    )


def _channels_last(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(features.transpose(0, 2, 3, 1))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EncoderError(
            path, f"cannot be read ({error.strerror})", "give the path of an exported .onnx file"
        ) from error
