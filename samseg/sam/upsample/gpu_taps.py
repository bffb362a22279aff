"""Measure masks by computing every pixel and keeping none: for GPUs.

A pixel is a weighted sum of 3 x 3 neighbouring logits (`samseg.sam.upsample.upsampler`). Written as
gathers and sums along rows of the image, all of it can be one fused loop
(`samseg.sam.network.compiled`): pixels live in registers, and what reaches memory is seven numbers
per row. On a CPU `samseg.sam.upsample.cpu_tiles` is faster, because it need not look at most
pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_TAPS = 3
"""Neighbouring logits that decide a pixel, per axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """One axis of an image of n px.

    Attributes:
        logits: 3 x (n,) int64, which logits decide each px.
        weights: 3 x (n,) float32, how much.
    """

    logits: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    @classmethod
    def of(cls, weights: Tensor) -> "Taps":
        """Find the nonzeros of (n, low) weights, at most 3 neighbours per row; on their device."""
        used = weights > 0
        read = max(_TAPS, int(used.any(dim=0).nonzero()[-1]) + 1)  # the rest lies in the padding
        first = used.int().argmax(dim=1).clamp_max(read - _TAPS)
        near = first[:, None] + torch.arange(_TAPS, device=weights.device)
        return cls(
            tuple(column.contiguous() for column in near.unbind(dim=1)),
            tuple(column.contiguous() for column in weights.gather(1, near).unbind(dim=1)),
        )

    def along(self, x: Tensor, dim: int) -> Tensor:
        """Interpolate one dimension of (m, r, c), 1 or 2."""
        shape = (-1, 1) if dim == 1 else (-1,)
        parts = [
            x.index_select(dim, logits) * weights.view(shape)
            for logits, weights in zip(self.logits, self.weights, strict=True)
        ]
        return parts[0] + parts[1] + parts[2]


def measure_px(
    logits: Tensor, rows: Taps, columns: Taps, bounds: tuple[float, float, float]
) -> Tensor:
    """Count pixels above three bounds, and find the box of those above the middle one.

    Args:
        logits: (m, low, low) float32; rows and columns in the padding may be left out.
        rows: of the image of h x w px.
        columns: likewise.
        bounds: ascending.

    Returns:
        (m, 7) int64: px above each bound, and xyxy of the box, both corners inside; zeros when no
        px is above the middle bound.
    """
    values = columns.along(rows.along(logits, 1), 2)  # (m, h, w)
    _, h, w = values.shape
    x = torch.arange(w, dtype=torch.int32, device=values.device)
    y = torch.arange(h, dtype=torch.int32, device=values.device)
    inside = values > bounds[1]
    in_row = [(values > bound).sum(dim=2, dtype=torch.int32) for bound in bounds]  # (m, h)
    left = torch.where(inside, x, w).amin(dim=2).amin(dim=1)
    right = torch.where(inside, x, -1).amax(dim=2).amax(dim=1)
    filled = in_row[1] > 0
    top = torch.where(filled, y, h).amin(dim=1)
    bottom = torch.where(filled, y, -1).amax(dim=1)
    box = torch.stack([left, top, right, bottom], dim=1) * filled.any(dim=1, keepdim=True)
    return torch.cat([torch.stack([row.sum(dim=1) for row in in_row], dim=1), box], dim=1)
