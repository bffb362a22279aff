"""Rasterise the masks of one image into one map, smaller masks on top of larger ones.

For outputs with one value per pixel (index images, coloured views). A pixel keeps only the topmost
of the masks that cover it; use the RLEs where all masks matter.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samseg.masks.runs import flips_of_counts
from samseg.types import Bool, Int32


def dense(rle: Mapping[str, Any]) -> Bool:
    """Decode one COCO compressed RLE to (h, w) bool; `counts` may be text or bytes."""
    from pycocotools import mask as coco

    return np.asarray(coco.decode(dict(rle)), dtype=np.bool_)


def dense_at(rle: Mapping[str, Any], size: tuple[int, int]) -> Bool:
    """Sample one COCO compressed RLE at another size, without decoding all of its pixels.

    Args:
        rle: of a mask.
        size: (h, w) of the result.

    Returns:
        (h, w) bool: the mask at the pixel that holds the centre of each pixel of the result.
    """
    h, w = rle["size"]
    rows = ((np.arange(size[0]) + 0.5) * h / size[0]).astype(np.int64)
    columns = ((np.arange(size[1]) + 0.5) * w / size[1]).astype(np.int64)
    sampled = np.zeros((size[1], size[0]), np.bool_)
    flips = flips_of_counts([rle["counts"]])[0]
    if len(flips):
        within = (columns >= flips[0] // h) & (columns <= (flips[-1] - 1) // h)
        at = columns[within][:, None] * h + rows
        sampled[within] = np.searchsorted(flips, at, side="right") % 2 == 1
    return sampled.T


def painted(
    size: tuple[int, int],
    rles: Sequence[Mapping[str, Any]],
    areas: Sequence[int],
    values: Sequence[int],
    background: int = 0,
) -> Int32:
    """Return an (h, w) int32 map: at each pixel the value of the smallest mask that covers it.

    Args:
        size: (h, w) of the image in px.
        rles: n COCO compressed RLEs of that size.
        areas: n areas in px. Of two masks with the same area the later one is on top.
        values: n values, one per mask.
        background: value of the pixels without a mask.

    Decodes one mask at a time, so memory does not grow with n.
    """
    canvas = np.full(size, background, dtype=np.int32)
    for i in layers(areas):
        canvas[dense(rles[i])] = values[i]
    return canvas


def layers(areas: Sequence[int]) -> list[int]:
    """Return the order of masks from the bottom to the top: the rule for one value per pixel."""
    return sorted(range(len(areas)), key=lambda i: -areas[i])
