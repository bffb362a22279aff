"""The small encoder arranged for inference: the same weights, the same features, less traffic.

Exact up to float32 rounding. BatchNorm in evaluation is affine per channel and joins the
convolution before it: s (W x + b - m) + t = (s W) x + (s (b - m) + t). Channels lie last, so a
1 x 1 convolution is a matrix product on the positions; the widened channels between the two of a
block exist for a few positions at a time and stay in the cache.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from samseg.sam.tiny.encoder import Block, Downsample, TinyEncoder

_TILE = 2**19
"""Widened values per thread at once on a CPU: 2 MiB."""


def fused(encoder: TinyEncoder) -> TinyEncoder:
    """Return a private copy, for evaluation only, with the same `forward`; `encoder` stays."""
    copied = copy.deepcopy(encoder).eval()
    _fuse(copied)
    return copied.to(memory_format=torch.channels_last)


def _fuse(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Block):
            setattr(module, name, FusedBlock(child))
        elif isinstance(child, Downsample):
            setattr(module, name, fuse_conv_bn_eval(*child))
        else:
            _fuse(child)


class FusedBlock(nn.Module):
    """What `Block` computes; adds to its input in place where channels lie last."""

    def __init__(self, block: Block):
        super().__init__()
        self.depthwise = fuse_conv_bn_eval(block.depthwise, block.norm)
        self.expand = block.expand
        self.project = block.project

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to the same shape."""
        x = x.contiguous(memory_format=torch.channels_last)
        positions = x.permute(0, 2, 3, 1).flatten(0, 2)
        mixed = self.depthwise(x).permute(0, 2, 3, 1).flatten(0, 2)
        step = len(positions)
        if x.device.type == "cpu":
            step = _TILE * torch.get_num_threads() // self.expand.out_channels
        for own, around in zip(positions.split(step), mixed.split(step), strict=True):
            own += _linear(functional.gelu(_linear(around, self.expand)), self.project)
        return x


def _linear(positions: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Apply a 1 x 1 convolution to (n, channels)."""
    return functional.linear(positions, convolution.weight.flatten(1), convolution.bias)
