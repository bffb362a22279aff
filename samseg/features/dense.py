"""Embeddings from the feature maps of a convolutional or transformer network of any input size.

An image is scaled so that its longer side has a given length and padded at the bottom and right to
whole strides. Maps of a coarser stride are repeated to the finest one: the weighted mean over the
repeated patches is that over the coarse ones, so one pooling serves all maps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from samseg.sam.network.tf32 import float32_convolutions
from samseg.types import Features, Float32, PatchGrid, Pixels

_SMALLEST_NORM = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class DenseNetwork:
    """A network whose feature maps have fixed strides; see `FeatureNetwork`.

    Attributes:
        maps: from (1, 3, h, w), normalised, h and w multiples of every stride, to one feature map
            per stride, (1, c, h / stride, w / stride).
        strides: of the maps, in px of the input; each a multiple of the smallest.
        channels: of the maps.
        mean: (3,) float32, subtracted from RGB in 0 to 255.
        std: (3,) float32, what RGB is then divided by.
        long_side: px of the longer side of a scaled image.
        device: where the network runs.
        projection: (sum of channels, dimension) float32 with orthonormal columns, or None.
    """

    maps: Callable[[Tensor], Sequence[Tensor]]
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    mean: Float32
    std: Float32
    long_side: int
    device: torch.device
    projection: Float32 | None = None

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return sum(self.channels) if self.projection is None else self.projection.shape[1]

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Features:
        """Return the features of one image: all maps, at the smallest stride."""
        placed, grid = self._place(pixels)
        images = torch.from_numpy(placed).to(self.device)[None].permute(0, 3, 1, 2)
        with float32_convolutions():
            maps = self.maps(images)
        finest = [
            _repeated(own[0].float(), stride // grid.stride)
            for own, stride in zip(maps, self.strides, strict=True)
        ]
        return Features(torch.cat(finest).cpu().numpy(), grid)

    def embed(self, pooled: Float32) -> Float32:
        """Normalise the part of each map to unit length, then project.

        Args:
            pooled: (n, sum of channels) float32.
        """
        parts = np.split(pooled, np.cumsum(self.channels)[:-1], axis=1)
        norms = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
        joined = np.concatenate(
            [part / np.maximum(n, _SMALLEST_NORM) for part, n in zip(parts, norms, strict=True)],
            axis=1,
        )
        return joined if self.projection is None else joined @ self.projection

    def _place(self, pixels: Pixels) -> tuple[Float32, PatchGrid]:
        """Scale, normalise and pad an image: (h, w, 3) float32, padding 0."""
        h, w = pixels.shape[:2]
        scale = self.long_side / max(h, w)
        size = (max(1, int(h * scale + 0.5)), max(1, int(w * scale + 0.5)))
        scaled = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        fine, coarse = min(self.strides), max(self.strides)
        whole = (-(-size[0] // coarse) * coarse, -(-size[1] // coarse) * coarse)
        placed = np.zeros((*whole, 3), np.float32)
        placed[: size[0], : size[1]] = (np.asarray(scaled, np.float32) - self.mean) / self.std
        return placed, PatchGrid((h, w), size, fine, (whole[0] // fine, whole[1] // fine))


def _repeated(features: Tensor, times: int) -> Tensor:
    """Repeat each patch of (c, rows, columns) `times` along both axes."""
    return features.repeat_interleave(times, 1).repeat_interleave(times, 2)
