"""Masks as runs: where a mask switches on and off along its columns, without making a picture.

A COCO RLE counts pixels column by column, alternating off and on, beginning with off. Its running
sum, the *flips*, is all that geometry needs: a mask of 12 megapixels is a few thousand numbers.
"""

from collections.abc import Iterator

import numpy as np

from samseg.types import Bool, Int64, Masks

_SHIFT = 48
_MORE = 0x20
_SIGN = 0x10


def flips_of(masks: Masks | Bool) -> Iterator[Int64]:
    """Yield, for each mask, where it switches: off before the first flip, on until the second ...

    Args:
        masks: masks, or a dense (n, h, w) bool array.

    Yields:
        (k,) int64, ascending positions `x * h + y` of the original image.
    """
    if isinstance(masks, Masks):
        for rle in masks.rles:
            yield _flips_of_counts(rle["counts"])
    else:
        for mask in masks:
            yield _flips_of_dense(mask)


def _flips_of_counts(counts: bytes | str | list[int]) -> Int64:
    """Read a COCO RLE, compressed or not.

    The compressed form is `rleFrString` of pycocotools' `maskApi.c`: five bits per character,
    least significant first, 0x20 for "more follow", sign in the last 0x10; from the fourth number
    on each is a difference to the number two before.
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
