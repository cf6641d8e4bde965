"""Encoders computed by PyTorch, from a training checkpoint or any module."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobilegeo.encoder.base import Encoded, ImageSpec
from mobilegeo.encoder.graph import require_images
from mobilegeo.errors import EncoderError
from mobilegeo.learn.export.network import read_checkpoint
from mobilegeo.learn.runtimes.computation import Computation, Function


class EncoderModule(Protocol):
    """What `TorchEncoder` needs of a module, such as `StudentEncoder` or `PlaceEncoder`."""

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, D], L2-normalised, and features [B, C, h, w] of [B, 3, H, W]."""
        ...

    def features(self, image: Tensor) -> Tensor:
        """Features alone."""
        ...


class TorchEncoder:
    """An encoder run by PyTorch; pixels are normalised on the device.

    Thread-safe: calls wait for each other, since a CUDA graph has one place for its results. CPU
    threads are PyTorch's own setting, one for the process.

    Args:
        module: an `EncoderModule`; it is moved to the device and its weights to the precision.
        spec: facts about its input and outputs.
        computation: how to compute it.
        runtime: name of `computation`.
        sha256: hash of the file that the weights are from.
        threads: CPU threads; left as they are when `None`.

    Raises:
        EncoderError: the device is not there.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: ImageSpec,
        computation: Computation,
        *,
        runtime: str,
        sha256: str,
        threads: int | None = None,
    ) -> None:
        computation.require_device(f"runtime {runtime}")
        if threads is not None:
            torch.set_num_threads(threads)
        self._spec, self._sha256, self.runtime = spec, sha256, runtime
        self._computation = computation
        self._lock = threading.Lock()
        network: EncoderModule = computation.place(module)  # type: ignore[assignment]
        pixels = _Pixels(spec).to(computation.device)
        self._embed = computation.prepare(lambda images: network(pixels(images))[0])
        self._features = computation.prepare(lambda images: network.features(pixels(images)))
        # One tensor out, so that both outputs pass through the same machinery.
        self._both = computation.prepare(lambda images: _joined(*network(pixels(images))))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        computation: Computation,
        *,
        runtime: str,
        threads: int | None = None,
    ) -> TorchEncoder:
        """Opens a training checkpoint.

        Args:
            path: the `network.safetensors` of a student's run, or a layout head's checkpoint.
            computation: how to compute it.
            runtime: its name.
            threads: CPU threads; left as they are when `None`.

        Raises:
            ResourceError: the checkpoint is missing, damaged or not one of ours.
            EncoderError: the device is not there.
        """
        computation.require_device(f"runtime {runtime}")
        module, spec = read_checkpoint(Path(path))
        with Path(path).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(module, spec, computation, runtime=runtime, sha256=sha256, threads=threads)

    @property
    def spec(self) -> ImageSpec:
        """Facts about input and outputs."""
        return self._spec

    @property
    def sha256(self) -> str:
        """Hash of the checkpoint, hexadecimal."""
        return self._sha256

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings, float32 [B, D], L2-normalised, of uint8 [B, H, W, 3] RGB images."""
        return self._run(self._embed, images)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Dense descriptors, float32 [B, h, w, C], of uint8 [B, H, W, 3] RGB images."""
        features = self._run(self._features, images)
        return np.ascontiguousarray(features.transpose(0, 2, 3, 1))

    def encode(self, images: NDArray[np.uint8]) -> Encoded:
        """Both outputs from one pass over uint8 [B, H, W, 3] RGB images."""
        joined = self._run(self._both, images)
        dim, stride = self._spec.embedding_dim, self._spec.feature_stride_px
        rows, columns = (side // stride for side in images.shape[1:3])
        shape = (len(images), self._spec.feature_dim, rows, columns)
        features = joined[:, dim:].reshape(shape).transpose(0, 2, 3, 1)
        return Encoded(np.ascontiguousarray(joined[:, :dim]), np.ascontiguousarray(features))

    def _run(self, function: Function, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A function's result for images, as an array of its own."""
        require_images(images, self._spec)
        given = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        with self._lock:
            result = self._call(function, given.to(self._computation.device))
            return np.array(result.float().cpu().numpy(), dtype=np.float32, order="C")

    def _call(self, function: Function, images: Tensor) -> Tensor:
        if not self._computation.compiled:
            return function(images)
        try:
            return function(images)
        except Exception as error:  # of the compiler; its classes are private to torch
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise EncoderError(
                f"runtime {self.runtime}",
                f"could not be compiled ({reason})",
                "install a C++ compiler, or choose --runtime torch",
            ) from error


class _Pixels(nn.Module):
    """(RGB / 255 − mean) / std, uint8 [B, H, W, 3] to float32 [B, 3, H, W]."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(spec.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(spec.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std


def _joined(embedding: Tensor, features: Tensor) -> Tensor:
    """Both outputs as rows, float32 [B, D + C · h · w]."""
    return torch.cat([embedding.float(), features.float().flatten(1)], dim=1)
