"""Read masks as runs: the positions at which they switch on and off, without rasterising them.

A COCO RLE counts pixels in column-major order, alternately off and on, starting with off. Its
cumulative sum, the *flips*, is sufficient for geometry: a few thousand numbers for a mask of
12 megapixels.
"""

from collections.abc import Iterator

import numpy as np

from samseg.types import Bool, Int64, Masks

_SHIFT = 48
_MORE = 0x20
_SIGN = 0x10


def flips_of(masks: Masks | Bool) -> Iterator[Int64]:
    """Yield the flips of each mask: off before the first flip, on up to the second, and so on.

    Args:
        masks: masks, or a dense (n, h, w) bool array.

    Yields:
        (k,) int64, ascending positions `x * h + y` in the original image.
    """
    if isinstance(masks, Masks):
        for rle in masks.rles:
            yield _flips_of_counts(rle["counts"])
    else:
        for mask in masks:
            yield _flips_of_dense(mask)


def _flips_of_counts(counts: bytes | str | list[int]) -> Int64:
    """Decode the counts of a COCO RLE, compressed or not.

    The compressed format is that of `rleFrString` in pycocotools' `maskApi.c`: five bits per
    character, least significant first; bit 0x20 is set if more characters follow, bit 0x10 of the
    last character is the sign. From the fourth number on, each is the difference to the number two
    positions before.
    """
    if isinstance(counts, list):
        return np.cumsum(np.asarray(counts, dtype=np.int64))
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    if not text:
        return np.zeros(0, dtype=np.int64)
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - _SHIFT
    last = (codes & _MORE) == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    numbers -= np.where(codes[ends] & _SIGN, np.int64(1) << (5 * (place[ends] + 1)), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return np.cumsum(numbers)


def _flips_of_dense(mask: Bool) -> Int64:
    column_major = np.asarray(mask, dtype=bool).T.reshape(-1)
    edges = np.concatenate([[False], column_major, [False]])
    return np.flatnonzero(edges[1:] != edges[:-1])
