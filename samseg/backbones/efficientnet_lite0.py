"""The trunk of EfficientNet-Lite0 with ImageNet weights: feature maps of four strides.

EfficientNet (Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", 2019) without squeeze-and-excitation and with ReLU6, as Google published it for mobile
devices. The layers after the last block of 192 channels are left out: they serve classification.
The weights and their licence are described in `efficientnet_lite0.md` beside this file.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

WEIGHTS = Path(__file__).with_suffix(".safetensors")

STRIDES = (4, 8, 16, 32)
"""Strides of the feature maps, in px of the input."""

CHANNELS = (24, 40, 112, 192)
"""Channels of the feature maps."""

MEAN, STD = 127.0, 128.0
"""Normalisation of each RGB channel, from values in 0 to 255, that the weights expect."""

_STEM = 32
_EPS = 1e-3


class _BlockGroup(NamedTuple):
    """Blocks of the same width; the first one applies the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


_GROUPS = (
    _BlockGroup(1, 3, 1, 16, 1),
    _BlockGroup(6, 3, 2, 24, 2),
    _BlockGroup(6, 5, 2, 40, 2),
    _BlockGroup(6, 3, 2, 80, 3),
    _BlockGroup(6, 5, 1, 112, 3),
    _BlockGroup(6, 5, 2, 192, 4),
)


class ConvNorm(nn.Module):
    """Convolution with TensorFlow's SAME padding, BatchNorm, and ReLU6 where `active`."""

    def __init__(
        self, width_in: int, width_out: int, kernel: int, stride: int = 1, groups: int = 1,
        active: bool = True,
    ):  # fmt: skip
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(
            width_in, width_out, kernel, stride, padding, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(width_out, eps=_EPS)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width_in, h, w) to (b, width_out, ceil(h / stride), ceil(w / stride))."""
        if self.conv.stride[0] > 1:
            x = functional.pad(x, (*self._padding(x.shape[-1]), *self._padding(x.shape[-2])))
        if self.conv.groups > 1:
            with torch.autocast("cpu", enabled=False):  # oneDNN's bfloat16 gradient is slow
                x = self.norm(self.conv(x.float() if x.device.type == "cpu" else x))
        else:
            x = self.norm(self.conv(x))
        return functional.relu6(x, inplace=True) if self.active else x

    def _padding(self, length: int) -> tuple[int, int]:
        """Return px of padding before and after; TensorFlow puts an odd px after."""
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        total = max(0, (-(-length // stride) - 1) * stride + kernel - length)
        return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection (Sandler et al., "MobileNetV2", 2018)."""

    def __init__(self, width_in: int, group: _BlockGroup, stride: int):
        super().__init__()
        width = width_in * group.expansion
        self.expand = ConvNorm(width_in, width, 1) if group.expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(width, width, group.kernel, stride, groups=width)
        self.project = ConvNorm(width, group.channels, 1, active=False)
        self.residual = stride == 1 and width_in == group.channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, channels, ceil(h / stride), ceil(w / stride))."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to its last block of 192 channels: 2.3 million parameters."""

    def __init__(self) -> None:
        """Initialise the network with random weights; see `load`."""
        super().__init__()
        self.stem = ConvNorm(3, _STEM, 3, stride=2)
        blocks: list[nn.Module] = []
        width, self._returned, self._strided = _STEM, set[int](), 2
        for group, following in zip(_GROUPS, (*_GROUPS[1:], None), strict=True):
            for i in range(group.blocks):
                blocks.append(InvertedResidual(width, group, group.stride if i == 0 else 1))
                width = group.channels
            self._strided *= group.stride
            if self._strided in STRIDES and (following is None or following.stride > 1):
                self._returned.add(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the feature maps.

        Args:
            x: (b, 3, h, w) RGB, (value - `MEAN`) / `STD`.

        Returns:
            Maps of `CHANNELS` at `STRIDES`: (b, c, ceil(h / stride), ceil(w / stride)).
        """
        maps = []
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self._returned:
                maps.append(x)
        return maps


def load(path: Path = WEIGHTS) -> EfficientNetLite0:
    """Return the trunk with its ImageNet weights, float32, in evaluation mode, on the CPU."""
    from safetensors.torch import load_file

    trunk = EfficientNetLite0()
    trunk.load_state_dict(load_file(path))  # float16 on disk becomes float32 here
    return trunk.eval()


def fold(module: nn.Module) -> None:
    """Fold every BatchNorm of a module in evaluation mode into its convolution, in place.

    The output stays the same up to rounding; the module cannot be trained any more.
    """
    for child in module.modules():
        if isinstance(child, ConvNorm) and isinstance(child.norm, nn.BatchNorm2d):
            child.conv = fuse_conv_bn_eval(child.conv, child.norm)
            child.norm = nn.Identity()
