"""Outlines in files of others: checked, and as RLEs that are equal where their pixels are.

A file may hold anything. Codes are read here with bounds, before a library sees them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco

from samseg.errors import ConfigError
from samseg.masks.rle import areas_of, boxes_of, encode
from samseg.masks.runs import Flips, flips_of, flips_of_counts
from samseg.types import Bool, Int64

Size = tuple[int, int]
"""(h, w) of an image, px."""
Rle = Mapping[str, Any]

_COUNTS = re.compile(r"(?:[P-o]{0,6}[0-O])+")
"""Numbers of up to 35 bits."""
_OUTSIDE_PX = 1.0
"""How far a corner may lie outside the picture; tools round."""
_LARGEST = 1e9


def of_counts(counts: object, size: object, wanted: Size, what: str) -> Rle:
    """Return an RLE of COCO, compressed or not, in its one canonical form.

    Args:
        counts: compressed text, or a list of the lengths of runs.
        size: as the file has it.
        wanted: (h, w) of the image.
        what: the annotation, for messages.

    Raises:
        ConfigError: it has another size, is damaged, or has no pixels.
    """
    if not isinstance(size, list) or size != [*wanted]:
        raise ConfigError(f"{what} has an RLE of size {size}, and its image has {[*wanted]}")
    if isinstance(counts, str) and _COUNTS.fullmatch(counts):
        positions = flips_of_counts([counts])[0]
    elif isinstance(counts, list) and all(type(n) is int and 0 <= n < 2**40 for n in counts):
        positions = np.cumsum(counts, dtype=np.int64)[: len(counts) // 2 * 2]
    else:
        raise ConfigError(f"{what} has an RLE whose counts are no COCO code")
    pixels = wanted[0] * wanted[1]
    if len(positions) and (positions[0] < 0 or (np.diff(positions) < 0).any()):
        raise ConfigError(f"{what} has an RLE with a run of negative length")
    if len(positions) and positions[-1] > pixels:
        raise ConfigError(f"{what} has an RLE that ends outside its image of {pixels} px")
    return _canonical(positions, wanted, what)


def of_polygons(polygons: Sequence[Sequence[float]], size: Size, what: str) -> Rle:
    """Return the pixels inside polygons, all parts together, as an RLE.

    Args:
        polygons: x, y, x, y ... of each, px.
        size: (h, w) of the image.
        what: the annotation, for messages.

    Raises:
        ConfigError: a polygon has less than three corners, lies outside or has no pixels.
    """
    h, w = size
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ConfigError(f"{what} has a polygon without three corners")
        if not all(type(n) in (int, float) and abs(n) < _LARGEST for n in polygon):
            raise ConfigError(f"{what} has a polygon whose coordinates are no numbers of px")
        corners = np.array(polygon, np.float64).reshape(-1, 2)
        inside = (corners >= -_OUTSIDE_PX) & (corners <= np.array([w, h]) + _OUTSIDE_PX)
        if not inside.all():
            x, y = corners[~inside.all(axis=1)][0]
            raise ConfigError(f"{what} has a corner ({x:g}, {y:g}) outside its image of {w} x {h}")
        length = np.abs(np.diff(corners, axis=0)).max(axis=1).sum()
        if length > 8 * (h + 1) * (w + 1):  # more than the edges of all pixels
            raise ConfigError(f"{what} has a polygon of {length:.3g} px, longer than its image has")
    if not polygons:
        raise ConfigError(f"{what} has no polygon")
    whole = coco.merge(coco.frPyObjects([list(p) for p in polygons], h, w))
    return _canonical(flips_of_counts([whole["counts"]])[0], size, what)


def of_pixels(pixels: Bool, what: str) -> Rle:
    """Return an RLE of (h, w) bool.

    Raises:
        ConfigError: it has no pixels.
    """
    h, w = pixels.shape
    return _canonical(flips_of(pixels[None])[0], (h, w), what)


def shape_of(rle: Rle) -> dict[str, Any]:
    """Return `bbox`, `area` and `rle` as columns of the table `masks`."""
    h, w = rle["size"]
    flips = flips_of_counts([rle["counts"]])
    left, top, right, bottom = boxes_of(flips, h)[0].tolist()
    return {
        "bbox": {"x": left, "y": top, "w": right - left + 1, "h": bottom - top + 1},
        "area": int(areas_of(flips)[0]),
        "rle": {"size": [h, w], "counts": rle["counts"]},
    }


def _canonical(positions: Int64, size: Size, what: str) -> Rle:
    """Encode flips without empty runs, so that equal pixels have equal codes."""
    at, times = np.unique(positions, return_counts=True)
    at = at[times % 2 == 1]
    if not len(at):
        raise ConfigError(f"{what} has an outline without pixels")
    (rle,) = encode(Flips(at, np.array([0, len(at)])), size)
    counts = rle["counts"]
    return {"size": [*size], "counts": counts.decode() if isinstance(counts, bytes) else counts}
