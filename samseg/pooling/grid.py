"""Patch coverage: the fraction of each patch of a feature map that a mask covers.

A network scales an image to its input size and places it in the top left corner of its input
(`samseg.types.PatchGrid`). SAM scales the longest side to 1024 px (`ResizeLongestSide`) and
encodes a frame of 1024 x 1024 px as 64 x 64 patches of 16 x 16 px.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samseg.masks.runs import Flips, flips_of
from samseg.types import Bool, Float32, Int64, Masks, PatchGrid

FRAME = 1024
PATCH = 16
GRID = FRAME // PATCH

_AT_ONCE = 16
"""Masks computed at once, so that the sums of their patches fit into the CPU cache."""

_WIDTH_BITS = 32
"""Precision of overlaps, relative to a patch's width. Limited so that sums of runs are exact in
float64, independently of their order, and a patch without a mask has coverage 0."""


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
        rows: (r + 1,) float64, ascending, y of the borders of the r rows of patches that the image
            reaches; the last one is clipped to its height.
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
    rows, columns = (
        np.arange(min(n, -(-used // grid.stride)) + 1) * float(grid.stride)
        for n, used in zip(grid.shape, grid.input_size, strict=True)
    )
    return PatchBorders(
        rows=np.minimum(rows / y_scale, h),
        columns=np.minimum(columns / x_scale, w),
        patch_px=grid.stride**2 / (y_scale * x_scale),
    )


def patch_coverage(masks: Masks | Bool, grid: PatchGrid) -> Float32:
    """Return the fraction of each patch that each mask covers, exact to float32 rounding.

    Time grows with the number of runs, and memory is bounded by the result: neither depends on the
    areas of the masks.

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
    overlaps = _overlaps(size[1], borders.columns)
    covered = np.zeros((len(masks), *grid.shape), dtype=np.float32)
    rows, columns = len(borders.rows) - 1, len(borders.columns) - 1
    for start in range(0, len(masks), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        covered[part, :rows, :columns] = _covered(flips_of(masks[part]), size[0], borders, overlaps)
    return covered


def _overlaps(w: int, borders: NDArray[np.float64]) -> list[tuple[Int64, NDArray[np.float64]]]:
    """Intersect px columns with the patches between `borders`.

    Returns:
        For the first patch that each column overlaps, for the second, and so on: (w,) the patch,
        and (w,) px of the overlap, 0 if there is none.
    """
    unit = 2.0 ** (np.frexp(borders[1])[1] - _WIDTH_BITS)
    borders = np.round(borders / unit) * unit
    x = np.arange(w)
    first = np.searchsorted(borders, x, side="right") - 1
    most = int((np.searchsorted(borders, x + 1, side="left") - first).max())
    found = []
    for k in range(most):
        patch = np.minimum(first + k, len(borders) - 2)
        width = np.minimum(borders[patch + 1], x + 1) - np.maximum(borders[patch], x)
        found.append((patch, np.where(patch == first + k, np.maximum(width, 0), 0)))
    return found


def _covered(
    flips: Flips,
    h: int,
    borders: PatchBorders,
    overlaps: list[tuple[Int64, NDArray[np.float64]]],
) -> NDArray[np.float64]:
    """Return the (n, rows, columns) coverage of masks in an image of `h` rows.

    A run [a, b) of one column is the difference of two runs from the top, [0, b) and [0, a). A run
    from the top to y covers all patches above the one that contains y, and that one from its upper
    border to y. So each end of a run is counted in one patch, and the counts are summed upwards.
    """
    x, y, sign, mask = _ends_by_column(flips, h)
    n, rows, columns = len(flips), len(borders.rows) - 1, len(borders.columns) - 1
    row = np.searchsorted(borders.rows, np.arange(h + 1), side="right") - 1  # `rows` if beyond
    above = (mask * (rows + 1) + row[y]) * columns
    ends: list[tuple[Int64, NDArray[np.float64], NDArray[np.float64]]] = []
    for patch, overlap in overlaps:
        if not overlap.all():
            which = np.flatnonzero(overlap[x])
            x, y, sign, above = x[which], y[which], sign[which], above[which]
        width = sign * overlap[x]
        ends.append((above + patch[x], width, width * y))
    at, *weights = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    shape = (n, rows + 1, columns)
    widths, px = (np.bincount(at, each, np.prod(shape)).reshape(shape) for each in weights)
    below = np.cumsum(widths[:, :0:-1], axis=1)[:, ::-1]
    partial = px[:, :-1] - borders.rows[:-1, None] * widths[:, :-1]
    return (partial + np.diff(borders.rows)[:, None] * below) / borders.patch_px


def _ends_by_column(flips: Flips, h: int) -> tuple[Int64, Int64, Int64, Int64]:
    """Return x, y, sign and mask of the ends of all runs, split into columns.

    The sign is 1 for the end and -1 for the start of a run in its column. Starts at the top of a
    column are omitted if the run continues from the column before: they cover nothing.
    """
    starts, lasts = flips.positions[0::2], flips.positions[1::2] - 1
    mask = np.repeat(np.arange(len(flips)), np.diff(flips.starts) // 2)
    first, last = starts // h, lasts // h
    continued = last - first
    several = np.flatnonzero(continued)
    amounts = continued[several]
    step = np.arange(amounts.sum()) - np.repeat(np.cumsum(amounts) - amounts, amounts)
    full = np.repeat(first[several], amounts) + step  # columns in which a run reaches the bottom
    return (
        np.concatenate([first, last, full]),
        np.concatenate([starts - first * h, lasts + 1 - last * h, np.full(len(full), h)]),
        np.repeat([-1, 1], [len(first), len(last) + len(full)]),
        np.concatenate([mask, mask, np.repeat(mask[several], amounts)]),
    )
