"""The networks that other papers locate drones with, built anew for timing.

Weights are random, which changes nothing in how long a network takes. Only the backbone is built,
up to its pooled vector: what the papers' heads add is left out, so that a peer is at least as slow
as it is shown here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
from torch import nn

BENCHMARK = "University-1652, drone to satellite, R@1 in %"
LEADERBOARD = "github.com/layumi/University1652-Baseline, State-of-the-art/README.md"


@dataclass(frozen=True, slots=True)
class Published:
    """An accuracy that a paper reports, not measured here.

    Attributes:
        recall_at_1: on `BENCHMARK`.
        source: where it was read.
    """

    recall_at_1: float
    source: str


@dataclass(frozen=True, slots=True)
class Peer:
    """What a paper runs for one image.

    Attributes:
        paper: its short name.
        title: how it is named in a table.
        backbone: timm's name.
        size_px: side of the square input.
        passes: forward passes an image; 2 where the published evaluation adds the mirrored image.
        published: its accuracy; `None` where none was found that belongs to this network.
        options: of `timm.create_model`.
        last_stride_1: the last stage of a ResNet keeps its resolution.
    """

    paper: str
    title: str
    backbone: str
    size_px: int
    passes: int = 1
    published: Published | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    last_stride_1: bool = False

    def build(self) -> nn.Module:
        """One pass: images [B, 3, H, W] to vectors [B, D]."""
        model: Any = timm.create_model(
            self.backbone, pretrained=False, num_classes=0, **self.options
        )
        if self.last_stride_1:
            first = model.layer4[0]
            first.conv2.stride = first.downsample[0].stride = (1, 1)
        network: nn.Module = model.eval().requires_grad_(False)
        return network


# TransReID's small ViT, which FSRA starts from, is wider and shallower than timm's.
_FSRA = {"img_size": 256, "embed_dim": 768, "depth": 8, "num_heads": 8, "mlp_ratio": 3.0}

PEERS: dict[str, Peer] = {
    "sample4geo": Peer(
        "Sample4Geo",
        "ConvNeXt-B 384",
        "convnext_base",
        384,
        published=Published(92.65, LEADERBOARD),
    ),
    "dac": Peer(
        "DAC", "ConvNeXt-B 384", "convnext_base", 384, published=Published(94.67, LEADERBOARD)
    ),
    "mean": Peer(
        "MEAN", "ConvNeXt-T 384", "convnext_tiny", 384, published=Published(93.55, LEADERBOARD)
    ),
    "mccg": Peer(
        "MCCG",
        "ConvNeXt-T 256 ×2",
        "convnext_tiny",
        256,
        passes=2,
        published=Published(89.64, LEADERBOARD),
    ),
    "fsra": Peer(
        "FSRA",
        "ViT-S 256 ×2",
        "vit_small_patch16_224",
        256,
        passes=2,
        published=Published(84.51, f"{LEADERBOARD}, FSRA (k=3)"),
        options=_FSRA | {"qkv_bias": False},
    ),
    "lpn": Peer(
        "LPN",
        "ResNet-50 256 ×2",
        "resnet50",
        256,
        passes=2,
        published=Published(75.93, LEADERBOARD),
        last_stride_1=True,
    ),
    "lpn-512": Peer("LPN", "ResNet-50 512 ×2", "resnet50", 512, passes=2, last_stride_1=True),
    "game4loc": Peer(
        "Game4Loc",
        "ViT-B 384",
        "vit_base_patch16_rope_reg1_gap_256",
        384,
        options={"img_size": 384},
    ),
    "dinov2": Peer(
        "MobileGeo's teacher",
        "DINOv2 ViT-B 224",
        "vit_base_patch14_dinov2",
        224,
        options={"img_size": 224},
    ),
}
"""Name → network. Sample4Geo and DAC run the same one: how far apart they come out is noise."""

MOBILEGEO = Published(93.9, "MobileGeo, arXiv 2510.22582: one view, read off its chart")
"""Of the paper's ConvNeXt-T student."""
