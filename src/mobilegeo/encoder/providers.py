"""ONNX Runtime's execution providers, by the names of our runtimes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mobilegeo.encoder.user_cache import user_cache
from mobilegeo.errors import EncoderError, MissingExtraError
from mobilegeo.output.atomic import make_folder

CPU = "onnx"

Chain = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider of ONNX Runtime.

    Attributes:
        name: as ONNX Runtime calls it.
        package: of the Python package index, with the provider inside.
        chain: providers in order of preference with their options, given the CPU threads. A node
            that one does not know goes to the next; all of them run on the same device, until
            ONNX Runtime's own last resort for single nodes, its CPU provider.
    """

    name: str
    package: str
    chain: Callable[[int | None], Chain]


def _cpu(threads: int | None) -> Chain:  # noqa: ARG001  threads are an option of the session
    return [("CPUExecutionProvider", {})]


def _cuda(threads: int | None) -> Chain:  # noqa: ARG001
    return [("CUDAExecutionProvider", {"use_tf32": "0"})]


def _tensorrt(threads: int | None) -> Chain:
    folder = user_cache("tensorrt")
    make_folder(folder)
    options = {
        "trt_engine_cache_enable": "True",  # building an engine can take minutes
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
    }
    return [("TensorrtExecutionProvider", options), *_cuda(threads)]


def _openvino(threads: int | None) -> Chain:
    options = {"device_type": "CPU", "precision": "FP32"}
    if threads is not None:
        options["num_of_threads"] = str(threads)
    return [("OpenVINOExecutionProvider", options)]


PROVIDERS: dict[str, Provider] = {
    CPU: Provider("CPUExecutionProvider", "onnxruntime", _cpu),
    "onnx-cuda": Provider("CUDAExecutionProvider", "onnxruntime-gpu", _cuda),
    "onnx-tensorrt": Provider("TensorrtExecutionProvider", "onnxruntime-gpu", _tensorrt),
    "onnx-openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-openvino", _openvino),
}


def require_installed(runtime: str) -> None:
    """Checks that the installed ONNX Runtime was built with a provider.

    Raises:
        MissingExtraError: it was not; names the package that is.
    """
    import onnxruntime

    provider = PROVIDERS[runtime]
    if provider.name not in onnxruntime.get_available_providers():
        raise MissingExtraError(
            f"runtime {runtime}",
            f"needs {provider.name}, which the installed onnxruntime does not have",
            f"run: pip uninstall onnxruntime && pip install {provider.package}",
        )


def require_used(runtime: str, used: list[str]) -> None:
    """Checks that a session runs where it was meant to: ONNX Runtime itself falls back silently.

    Args:
        runtime: a name in `PROVIDERS`.
        used: the session's providers.

    Raises:
        EncoderError: the provider could not start.
    """
    provider = PROVIDERS[runtime]
    if provider.name not in used:
        raise EncoderError(
            f"runtime {runtime}",
            f"could not start {provider.name}: its device, driver or libraries are missing",
            "install the versions that onnxruntime.ai names for it, or choose another --runtime",
        )
