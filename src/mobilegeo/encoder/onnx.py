"""Encoders computed by ONNX Runtime, on the CPU unless another provider is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import METADATA_KEY, ImageSpec
from mobilegeo.encoder.graph import EMBEDDING, INPUT, GraphEncoder, read_spec, unreadable
from mobilegeo.encoder.providers import CPU, PROVIDERS, require_installed, require_used

if TYPE_CHECKING:
    import onnxruntime


class OnnxEncoder(GraphEncoder):
    """An encoder run by ONNX Runtime.

    Args:
        path: the model file, with an `ImageSpec` in its metadata.
        threads: CPU threads; all cores when `None`.
        runtime: a name in `mobilegeo.encoder.providers.PROVIDERS`.

    Raises:
        EncoderError: the file is missing, damaged, or not an encoder exported by MobileGeo; or the
            provider is installed and cannot start.
        MissingExtraError: the installed ONNX Runtime lacks the provider.
    """

    _session: onnxruntime.InferenceSession

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        runtime: str = CPU,
    ) -> None:
        super().__init__(path, runtime, threads)

    def _open(self, model: bytes) -> ImageSpec:
        import onnxruntime

        require_installed(self.runtime)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        # Threads that spin after each call would take the core from decoding and warping.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=PROVIDERS[self.runtime].chain(self.threads)
            )
        except Exception as error:  # ONNX Runtime's own exceptions share no public base class
            raise unreadable(self.path, error) from error
        require_used(self.runtime, self._session.get_providers())
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        return read_spec(self.path, text, shapes.get(EMBEDDING, [None])[-1], shapes)

    def _run(
        self, outputs: tuple[str, ...], batch: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        results: list[NDArray[np.float32]] = self._session.run(
            list(outputs), {INPUT: batch}, options
        )
        return results
