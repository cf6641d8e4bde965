"""The ONNX Runtime encoder: the one that ships."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import METADATA_KEY, Encoded, ImageSpec
from mobilegeo.errors import EncoderError

if TYPE_CHECKING:
    import onnxruntime

INPUT = "image"
EMBEDDING = "embedding"
FEATURES = "features"


class OnnxEncoder:
    """An encoder read from one ONNX file; thread-safe, as ONNX Runtime sessions are.

    The file's graph takes `image`, float32 [B, 3, H, W], and gives `embedding` [B, D] and
    `features` [B, C, h, w]. Only the part of the graph that a call needs is run.

    Args:
        path: the model file, with an `ImageSpec` in its metadata.
        threads: CPU threads; all cores when `None`.

    Raises:
        EncoderError: the file is missing, damaged, or not an encoder exported by MobileGeo.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int | None = None) -> None:
        self.path = Path(path)
        model = _read(self.path)
        self._sha256 = hashlib.sha256(model).hexdigest()
        self._session = _session(self.path, model, threads)
        self._spec = _read_spec(self.path, self._session)

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
        return self._run([EMBEDDING], images)[0]

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Dense descriptors, float32 [B, h, w, C], of uint8 [B, H, W, 3] RGB images."""
        return _channels_last(self._run([FEATURES], images)[0])

    def encode(self, images: NDArray[np.uint8]) -> Encoded:
        """Both outputs from one pass over uint8 [B, H, W, 3] RGB images."""
        embedding, features = self._run([EMBEDDING, FEATURES], images)
        return Encoded(embedding, _channels_last(features))

    def _run(self, outputs: list[str], images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        batch = normalise_pixels(images, self._spec)
        results: list[NDArray[np.float32]] = self._session.run(outputs, {INPUT: batch}, options)
        return results


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
    scale = np.float32(1 / 255) / np.array(spec.std, dtype=np.float32)
    shift = np.array(spec.mean, dtype=np.float32) / np.array(spec.std, dtype=np.float32)
    batch = np.empty((len(images), 3, height, width), dtype=np.float32)
    for channel in range(3):
        np.multiply(images[..., channel], scale[channel], out=batch[:, channel])
        batch[:, channel] -= shift[channel]
    return batch


def _channels_last(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(features.transpose(0, 2, 3, 1))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EncoderError(
            path, f"cannot be read ({error.strerror})", "give the path of an exported .onnx file"
        ) from error


def _session(path: Path, model: bytes, threads: int | None) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    # Threads that spin after each call would take the core from decoding and warping.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no public base class
        raise EncoderError(
            path, f"is not a readable ONNX model ({error})", "copy or export the file again"
        ) from error


def _read_spec(path: Path, session: onnxruntime.InferenceSession) -> ImageSpec:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise EncoderError(
            path,
            "is an ONNX model without MobileGeo's ImageSpec",
            "export it with `mobilegeo learn export`",
        )
    spec = ImageSpec.from_json(text, str(path))
    outputs = {output.name: output.shape for output in session.get_outputs()}
    if outputs.get(EMBEDDING, [0])[-1] != spec.embedding_dim or FEATURES not in outputs:
        raise EncoderError(
            path,
            f"has outputs {outputs}, its ImageSpec promises {EMBEDDING} [B, {spec.embedding_dim}]"
            f" and {FEATURES}",
            "export the model again",
        )
    return spec
