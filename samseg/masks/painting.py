"""Rasterise the masks of one image into one map, smaller masks on top of larger ones.

For outputs with one value per pixel (index images, coloured views). A pixel keeps only the topmost
of the masks that cover it; use the RLEs where all masks matter.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samseg.types import Bool, Int32


def dense(rle: Mapping[str, Any]) -> Bool:
    """Decode one COCO compressed RLE to (h, w) bool; `counts` may be text or bytes."""
    from pycocotools import mask as coco

    return np.asarray(coco.decode(dict(rle)), dtype=np.bool_)


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
