"""The image encoder of the shipped small SAM.

A convolutional network of 3 million parameters with the contract of SAM's image encoder: the
padded 1024 x 1024 image in, (256, 64, 64) features out. Depthwise 5 x 5 blocks in the manner of
ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022) at strides 4 to 32 of the nominal input
and one stage at 64, fused top-down at stride 16 (Lin et al., "Feature Pyramid Networks", 2017).
The same weights are applied to an image pyramid of three scales, full, half and a quarter: what is
learned from small objects transfers to large ones, for a third more computation (Burt and Adelson,
"The Laplacian Pyramid as a Compact Image Code", 1983, for the idea of a pyramid).
It is far weaker than a ViT, but small, fast on a CPU, and a drop-in replacement.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM_WIDTH = 32
WIDTHS = (32, 64, 128, 192, 192)
"""Channels of the stages at strides 4, 8, 16, 32 and 64 of the nominal input."""

DEPTHS = (2, 3, 4, 4, 2)

COARSER = 2
"""Coarser scales of the image pyramid, each half of the one before."""

_SMALLEST = 32
"""Least side in px of a scale: in bfloat16, oneDNN (3.x) computes a wrong gradient for a strided
convolution of a single px."""


class Block(nn.Module):
    """A residual block: depthwise convolution mixes space, two 1 x 1 convolutions mix channels."""

    def __init__(self, width: int, expansion: int = 3):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel_size=5, padding=2, groups=width)
        self.norm = nn.BatchNorm2d(width)
        self.expand = nn.Conv2d(width, width * expansion, kernel_size=1)
        self.project = nn.Conv2d(width * expansion, width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to the same shape."""
        with torch.autocast("cpu", enabled=False):  # oneDNN's bfloat16 gradient is 4 times slower
            mixed = self.norm(self.depthwise(x.float()))
        return x + self.project(functional.gelu(self.expand(mixed)))


class Downsample(nn.Sequential):
    """Halve height and width."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__(
            nn.Conv2d(width_in, width_out, kernel_size=3, stride=2, padding=1),
            nn.BatchNorm2d(width_out),
        )


class TinyEncoder(nn.Module):
    """A small replacement for SAM's image encoder.

    Args:
        img_size: nominal input side in px; `segment_anything` reads it from here.
        out_channels: channels of the features.
    """

    def __init__(self, img_size: int = 1024, out_channels: int = 256):
        super().__init__()
        self.img_size = img_size
        self.stem = nn.Sequential(Downsample(3, STEM_WIDTH), nn.GELU())
        narrower = (STEM_WIDTH, *WIDTHS[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(
                *([] if i == 0 else [Downsample(narrower[i], width)]),
                *(Block(width) for _ in range(depth)),
            )
            for i, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True))
        )
        self.laterals = nn.ModuleList(
            nn.Conv2d(width, out_channels, kernel_size=1) for width in WIDTHS[2:]
        )
        self.coarser = nn.Parameter(torch.full((out_channels, 1, 1), 0.3))
        self.head = nn.Sequential(
            Block(out_channels, expansion=2), nn.Conv2d(out_channels, out_channels, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Encode images.

        Args:
            x: (b, 3, s, s) normalised and padded, s = `img_size`.

        Returns:
            (b, out_channels, s / 16, s / 16), each patch normalised over its channels.
        """
        return self.encode_halved(functional.avg_pool2d(x, 2))

    def encode_halved(self, x: Tensor) -> Tensor:
        """Encode images at half of the nominal resolution.

        Halving saves three quarters of the computation at little loss of quality.

        Args:
            x: (b, 3, s / 2, s / 2) normalised; s may be any multiple of 128.

        Returns:
            As `forward`.
        """
        pyramid = [x]
        while len(pyramid) <= COARSER and min(pyramid[-1].shape[-2:]) >= 2 * _SMALLEST:
            pyramid.append(functional.avg_pool2d(pyramid[-1], 2))
        with _frozen_norms(self):
            scales = [self._encode_scale(coarser) for coarser in pyramid[1:]]
        scales.insert(0, self._encode_scale(x))
        fused = scales.pop()
        for own in reversed(scales):
            share = self.coarser.to(own.dtype)
            fused = torch.lerp(own, _enlarged(fused, own), share)
        fused = self.head(fused)
        channels_last = fused.permute(0, 2, 3, 1)
        return functional.layer_norm(channels_last, channels_last.shape[-1:]).permute(0, 3, 1, 2)

    def _encode_scale(self, x: Tensor) -> Tensor:
        """Encode one scale: map (b, 3, h, w) to (b, out_channels, h / 8, w / 8)."""
        x = self.stages[1](self.stages[0](self.stem(x)))
        stride16 = self.stages[2](x)
        stride32 = self.stages[3](stride16)
        stride64 = self.stages[4](stride32)
        fused: Tensor = self.laterals[2](stride64)
        for lateral, finer in ((self.laterals[1], stride32), (self.laterals[0], stride16)):
            fused = lateral(finer) + _enlarged(fused, finer)
        return fused


@contextmanager
def _frozen_norms(encoder: nn.Module) -> Iterator[None]:
    """Freeze BatchNorm for the coarser scales: its running statistics are those of the finest.

    All scales are thus trained with statistics like those used in evaluation.
    """
    training = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    for norm in training:
        norm.eval()
    try:
        yield
    finally:
        for norm in training:
            norm.train()


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear")
