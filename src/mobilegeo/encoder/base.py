"""What an encoder is: one network, two outputs, and the facts that travel with its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import EncoderError

FORMAT_VERSION = 1
METADATA_KEY = "mobilegeo"
"""Key of the ONNX metadata entry that holds the `ImageSpec` as JSON."""
FLOAT32 = "float32"
PRECISIONS = (FLOAT32, "float16", "int8")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """The facts about its input and outputs that travel inside a model file.

    Attributes:
        model_id: name and version of the weights.
        size_px: side of the square input for which `embedding` was trained.
        mean, std: input = (RGB / 255 − mean) / std, per channel.
        embedding_dim: D.
        feature_dim: C.
        feature_stride_px: input pixels per cell of `features`.
        feature_halo_px: how far, in input pixels, a cell of `features` can see beyond its own
            square: features computed with this margin do not depend on where the input was cut.
        feature_gsd_m: ground resolution, metres a pixel, at which `features` are matched.
        multiple_px: both sides of any input must be a multiple of this.
        format_version: of this record.
        precision: of the weights, and for `int8` of the arithmetic: a name in `PRECISIONS`.
        derived_from: sha256 of the float32 file that this one was made from, hexadecimal; `None`
            for a float32 file. Encoders of one origin can be used on each other's packs.
    """

    model_id: str
    size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    embedding_dim: int
    feature_dim: int
    feature_stride_px: int
    feature_halo_px: int
    feature_gsd_m: float
    multiple_px: int = 32
    format_version: int = FORMAT_VERSION
    precision: str = FLOAT32
    derived_from: str | None = None

    def __post_init__(self) -> None:
        for name in ("size_px", "embedding_dim", "feature_dim", "feature_stride_px", "multiple_px"):
            self._require(name, getattr(self, name) >= 1, "positive")
        self._require("feature_halo_px", self.feature_halo_px >= 0, "0 or more")
        self._require("feature_gsd_m", self.feature_gsd_m > 0, "positive")
        self._require("mean", len(self.mean) == 3, "three numbers")
        self._require("std", len(self.std) == 3 and min(self.std) > 0, "three positive numbers")
        self._require("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        derived = self.derived_from is not None
        self._require("derived_from", derived == (self.precision != FLOAT32), "that of a precision")
        if self.format_version != FORMAT_VERSION:
            raise EncoderError(
                self.model_id,
                f"has ImageSpec format {self.format_version}, this version reads {FORMAT_VERSION}",
                "export the model again or update mobilegeo",
            )

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise EncoderError(
                self.model_id,
                f"{name} is {getattr(self, name)!r}, not {what}",
                "export the model again",
            )

    @property
    def cell_m(self) -> float:
        """Side of a feature cell on the ground, metres."""
        return self.feature_stride_px * self.feature_gsd_m

    def fill(self, image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """The image with pixels that hold no data set to the colour that the network reads as 0.

        Args:
            image: uint8 [H, W, 3] RGB.
            valid: bool [H, W].

        Returns:
            uint8 [H, W, 3], a copy.
        """
        import cv2

        height, width = valid.shape
        colour = np.round(255 * np.array(self.mean)).astype(np.uint8)
        # Row by row: repeating three bytes a million times takes longer than the rest.
        filled = np.broadcast_to(np.tile(colour, width), (height, 3 * width)).copy()
        filled = filled.reshape(height, width, 3)
        return np.asarray(cv2.copyTo(image, valid.view(np.uint8), filled), dtype=np.uint8)

    def to_json(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str) -> ImageSpec:
        """Reads the record back.

        Raises:
            EncoderError: the text is not an ImageSpec; `where` names the file.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            known = {f.name for f in fields(cls)}
            values = {key: value for key, value in values.items() if key in known}
            values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
            return cls(**values)
        except (AttributeError, ValueError, KeyError, TypeError) as error:
            raise EncoderError(
                where, f"holds no readable ImageSpec ({error})", "export the model again"
            ) from error


@dataclass(frozen=True, slots=True)
class Encoded:
    """Both outputs of an encoder for a batch.

    Attributes:
        embedding: float32 [B, D], L2-normalised.
        features: float32 [B, h, w, C], one descriptor a cell, h = H / stride, w = W / stride.
    """

    embedding: NDArray[np.float32]
    features: NDArray[np.float32]


def origin(sha256: str, spec: ImageSpec) -> str:
    """Hash of the float32 file that an encoder is, or was made from."""
    return spec.derived_from or sha256


class Encoder(Protocol):
    """Turns images into embeddings and dense descriptors.

    Images are uint8 [B, H, W, 3] RGB, H and W multiples of `spec.multiple_px`; the encoder does
    the normalisation of `spec` itself. Batch and single-image calls agree.
    """

    @property
    def spec(self) -> ImageSpec:
        """Facts about input and outputs."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the weights, hexadecimal; a map pack remembers it."""
        ...

    @property
    def runtime(self) -> str:
        """Name of what computes it, as `--runtime` takes it."""
        ...

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings, float32 [B, D], L2-normalised."""
        ...

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Dense descriptors, float32 [B, h, w, C]."""
        ...

    def encode(self, images: NDArray[np.uint8]) -> Encoded:
        """Both outputs from one pass."""
        ...
