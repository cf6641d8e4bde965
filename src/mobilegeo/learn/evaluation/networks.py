"""Anything that embeds: a shipped encoder, an exported model, or a training checkpoint."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import Encoder
from mobilegeo.encoder.registry import load_encoder
from mobilegeo.errors import EncoderError, MissingExtraError

if TYPE_CHECKING:
    from mobilegeo.learn.models.saved import Saved

CHECKPOINT_SUFFIX = ".safetensors"


class Network(Protocol):
    """What the evaluation needs of a network."""

    @property
    def id(self) -> str:
        """Name of the weights."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the file, hexadecimal."""
        ...

    @property
    def size_px(self) -> int:
        """Side of the square input."""
        ...

    @property
    def device(self) -> str:
        """Where it runs, in words."""
        ...

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings, float32 [B, D], L2-normalised, of uint8 [B, S, S, 3] RGB images."""
        ...


class EncoderNetwork:
    """An encoder of the device wing.

    Args:
        encoder: the model.
        size_px: side of the input; None takes the size it was trained for.
    """

    device = "CPU, ONNX Runtime"

    def __init__(self, encoder: Encoder, size_px: int | None = None) -> None:
        self.id = encoder.spec.model_id
        self.sha256 = encoder.sha256
        self.size_px = size_px or encoder.spec.size_px
        self._encoder = encoder

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings, float32 [B, D], L2-normalised, of uint8 [B, S, S, 3] RGB images.

        Raises:
            EncoderError: the model does not take images of this size.
        """
        try:
            return self._encoder.embed(images)
        except EncoderError:
            raise
        except Exception as error:  # ONNX Runtime's own exceptions share no public base class
            raise EncoderError(
                self.id,
                f"cannot embed images of {self.size_px} px ({error})",
                "leave --size out, or export the model for this size",
            ) from error


class CheckpointNetwork:
    """A student or teacher from a training checkpoint, in float32 on a GPU where there is one.

    Args:
        saved: the network as read.
        size_px: side of the input; None takes the size it was trained for.
    """

    def __init__(self, saved: Saved, size_px: int | None = None) -> None:
        import torch

        self.id = saved.model_id
        self.sha256 = saved.sha256
        self.size_px = size_px or saved.preprocessing.size_px
        self._torch_device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._embedder = saved.network.embedder.to(self._torch_device).eval()
        self._mean, self._std = (
            torch.tensor(values, device=self._torch_device).view(1, 3, 1, 1)
            for values in (saved.preprocessing.mean, saved.preprocessing.std)
        )

    @property
    def device(self) -> str:
        """The GPU's name, or the CPU."""
        import torch

        if self._torch_device.type == "cuda":
            return f"{torch.cuda.get_device_name(self._torch_device)}, PyTorch"
        return "CPU, PyTorch"

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings, float32 [B, D], L2-normalised, of uint8 [B, S, S, 3] RGB images.

        Raises:
            EncoderError: the network does not take images of this size.
        """
        import torch

        pixels = torch.from_numpy(images).to(self._torch_device).permute(0, 3, 1, 2).float()
        try:
            with torch.inference_mode():
                embedding = self._embedder((pixels / 255.0 - self._mean) / self._std)
        except (AssertionError, RuntimeError) as error:
            raise EncoderError(
                self.id,
                f"cannot embed {len(images)} images of {self.size_px} px "
                f"({str(error).splitlines()[0] if str(error) else 'wrong size'})",
                "leave --size out, or lower --batch where memory ran out",
            ) from error
        return np.asarray(embedding.float().cpu().numpy(), dtype=np.float32)


def open_network(name: str, size_px: int | None = None) -> Network:
    """Opens a network by name or path.

    Args:
        name: of a shipped encoder, or the path of an `.onnx` or `.safetensors` file.
        size_px: side of the input; None takes the size it was trained for.

    Raises:
        EncoderError: there is no such encoder, or the file is none.
        ResourceError: the checkpoint cannot be read.
        MissingExtraError: a checkpoint needs torch, which is not installed.
    """
    if Path(name).suffix.lower() != CHECKPOINT_SUFFIX:
        return EncoderNetwork(load_encoder(name), size_px)
    missing = [extra for extra in ("torch", "timm") if importlib.util.find_spec(extra) is None]
    if missing:
        raise MissingExtraError(
            name,
            f"is a checkpoint, and {' and '.join(missing)} is not installed",
            "run: pip install 'mobilegeo[learn]', or give an exported .onnx file",
        )
    from mobilegeo.learn.models.saved import load_network

    return CheckpointNetwork(load_network(Path(name)), size_px)
