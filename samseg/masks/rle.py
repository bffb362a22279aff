"""Encode masks as COCO RLEs from a window of the image, without rasterising the whole image.

Areas, boxes and RLEs are computed from the flips of all masks at once; see `samseg.masks.runs`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from samseg.masks.runs import Flips
from samseg.types import Bool, Int32, Int64

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


def window_flips(windows: Iterable[MaskWindow], height: int) -> Flips:
    """Return the flips of masks in an image of `height` px."""
    positions = [_flips_of_window(window, height) for window in windows]
    starts = np.cumsum([0, *map(len, positions)])
    return Flips(np.concatenate(positions or [starts[:0]]), starts)


def _flips_of_window(window: MaskWindow, height: int) -> Int64:
    """If the mask contains the last px of the image, the last flip is h * w."""
    w, h = window.columns.shape
    # below each column one px of background, unless the next column continues it
    stride = h + 1 if h < height else h
    padded = np.zeros(1 + w * stride + 1, dtype=np.bool_)
    padded[1:-1].reshape(w, stride)[:, :h] = window.columns
    at = np.flatnonzero(padded[1:] != padded[:-1])
    if stride == height:
        return at + (window.x * height + window.y)
    return at + at // stride * (height - stride) + (window.x * height + window.y)


def areas_of(flips: Flips) -> Int64:
    """Return the (n,) areas of masks in px."""
    total = np.append(0, np.cumsum(flips.positions[1::2] - flips.positions[::2]))
    return np.diff(total[flips.starts // 2])


def boxes_of(flips: Flips, height: int) -> Int32:
    """Return the (n, 4) boxes, xyxy in px, both corners inside the mask; 0 for an empty mask."""
    boxes = np.zeros((len(flips), 4), dtype=np.int32)
    filled = np.flatnonzero(np.diff(flips.starts))
    if not len(filled):
        return boxes
    runs = flips.starts[filled] // 2
    starts, lasts = flips.positions[::2], flips.positions[1::2] - 1
    left, right = starts // height, lasts // height
    several = left < right  # a run that continues in the next column
    top = np.where(several, 0, starts - left * height)
    bottom = np.where(several, height - 1, lasts - right * height)
    ends = flips.starts[filled + 1] // 2 - 1
    boxes[filled] = np.stack(
        [
            left[runs],
            np.minimum.reduceat(top, runs),
            right[ends],
            np.maximum.reduceat(bottom, runs),
        ],
        axis=1,
    )
    return boxes


def encode(flips: Flips, size: tuple[int, int]) -> tuple[Rle, ...]:
    """Encode as compressed RLEs, byte-identical to `pycocotools.mask.encode` of the whole image.

    Args:
        flips: of n masks.
        size: (h, w) of the image.
    """
    from pycocotools import mask as coco

    # the last run is off and reaches the end of the image, unless a run that is on does
    pixels, amounts = size[0] * size[1], np.diff(flips.starts)
    last = flips.positions[flips.starts[1:] - 1] if len(flips.positions) else amounts
    open_ended = (amounts == 0) | (last < pixels)
    ends = np.insert(flips.positions, flips.starts[1:][open_ended], pixels)
    starts = np.append(0, np.cumsum(amounts + open_ended))
    counts = np.diff(ends, prepend=0)
    counts[starts[:-1]] = ends[starts[:-1]]
    runs = [{"size": list(size), "counts": counts[a:b]} for a, b in pairwise(starts.tolist())]
    return tuple(coco.frPyObjects(runs, *size)) if runs else ()
