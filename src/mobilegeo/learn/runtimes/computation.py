"""How torch computes a network: device, precision, compiled or not, as a CUDA graph or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobilegeo.errors import EncoderError, UsageError
from mobilegeo.learn.runtimes.graphs import GraphCache

PRECISIONS: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Computation:
    """How a network is computed.

    Attributes:
        device: `cpu` or `cuda`.
        precision: of convolutions and matrix products, a name in `PRECISIONS`; float16 and bfloat16
            by autocast, which keeps norms and sums in float32.
        compiled: by `torch.compile`.
        graphs: the kernels of a call are recorded once for each shape of input and replayed.
    """

    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    graphs: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"precision {self.precision}",
                "is not known",
                f"choose one of {', '.join(PRECISIONS)}",
            )
        if self.graphs and self.device != "cuda":
            raise UsageError("CUDA graphs", f"do not exist on {self.device}", "use device cuda")

    def __str__(self) -> str:
        parts = [self.device, self.precision]
        parts += ["compiled"] * self.compiled + ["graphs"] * self.graphs
        return " ".join(parts)

    def require_device(self, where: str) -> None:
        """Checks that the device is there: nothing falls back to another one.

        Raises:
            EncoderError: it is not; `where` names who asked.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            built = "" if torch.version.cuda else "this torch is built without CUDA: "
            raise EncoderError(
                where,
                f"needs an NVIDIA GPU, and {built}torch finds none here",
                "run it on a machine with a GPU and its driver, or choose --runtime torch",
            )

    def place(self, network: nn.Module) -> nn.Module:
        """The network on its device, in evaluation mode, its weights in the precision.

        Only convolutions and linear layers change their type, so that autocast need not convert
        their weights at every call; everything else stays float32.
        """
        network = network.to(self.device).eval().requires_grad_(False)
        dtype = PRECISIONS[self.precision]
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(dtype)
        return network

    def prepare(self, function: Function) -> Function:
        """The function as it is to be called: float or uint8 tensors on the device in, one out."""
        dtype = PRECISIONS[self.precision]
        reduced = dtype != torch.float32
        # With a full graph, what cannot be compiled is an error instead of running as it is.
        core = torch.compile(function, fullgraph=True) if self.compiled else function

        def call(images: Tensor) -> Tensor:
            with (
                torch.inference_mode(),
                torch.autocast(self.device, dtype, enabled=reduced, cache_enabled=False),
            ):
                return core(images)

        return GraphCache(call) if self.graphs else call
