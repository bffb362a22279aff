"""COCO run-length encodings of masks that fill a window of the image, without drawing the image.

A mask is written as its *flips*: ascending column-major positions `x * h + y` where it switches,
off before the first, on until the second, and so on. Area, box and encoding come from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from samseg.types import Bool, Int64

Rle = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class MaskWindow:
    """The part of an image that holds all of one mask.

    Attributes:
        columns: (w, h) bool, column by column: `columns[x, y]`.
        x: left end of the window, px of the image.
        y: upper end of the window, px of the image.
    """

    columns: Bool
    x: int
    y: int

    def moved(self, x: int, y: int) -> "MaskWindow":
        """Return the window of a crop as one of the image that the crop begins in at x, y."""
        return MaskWindow(self.columns, self.x + x, self.y + y)


def flips_of(window: MaskWindow, height: int) -> Int64:
    """Find where a mask switches on its way down the columns of an image of `height` px.

    Returns:
        (k,) int64, k even: the last flip of a mask that holds the image's last px is h * w.
    """
    w, h = window.columns.shape
    padded = np.zeros(1 + w * (h + 1), dtype=np.bool_)  # one px off before, and below each column
    padded[1:].reshape(w, h + 1)[:, :h] = window.columns
    x, y = np.divmod(np.flatnonzero(padded[1:] != padded[:-1]), h + 1)
    flips = (window.x + x) * height + window.y + y
    if h < height:
        return flips
    # off at the foot of one column and on at the head of the next: one place, where nothing flips
    apart = np.diff(flips, prepend=-1, append=-1) != 0
    return flips[apart[:-1] & apart[1:]]


def area_of(flips: Int64) -> int:
    """Count the px of a mask."""
    return int((flips[1::2] - flips[::2]).sum())


def box_of(flips: Int64, height: int) -> tuple[int, int, int, int]:
    """Return xyxy with both corners inside the mask; zeros for an empty one."""
    if not len(flips):
        return 0, 0, 0, 0
    first_x, top = np.divmod(flips[::2], height)
    last_x, bottom = np.divmod(flips[1::2] - 1, height)
    if (first_x < last_x).any():  # a run over the foot of a column
        return int(first_x[0]), 0, int(last_x[-1]), height - 1
    return int(first_x[0]), int(top.min()), int(last_x[-1]), int(bottom.max())


def encode(flips: Int64, size: tuple[int, int]) -> Rle:
    """Compress; the bytes are those of `pycocotools.mask.encode` for the whole picture.

    Args:
        flips: from `flips_of`.
        size: (h, w) of the image.
    """
    from pycocotools import mask as coco

    pixels = size[0] * size[1]
    ends = flips if len(flips) and flips[-1] == pixels else np.append(flips, pixels)
    counts = np.diff(ends, prepend=0)
    return dict(coco.frPyObjects({"size": list(size), "counts": counts}, *size))
