"""What takes part in a comparison: one image from uint8 pixels to its embedding, by any means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobilegeo.encoder import SHIPPED, Encoder, load_encoder
from mobilegeo.errors import ResourceError, UsageError
from mobilegeo.learn.bench.family import FAMILY, build_embedder, noise, write_files
from mobilegeo.learn.bench.peers import MOBILEGEO, PEERS, Peer, Published
from mobilegeo.learn.models.complexity import Complexity, measure
from mobilegeo.learn.models.embedder import unit
from mobilegeo.learn.models.place_encoder import ModelConfig, PlaceEncoder

EAGER = "torch"

ROUTES: tuple[tuple[str, str], ...] = (
    ("onnx", "float32"),
    ("openvino", "float32"),
    ("openvino-bf16", "float32"),
    ("onnx", "int8"),
    ("openvino", "int8"),
)
"""Runtime and file by which each member of the family is timed, beside PyTorch eager."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One network in one runtime.

    Attributes:
        name: of the network: of the family, of a peer, or of an encoder.
        title: how it is named in a table.
        runtime: what computes it, with the precision where that is not float32.
        size_px: side of the square input.
        passes: forward passes an image.
        complexity: of all passes together; `None` where it is not known.
        published: an accuracy from a paper.
        call: embeds one image.
    """

    name: str
    title: str
    runtime: str
    size_px: int
    passes: int
    complexity: Complexity | None
    published: Published | None
    call: Callable[[], object]


class _Eager(nn.Module):
    """uint8 [B, H, W, 3] to embeddings [B, D]; a second pass adds those of the mirrored image."""

    def __init__(self, network: nn.Module, passes: int) -> None:
        super().__init__()
        self.network, self.passes = network, passes

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1.0
        total: Tensor = self.network(pixels)
        for _ in range(self.passes - 1):
            pixels = pixels.flip(3)
            total = total + self.network(pixels)
        return unit(total)


def peer_contender(name: str, peer: Peer) -> Contender:
    """A peer in torch eager, float32."""
    network = peer.build()
    cost = measure(network, peer.size_px)
    whole = Complexity(cost.parameters, peer.passes * cost.multiply_adds, peer.size_px)
    call = eager_call(network, peer.size_px, peer.passes)
    title = f"{peer.paper}: {peer.title}"
    return Contender(name, title, EAGER, peer.size_px, peer.passes, whole, peer.published, call)


def family_eager(name: str) -> Contender:
    """A member of the family as it is trained, in torch eager, float32."""
    member = FAMILY[name]
    network = build_embedder(member).requires_grad_(False)
    call = eager_call(network, member.size_px, 1)
    cost = measure(network, member.size_px)
    title, published = _presented(name)
    return Contender(name, title, EAGER, member.size_px, 1, cost, published, call)


def family_exported(
    name: str, threads: int, folder: Path
) -> tuple[list[Contender], dict[str, str]]:
    """A member of the family as it is exported, by every one of `ROUTES`.

    Args:
        name: in `FAMILY`.
        threads: CPU threads.
        folder: for its files.

    Returns:
        The contenders, and of those that cannot run here the reason by their names.
    """
    member = FAMILY[name]
    files = write_files(member, folder)
    cost = measure(build_embedder(member), member.size_px)
    contenders, left_out = [], {}
    title, published = _presented(name)
    for runtime, file in ROUTES:
        label = f"{runtime} int8" if file == "int8" else runtime
        try:
            encoder = load_encoder(files[file], runtime=runtime, threads=threads)
        except ResourceError as error:
            left_out[f"{name} {label}"] = error.problem
            continue
        contenders.append(_of_encoder(name, title, label, encoder, cost, published))
    return contenders, left_out


def encoder_contender(name: str, encoder: Encoder) -> Contender:
    """An encoder with its own weights."""
    cost = None
    if name in SHIPPED:
        layout = PlaceEncoder(ModelConfig(embedding_dim=encoder.spec.embedding_dim), None)
        cost = measure(layout, encoder.spec.size_px)
    return _of_encoder(name, f"ours: {name}", encoder.runtime, encoder, cost, None)


def names_of(text: str) -> tuple[str, ...]:
    """The networks that `--against` names: `torch` is our family and all peers.

    Args:
        text: names with commas between them.

    Raises:
        UsageError: one is not known.
    """
    known = [*FAMILY, *PEERS]
    names: list[str] = []
    for word in text.split(","):
        if word == EAGER:
            names += known
        elif word in known:
            names.append(word)
        else:
            raise UsageError(
                f"--against {word or text}",
                "is not known",
                f"name {EAGER} for all, or some of {', '.join(known)}",
            )
    return tuple(dict.fromkeys(names))


def _presented(name: str) -> tuple[str, Published | None]:
    """Title and published accuracy of a member of the family."""
    return f"ours: {name} ({FAMILY[name].title})", MOBILEGEO if name == "tiny" else None


def eager_call(network: nn.Module, size_px: int, passes: int) -> Callable[[], NDArray[np.float32]]:
    """A call that embeds one image of noise in torch eager, from uint8 pixels.

    Args:
        network: images [B, 3, H, W] to vectors [B, D].
        size_px: side of the square image.
        passes: 2 adds the vector of the mirrored image.
    """
    eager, images = _Eager(network, passes).eval(), noise(1, size_px)

    def call() -> NDArray[np.float32]:
        with torch.inference_mode():
            embedding: NDArray[np.float32] = eager(torch.from_numpy(images)).numpy()
        return embedding

    return call


def _of_encoder(
    name: str,
    title: str,
    runtime: str,
    encoder: Encoder,
    cost: Complexity | None,
    published: Published | None,
) -> Contender:
    images = noise(1, encoder.spec.size_px)
    return Contender(
        name,
        title,
        runtime,
        encoder.spec.size_px,
        1,
        cost,
        published,
        lambda: encoder.embed(images),
    )
