"""CUDA graphs: the kernels of a call recorded once for each shape of input, then replayed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP = 3
"""Calls on a side stream before recording, as PyTorch's notes on CUDA graphs ask for."""

KEPT = 16
"""Shapes whose graphs are kept, the latest used; every graph holds its memory."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One graph with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    given: Tensor
    result: Tensor


class GraphCache:
    """A function of one tensor, replayed as a CUDA graph.

    Args:
        function: takes a tensor on the GPU and returns one; launches the same kernels for every
            tensor of a shape.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function
        self._recorded: OrderedDict[tuple[torch.Size, torch.dtype], _Recorded] = OrderedDict()

    def __call__(self, images: Tensor) -> Tensor:
        """The function's result; it holds until the next call with this shape."""
        key = images.shape, images.dtype
        if key not in self._recorded:
            self._recorded[key] = self._record(images)
            while len(self._recorded) > KEPT:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        recorded = self._recorded[key]
        recorded.given.copy_(images)
        recorded.graph.replay()
        return recorded.result

    def _record(self, images: Tensor) -> _Recorded:
        given = images.clone()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._function(given)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self._function(given)
        return _Recorded(graph, given, result)
