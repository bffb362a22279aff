"""Patch coverage: the fraction of each patch of a feature map that a mask covers.

A network scales an image to its input size and places it in the top left corner of its input
(`samseg.types.PatchGrid`). SAM scales the longest side to 1024 px (`ResizeLongestSide`) and
encodes a frame of 1024 x 1024 px as 64 x 64 patches of 16 x 16 px.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samseg.masks.runs import flips_of
from samseg.types import Bool, Float32, Int64, Masks, PatchGrid

FRAME = 1024
PATCH = 16
GRID = FRAME // PATCH


def sam_grid(size: tuple[int, int]) -> PatchGrid:
    """Return the grid of SAM's features over an image of `size` (h, w).

    Each axis is rounded to whole pixels of the frame as in `ResizeLongestSide`; no axis is scaled
    to less than one pixel.
    """
    h, w = size
    scale = FRAME / max(h, w)
    scaled = (max(1, int(h * scale + 0.5)), max(1, int(w * scale + 0.5)))
    return PatchGrid(size, scaled, PATCH, (GRID, GRID))


class PatchBorders(NamedTuple):
    """Positions of the patch borders in px of the original image.

    Attributes:
        rows: (rows + 1,) float64, ascending, y of the borders, clipped to the image's height:
            patches in the padding have no extent.
        columns: likewise for x.
        patch_px: area of one patch.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    patch_px: float


def patch_borders(grid: PatchGrid) -> PatchBorders:
    """Return the patch borders; the scales of the two axes differ slightly, each being rounded."""
    h, w = grid.image_size
    y_scale, x_scale = grid.input_size[0] / h, grid.input_size[1] / w
    rows, columns = (np.arange(n + 1) * float(grid.stride) for n in grid.shape)
    return PatchBorders(
        rows=np.minimum(rows / y_scale, h),
        columns=np.minimum(columns / x_scale, w),
        patch_px=grid.stride**2 / (y_scale * x_scale),
    )


def patch_coverage(masks: Masks | Bool, grid: PatchGrid) -> Float32:
    """Return the exact fraction of each patch that each mask covers.

    Works on the runs of one mask at a time: memory does not grow with the image, and time grows
    with the widths of the masks, not with their areas.

    Args:
        masks: n masks, or a dense (n, h, w) bool array, of the image of the grid.
        grid: the patches.

    Returns:
        (n, rows, columns) float32 in [0, 1], row (y) before column (x).

    Raises:
        ValueError: the masks are of an image of another size.
    """
    size = masks.size if isinstance(masks, Masks) else (masks.shape[1], masks.shape[2])
    if tuple(size) != tuple(grid.image_size):
        raise ValueError(
            f"the masks are of an image of {size} px (h, w), the features of one of "
            f"{grid.image_size} px"
        )
    borders = patch_borders(grid)
    covered = np.zeros((len(masks), *grid.shape), dtype=np.float32)
    for row, flips in zip(covered, flips_of(masks), strict=True):
        if len(flips) >= 2:
            _cover(row, flips[: len(flips) // 2 * 2], size[0], borders)
    return covered


def _cover(out: Float32, flips: Int64, h: int, borders: PatchBorders) -> None:
    """Write one mask's coverage into `out`, (rows, columns).

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
