"""The image encoder of the second small SAM: EfficientNet-Lite0 and a neck.

The trunk is pretrained on ImageNet and reads the image at half its size, so its maps have strides
8 to 64 of the nominal input; the neck fuses them top-down at stride 16 (Lin et al., "Feature
Pyramid Networks", 2017). Self-attention on the coarsest map gives large regions the context of the
whole image. The contract is that of SAM's image encoder: the padded 1024 x 1024 image in,
(256, 64, 64) features out.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from samseg.backbones.efficientnet_lite0 import CHANNELS, MEAN, STD, STRIDES, EfficientNetLite0

_HEADS = 8
_PIXEL_MEAN = (123.675, 116.28, 103.53)
_PIXEL_STD = (58.395, 57.12, 57.375)
"""SAM's normalisation of the input, converted to the trunk's."""


class NeckBlock(nn.Module):
    """A residual block: depthwise convolution mixes space, two 1 x 1 convolutions mix channels.

    As in ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022). Each position is normalised
    separately, so the normalisation depends on neither the batch nor padding.
    """

    def __init__(self, width: int, expansion: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel_size=5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.project = nn.Linear(width * expansion, width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to the same shape."""
        with torch.autocast("cpu", enabled=False):  # oneDNN's bfloat16 gradient is 4 times slower
            mixed = self.depthwise(x.float() if x.device.type == "cpu" else x)
        mixed = self.norm(mixed.permute(0, 2, 3, 1))
        mixed = self.project(functional.gelu(self.expand(mixed)))
        return x + mixed.permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Residual self-attention of every position to all positions outside the padding."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Map (b, width, h, w) to the same shape.

        Args:
            x: features.
            inside: (b, h, w) bool, False in padding, which no position attends to.
        """
        b, _, h, w = x.shape
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        q, k, v = self.expand(tokens).view(b, h * w, 3, _HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=inside.view(b, 1, 1, h * w)
        )
        mixed = self.project(mixed.transpose(1, 2).flatten(2))
        return x + mixed.transpose(1, 2).unflatten(2, (h, w))


class Lite0Encoder(nn.Module):
    """A replacement for SAM's image encoder, on an ImageNet trunk.

    Args:
        img_size: nominal input side in px; `segment_anything` reads it from here.
        out_channels: channels of the features.
    """

    def __init__(self, img_size: int = 1024, out_channels: int = 256):
        super().__init__()
        self.img_size = img_size
        self.trunk = EfficientNetLite0()
        finest, fine, middle, coarse = CHANNELS
        self.lateral_4 = nn.Conv2d(4 * finest, out_channels, kernel_size=1, bias=False)
        self.lateral_8 = nn.Conv2d(fine, out_channels, kernel_size=1)
        self.lateral_16 = nn.Conv2d(middle, out_channels, kernel_size=1, bias=False)
        self.lateral_32 = nn.Conv2d(coarse, out_channels, kernel_size=1, bias=False)
        self.context = nn.ModuleList(
            [NeckBlock(out_channels, 3), Attention(out_channels), NeckBlock(out_channels, 3)]
        )
        self.blocks_16 = nn.Sequential(*(NeckBlock(out_channels, 3) for _ in range(2)))
        self.blocks_8 = nn.Sequential(*(NeckBlock(out_channels, 2) for _ in range(3)))
        self.head = nn.Conv2d(out_channels, out_channels, kernel_size=1)
        self._scale: Tensor
        self._shift: Tensor
        mean, std = (torch.tensor(v)[:, None, None] for v in (_PIXEL_MEAN, _PIXEL_STD))
        self.register_buffer("_scale", std / STD, persistent=False)
        self.register_buffer("_shift", (mean - MEAN) / STD, persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the trunk's BatchNorm keeps ImageNet's statistics in both modes."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Encode images.

        Args:
            x: (b, 3, s, s) normalised and padded with 0, s = `img_size`.

        Returns:
            (b, out_channels, s / 16, s / 16), each patch normalised over its channels.
        """
        return self.encode_halved(functional.avg_pool2d(x, 2))

    def encode_halved(self, x: Tensor) -> Tensor:
        """Encode images at half of the nominal resolution.

        Args:
            x: (b, 3, s / 2, s / 2) normalised; s may be any multiple of 128.

        Returns:
            As `forward`.
        """
        inside = functional.max_pool2d((x != 0).any(1, keepdim=True).float(), STRIDES[-1])
        return self.fuse(self.trunk(x * self._scale + self._shift), inside[:, 0] > 0)

    def fuse(self, maps: list[Tensor], inside: Tensor) -> Tensor:
        """Fuse the trunk's maps of images at half of the nominal resolution.

        Args:
            maps: see `EfficientNetLite0.forward`.
            inside: (b, h, w) bool of the coarsest map, False in padding.

        Returns:
            As `forward`.
        """
        inside = inside | ~inside.flatten(1).any(1)[:, None, None]  # else all masked: NaN
        finest, fine, middle, coarse = maps
        fused = self.lateral_32(coarse)
        before, attention, after = self.context
        fused = after(attention(before(fused), inside))
        fused = self.blocks_16(self.lateral_16(middle) + _enlarged(fused, middle))
        edges = self.lateral_4(functional.pixel_unshuffle(finest, 2))
        fused = self.blocks_8(self.lateral_8(fine) + edges + _enlarged(fused, fine))
        channels_last = self.head(fused).permute(0, 2, 3, 1)
        return functional.layer_norm(channels_last, channels_last.shape[-1:]).permute(0, 3, 1, 2)


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear")
