"""ConvNeXt's linear layers as 1 × 1 convolutions: the same numbers, another layout."""

from __future__ import annotations

from timm.layers import LayerNorm2d
from timm.models.convnext import ConvNeXtBlock
from torch import nn


def convolve_mlps(network: nn.Module) -> None:
    """Replaces the linear layers of all ConvNeXt blocks inside `network`, in place.

    OpenVINO has int8 convolutions for every processor, but int8 matrix products only for those
    with VNNI; in float32 both are equally fast (docs/results/precision.md).
    """
    for block in network.modules():
        if isinstance(block, ConvNeXtBlock) and not block.use_conv_mlp:
            block.norm = _first_channels(block.norm)
            block.mlp.fc1, block.mlp.fc2 = _pointwise(block.mlp.fc1), _pointwise(block.mlp.fc2)
            block.use_conv_mlp = True


def _pointwise(linear: nn.Linear) -> nn.Conv2d:
    conv = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=linear.bias is not None)
    conv.weight.data.copy_(linear.weight.data[:, :, None, None])
    if linear.bias is not None and conv.bias is not None:
        conv.bias.data.copy_(linear.bias.data)
    return conv


def _first_channels(norm: nn.LayerNorm) -> LayerNorm2d:
    """The same normalisation over the channels of [B, C, h, w]."""
    (channels,) = norm.normalized_shape
    moved = LayerNorm2d(channels, eps=norm.eps)
    moved.load_state_dict(norm.state_dict())
    return moved
