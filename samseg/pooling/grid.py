"""Patch coverage: the fraction of each patch of SAM's features that a mask covers.

SAM scales an image so that its longest side is 1024 px (`ResizeLongestSide`), places it in the top
left corner of a 1024 x 1024 frame, and encodes the frame as 64 x 64 patches of 16 x 16 px.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samseg.masks.runs import flips_of
from samseg.types import Bool, Float32, Int64, Masks

FRAME = 1024
PATCH = 16
GRID = FRAME // PATCH


class PatchBorders(NamedTuple):
    """Positions of the patch borders in an image of (h, w) px.

    Attributes:
        rows: (GRID + 1,) float64, ascending, y of the borders in px of the original image,
            clipped to its height: patches in the padding have no extent.
        columns: likewise for x.
        patch_px: area of one patch in px of the original image.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    patch_px: float


def patch_borders(size: tuple[int, int]) -> PatchBorders:
    """Return the patch borders of an image of `size` (h, w).

    Each axis is rounded to whole pixels of the frame as in `ResizeLongestSide`, so the two scales
    differ slightly; no axis is scaled to less than one pixel.
    """
    h, w = size
    scale = FRAME / max(h, w)
    y_scale = max(1, int(h * scale + 0.5)) / h
    x_scale = max(1, int(w * scale + 0.5)) / w
    borders = np.arange(GRID + 1) * float(PATCH)
    return PatchBorders(
        rows=np.minimum(borders / y_scale, h),
        columns=np.minimum(borders / x_scale, w),
        patch_px=PATCH**2 / (y_scale * x_scale),
    )


def patch_coverage(masks: Masks | Bool) -> Float32:
    """Return the exact fraction of each patch that each mask covers.

    Works on the runs of one mask at a time: memory does not grow with the image, and time grows
    with the widths of the masks, not with their areas.

    Args:
        masks: n masks, or a dense (n, h, w) bool array.

    Returns:
        (n, 64, 64) float32 in [0, 1], row (y) before column (x).
    """
    size = masks.size if isinstance(masks, Masks) else (masks.shape[1], masks.shape[2])
    borders = patch_borders(size)
    covered = np.zeros((len(masks), GRID, GRID), dtype=np.float32)
    for row, flips in zip(covered, flips_of(masks), strict=True):
        if len(flips) >= 2:
            _cover(row, flips[: len(flips) // 2 * 2], size[0], borders)
    return covered


def _cover(out: Float32, flips: Int64, h: int, borders: PatchBorders) -> None:
    """Write one mask's coverage into `out` (64, 64).

    The cumulative number of mask pixels in column-major order is piecewise linear with knots at
    the flips. Interpolated at the patch borders, fractional or not, its differences are exact
    areas: first along the columns, then across them.
    """
    first, end = flips[0] // h, (flips[-1] - 1) // h + 1
    top, bottom = _rows_between(flips, h)
    rows, j = _touched_patches(borders.rows, top, bottom)
    columns, i = _touched_patches(borders.columns, int(first), int(end))

    cumulative = np.cumsum(np.diff(flips, prepend=flips[0]) * (np.arange(len(flips)) % 2))
    positions = np.arange(first, end)[:, None] * h + rows  # (columns of the mask, borders)
    bands = np.diff(np.interp(positions, flips, cumulative), axis=1)  # px per column and patch row
    total = np.concatenate([np.zeros((1, bands.shape[1])), np.cumsum(bands, axis=0)])
    at = np.clip(columns - first, 0, len(bands))
    left = np.minimum(at.astype(np.int64), len(bands) - 1)
    across = total[left] + (at - left)[:, None] * bands[left]
    out[j, i] = np.diff(across, axis=0).T / borders.patch_px


def _rows_between(flips: Int64, h: int) -> tuple[int, int]:
    """Return the first row of a mask and the row after its last row."""
    starts, lasts = flips[0::2], flips[1::2] - 1
    if (starts // h != lasts // h).any():  # a run continues in the next column
        return 0, h
    return int((starts % h).min()), int((lasts % h).max()) + 1


def _touched_patches(borders: NDArray[np.float64], start: int, end: int) -> tuple[Any, slice]:
    """Return the borders and the range of the patches that [start, end) overlaps."""
    first = int(np.searchsorted(borders, start, side="right")) - 1
    last = int(np.searchsorted(borders, end, side="left"))
    return borders[first : last + 1], slice(first, last)
