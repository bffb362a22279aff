"""Encode masks as COCO RLEs from a window of the image, without rasterising the whole image.

A mask is represented by its *flips*: the ascending column-major positions `x * h + y` at which its
value changes. It is off before the first flip, on up to the second, and so on. Area, box and RLE
are computed from the flips.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from samseg.types import Bool, Int64

Rle = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class MaskWindow:
    """A window of an image that contains all pixels of one mask.

    Attributes:
        columns: (w, h) bool, column-major: `columns[x, y]`.
        x: left edge of the window, px of the image.
        y: top edge of the window, px of the image.
    """

    columns: Bool
    x: int
    y: int

    def translated(self, x: int, y: int) -> "MaskWindow":
        """Translate from a crop to the image, given the crop's top left corner in the image."""
        return MaskWindow(self.columns, self.x + x, self.y + y)


def flips_of(window: MaskWindow, height: int) -> Int64:
    """Return the flips of a mask in an image of `height` px.

    Returns:
        (k,) int64, k even: if the mask contains the last px of the image, the last flip is h * w.
    """
    w, h = window.columns.shape
    # one px of background before the first column and below each column
    padded = np.zeros(1 + w * (h + 1), dtype=np.bool_)
    padded[1:].reshape(w, h + 1)[:, :h] = window.columns
    x, y = np.divmod(np.flatnonzero(padded[1:] != padded[:-1]), h + 1)
    flips = (window.x + x) * height + window.y + y
    if h < height:
        return flips
    # a run that continues from the bottom of one column at the top of the next has two equal
    # positions there, which are no flips
    distinct = np.diff(flips, prepend=-1, append=-1) != 0
    return flips[distinct[:-1] & distinct[1:]]


def area_of(flips: Int64) -> int:
    """Return the area of a mask in px."""
    return int((flips[1::2] - flips[::2]).sum())


def box_of(flips: Int64, height: int) -> tuple[int, int, int, int]:
    """Return the box, xyxy in px with both corners inside the mask; zeros for an empty mask."""
    if not len(flips):
        return 0, 0, 0, 0
    first_x, top = np.divmod(flips[::2], height)
    last_x, bottom = np.divmod(flips[1::2] - 1, height)
    if (first_x < last_x).any():  # a run continues in the next column
        return int(first_x[0]), 0, int(last_x[-1]), height - 1
    return int(first_x[0]), int(top.min()), int(last_x[-1]), int(bottom.max())


def encode(flips: Int64, size: tuple[int, int]) -> Rle:
    """Encode as a compressed RLE, byte-identical to `pycocotools.mask.encode` of the whole image.

    Args:
        flips: from `flips_of`.
        size: (h, w) of the image.
    """
    from pycocotools import mask as coco

    pixels = size[0] * size[1]
    ends = flips if len(flips) and flips[-1] == pixels else np.append(flips, pixels)
    counts = np.diff(ends, prepend=0)
    return dict(coco.frPyObjects({"size": list(size), "counts": counts}, *size))
