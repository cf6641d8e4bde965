"""TensorFlow's SAME padding as plain zero padding, and how far a feature cell can see."""

from __future__ import annotations

from dataclasses import dataclass

from timm.layers.conv2d_same import Conv2dSame
from torch import nn


class PaddedConv2d(nn.Sequential):
    """A strided convolution with the padding on the right and bottom only.

    TensorFlow's SAME rule pads by an amount that depends on the input's size, which cannot be
    exported for free sizes. For inputs that are a multiple of the stride, a kernel of side k and
    stride s needs k − s in all, the smaller half before and the larger after: (0, 1) for 3 and 2.
    """

    def __init__(self, conv: Conv2dSame) -> None:
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        before = max(kernel - stride, 0) // 2
        after = max(kernel - stride, 0) - before
        plain = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            kernel,
            stride,
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        plain.load_state_dict(conv.state_dict())
        super().__init__(nn.ZeroPad2d((before, after, before, after)), plain)


def fix_same_padding(module: nn.Module) -> None:
    """Replaces every size-dependent SAME convolution inside `module`, in place."""
    for name, child in module.named_children():
        if isinstance(child, Conv2dSame):
            setattr(module, name, PaddedConv2d(child))
        else:
            fix_same_padding(child)


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What one cell of a feature map can see.

    Attributes:
        stride_px: input pixels between neighbouring cells.
        before_px: pixels seen left of (and above) the cell's own `stride_px` square.
        after_px: pixels seen right of (and below) it.
    """

    stride_px: int
    before_px: int
    after_px: int

    def halo_px(self, multiple_px: int) -> int:
        """The larger overhang, rounded up to a multiple."""
        overhang = max(self.before_px, self.after_px)
        return -(-overhang // multiple_px) * multiple_px


def receptive_field(module: nn.Module) -> ReceptiveField:
    """Receptive field of the convolutions of `module`, taken in order as one chain.

    A residual branch sees less than the chain it skips, so the chain is exact.
    """
    stride, low, high = 1, 0, 0  # cell 0 sees input pixels low … high, both inclusive
    pad_before = 0
    for layer in module.modules():
        if isinstance(layer, nn.ZeroPad2d):
            pad_before = layer.padding[0]
        elif isinstance(layer, nn.Conv2d):
            own = layer.padding[0] if isinstance(layer.padding, tuple) else 0
            before, pad_before = own + pad_before, 0
            low -= before * stride
            high += (layer.kernel_size[0] - 1 - before) * stride
            stride *= layer.stride[0]
    return ReceptiveField(stride, -low, high - (stride - 1))
