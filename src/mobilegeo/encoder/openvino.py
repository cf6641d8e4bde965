"""Encoders computed by OpenVINO on the CPU."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mobilegeo.encoder.base import METADATA_KEY, ImageSpec
from mobilegeo.encoder.graph import EMBEDDING, INPUT, GraphEncoder, read_spec, unreadable
from mobilegeo.errors import EncoderError, MissingExtraError

if TYPE_CHECKING:
    import openvino

PRECISIONS: dict[str, str] = {"openvino": "f32", "openvino-bf16": "bf16"}
"""Runtimes: name → precision of the arithmetic; weights and outputs are float32 in both."""

_METADATA = ["framework", METADATA_KEY]
"""Where OpenVINO keeps the metadata of an ONNX file."""


class OpenVinoEncoder(GraphEncoder):
    """An encoder run by OpenVINO.

    The graph is compiled once for each set of outputs that is asked for, at the first call.

    Args:
        path: the model file, with an `ImageSpec` in its metadata.
        threads: CPU threads; all cores when `None`.
        runtime: a name in `PRECISIONS`.

    Raises:
        EncoderError: the file is missing, damaged, or not an encoder exported by MobileGeo; or the
            processor lacks the precision.
        MissingExtraError: OpenVINO is not installed.
    """

    _model: openvino.Model

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        runtime: str = "openvino",
    ) -> None:
        self._options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[runtime],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = str(threads)
        self._compiled: dict[tuple[str, ...], openvino.CompiledModel] = {}
        self._lock = threading.Lock()
        self._requests = threading.local()  # an infer request serves one thread at a time
        super().__init__(path, runtime, threads)

    def _open(self, model: bytes) -> ImageSpec:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError(
                f"runtime {self.runtime}",
                "needs the package openvino, which is not installed",
                "run pip install 'mobilegeo[openvino]'",
            ) from error
        self._core = openvino.Core()
        self._require_precision(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        try:
            self._model = self._core.read_model(model)
        except RuntimeError as error:
            raise unreadable(self.path, error) from error
        text = None
        if self._model.has_rt_info(_METADATA):
            text = str(self._model.get_rt_info(_METADATA).value)
        shapes = {output.get_any_name(): output.partial_shape for output in self._model.outputs}
        width = shapes[EMBEDDING][-1] if EMBEDDING in shapes else None
        static = width.get_length() if width is not None and width.is_static else None
        return read_spec(self.path, text, static, shapes)

    def _require_precision(self, able: list[str]) -> None:
        """OpenVINO itself would silently compute in float32 instead."""
        precision = PRECISIONS[self.runtime]
        if precision != "f32" and precision.upper() not in able:
            raise EncoderError(
                f"runtime {self.runtime}",
                f"needs a processor with {precision}; this one offers {', '.join(able)}",
                "choose --runtime openvino",
            )

    def _run(
        self, outputs: tuple[str, ...], batch: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        request = self._request(outputs)
        request.infer({INPUT: batch})
        # Copies: the next call of this thread writes into the same memory.
        return [np.array(request.get_tensor(name).data) for name in outputs]

    def _request(self, outputs: tuple[str, ...]) -> openvino.InferRequest:
        """This thread's request for the part of the graph that gives `outputs`."""
        requests: dict[Any, openvino.InferRequest] = self._requests.__dict__
        if outputs not in requests:
            requests[outputs] = self._compile(outputs).create_infer_request()
        return requests[outputs]

    def _compile(self, outputs: tuple[str, ...]) -> openvino.CompiledModel:
        import openvino

        with self._lock:
            if outputs not in self._compiled:
                ends = [self._model.output(name) for name in outputs]
                part = openvino.Model(ends, self._model.get_parameters(), self._spec.model_id)
                self._compiled[outputs] = self._core.compile_model(part, "CPU", self._options)
            return self._compiled[outputs]
