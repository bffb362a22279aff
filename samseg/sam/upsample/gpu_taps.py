"""Measure and draw masks on GPUs by computing all pixels, without storing or copying them.

A pixel is a weighted sum of 3 x 3 neighbouring logits (`samseg.sam.upsample.upsampler`). Expressed
as gathers and sums along image rows, the whole computation compiles to one fused loop
(`samseg.sam.network.compiled`): pixels stay in registers, and only seven numbers per row are
written to memory. On a CPU `samseg.sam.upsample.cpu_tiles` is faster, because it skips most pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_TAPS = 3
"""Neighbouring logits that determine a pixel, per axis."""

_BEYOND = 1 << 30
"""A position after the last px. A constant, because Inductor takes the image's size for an int64,
and Triton refuses a minimum that begins as int32."""


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """One axis of an image of n px.

    Attributes:
        logits: 3 x (n,) int64, positions of the logits that determine each px.
        weights: 3 x (n,) float32, their weights.
    """

    logits: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    @classmethod
    def of(cls, weights: Tensor) -> "Taps":
        """Extract the nonzeros of (n, low) weights, at most 3 adjacent per row; on their device."""
        used = weights > 0
        read = max(_TAPS, int(used.any(dim=0).nonzero()[-1]) + 1)  # the rest is padding
        first = used.int().argmax(dim=1).clamp_max(read - _TAPS)
        near = first[:, None] + torch.arange(_TAPS, device=weights.device)
        return cls(
            tuple(column.contiguous() for column in near.unbind(dim=1)),
            tuple(column.contiguous() for column in weights.gather(1, near).unbind(dim=1)),
        )

    def along(self, x: Tensor, dim: int) -> Tensor:
        """Interpolate dimension 1 or 2 of (m, r, c)."""
        shape = (-1, 1) if dim == 1 else (-1,)
        parts = [
            x.index_select(dim, logits) * weights.view(shape)
            for logits, weights in zip(self.logits, self.weights, strict=True)
        ]
        return parts[0] + parts[1] + parts[2]


def measure_px(
    logits: Tensor, rows: Taps, columns: Taps, bounds: tuple[float, float, float]
) -> Tensor:
    """Count pixels above three bounds, and find the box of the pixels above the middle one.

    Args:
        logits: (m, low, low) float32; rows and columns in the padding may be omitted.
        rows: row axis of the image of h x w px.
        columns: column axis.
        bounds: ascending.

    Returns:
        (m, 7) int64: px above each bound, and the box, xyxy with both corners inside the mask;
        zeros if no px is above the middle bound.
    """
    values = columns.along(rows.along(logits, 1), 2)  # (m, h, w)
    _, h, w = values.shape
    x = torch.arange(w, dtype=torch.int32, device=values.device)
    y = torch.arange(h, dtype=torch.int32, device=values.device)
    inside = values > bounds[1]
    in_row = [(values > bound).sum(dim=2, dtype=torch.int32) for bound in bounds]  # (m, h)
    left = torch.where(inside, x, _BEYOND).amin(dim=2).amin(dim=1)
    right = torch.where(inside, x, -1).amax(dim=2).amax(dim=1)
    filled = in_row[1] > 0
    top = torch.where(filled, y, _BEYOND).amin(dim=1)
    bottom = torch.where(filled, y, -1).amax(dim=1)
    box = torch.stack([left, top, right, bottom], dim=1) * filled.any(dim=1, keepdim=True)
    return torch.cat([torch.stack([row.sum(dim=1) for row in in_row], dim=1), box], dim=1)


def flips_px(
    logits: Tensor,
    rows: Taps,
    columns: Taps,
    threshold: float,
    corner: tuple[int, int],
    height: int,
) -> tuple[Tensor, Tensor]:
    """Find the flips of masks (`samseg.masks.runs`); only these are copied to the host.

    Pixels have the values of `measure_px`.

    Args:
        logits: (m, low, low) float32; rows and columns in the padding may be omitted.
        rows: row axis of the image, or of the crop, of h x w px.
        columns: column axis.
        threshold: logit above which a px belongs to the mask.
        corner: x and y of the crop in the image, px.
        height: of the image, px.

    Returns:
        (k,) int64 flips, mask by mask, and (m,) int64, their number; on the device.
    """
    inside = columns.along(rows.along(logits.mT, 2), 1) > threshold  # (m, w, h)
    h = inside.shape[2]
    if h < height:  # below each column one px of background; otherwise the next column continues it
        inside = functional.pad(inside, (0, 1))
    stride = inside.shape[2]
    padded = functional.pad(inside.flatten(1), (1, 1))
    changes = padded[:, 1:] != padded[:, :-1]
    at = changes.flatten().nonzero().squeeze(1) % changes.shape[1]  # synchronises with the GPU
    x, y = corner
    flips = at + at // stride * (height - stride) + (x * height + y)
    return flips, changes.sum(dim=1)
