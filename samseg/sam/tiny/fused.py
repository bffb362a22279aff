"""The small encoders fused for inference: the same features with less memory traffic.

Exact up to float32 rounding. BatchNorm in evaluation is affine per channel and joins the
convolution before it: s (W x + b - m) + t = (s W) x + (s (b - m) + t). Tensors are channels-last,
so a 1 x 1 convolution is a matrix product over positions. The expanded channels of a block are
computed for a tile of positions at a time and stay in the cache.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from samseg.backbones import efficientnet_lite0
from samseg.sam.tiny import encoder, lite0_encoder

Encoder = TypeVar("Encoder", bound=encoder.TinyEncoder | lite0_encoder.Lite0Encoder)

_TILE = 2**19
"""Expanded values per thread and tile on a CPU: 2 MiB."""


def fused(original: Encoder) -> Encoder:
    """Return a fused copy with the same `forward`, for evaluation only; `original` is unchanged."""
    copied = copy.deepcopy(original)
    copied.eval()
    efficientnet_lite0.fold(copied)
    _fuse(copied)
    copied.to(memory_format=torch.channels_last)
    return copied


def _fuse(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, encoder.Block):
            setattr(module, name, FusedBlock(fuse_conv_bn_eval(child.depthwise, child.norm), child))
        elif isinstance(child, lite0_encoder.NeckBlock):
            setattr(module, name, FusedBlock(child.depthwise, child, child.norm))
        elif isinstance(child, encoder.Downsample):
            setattr(module, name, fuse_conv_bn_eval(*child))
        else:
            _fuse(child)


class FusedBlock(nn.Module):
    """A fused block. Adds to a channels-last input in place."""

    def __init__(
        self,
        depthwise: nn.Module,
        block: encoder.Block | lite0_encoder.NeckBlock,
        norm: nn.LayerNorm | None = None,
    ):
        """Take a block's layers.

        Args:
            depthwise: its convolution, with BatchNorm folded in where the block has one.
            block: the block.
            norm: normalisation of each position, if the block has one.
        """
        super().__init__()
        self.depthwise = depthwise
        self.norm = norm
        self.expand = block.expand
        self.project = block.project

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to the same shape."""
        x = x.contiguous(memory_format=torch.channels_last)
        positions = x.permute(0, 2, 3, 1).flatten(0, 2)
        mixed = self.depthwise(x).permute(0, 2, 3, 1).flatten(0, 2)
        if self.norm is not None:
            mixed = self.norm(mixed)
        step = len(positions)
        if x.device.type == "cpu":
            step = _TILE * torch.get_num_threads() // len(self.expand.weight)
        for own, around in zip(positions.split(step), mixed.split(step), strict=True):
            own += _linear(functional.gelu(_linear(around, self.expand)), self.project)
        return x


def _linear(positions: Tensor, layer: nn.Conv2d | nn.Linear) -> Tensor:
    """Apply a linear layer or a 1 x 1 convolution to (n, channels)."""
    return functional.linear(positions, layer.weight.flatten(1), layer.bias)
