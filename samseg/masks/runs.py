"""Read masks as runs: the positions at which they switch on and off, without rasterising them.

A COCO RLE counts pixels in column-major order, alternately off and on, starting with off. Its
cumulative sum, the *flips*, is sufficient for geometry: a few thousand numbers for a mask of
12 megapixels. All masks are read at once, because a mask has too few runs for one array operation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.types import Bool, Int64, Masks

_SHIFT = 48
_MORE = 0x20
_SIGN = 0x10
_DIGIT = 0x1F
_BITS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Flips:
    """The flips of n masks: off before the first flip, on up to the second, and so on.

    Attributes:
        positions: (k,) int64, mask by mask, ascending positions `x * h + y` in the image of h rows;
            an even number for each mask.
        starts: (n + 1,) int64, ascending: where each mask starts in `positions`, and their number.
    """

    positions: Int64
    starts: Int64

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: int) -> Int64:
        """Return the flips of one mask."""
        return self.positions[self.starts[i] : self.starts[i + 1]]

    def split(self, n: int) -> Iterator["Flips"]:
        """Yield the flips of n masks at a time."""
        for start in range(0, len(self), n):
            starts = self.starts[start : start + n + 1]
            yield Flips(self.positions[starts[0] : starts[-1]], starts - starts[0])


def flips_of(masks: Masks | Bool) -> Flips:
    """Return the flips of all masks.

    Args:
        masks: masks, or a dense (n, h, w) bool array.
    """
    if isinstance(masks, Masks):
        return flips_of_counts([rle["counts"] for rle in masks.rles])
    dense = np.asarray(masks, dtype=np.bool_)
    n, h, w = dense.shape
    padded = np.zeros((n, w * h + 2), dtype=np.bool_)
    padded[:, 1:-1].reshape(n, w, h)[:] = dense.transpose(0, 2, 1)
    mask, position = np.nonzero(padded[:, 1:] != padded[:, :-1])
    return Flips(position, np.searchsorted(mask, np.arange(n + 1)))


def flips_of_counts(counts: Sequence[bytes | str]) -> Flips:
    """Decode the counts of compressed COCO RLEs.

    From the fourth count on, each is stored as the difference to the one two positions before
    (`rleToString` in pycocotools' `maskApi.c`).
    """
    texts = [text.encode("ascii") if isinstance(text, str) else text for text in counts]
    codes = np.frombuffer(b"".join(texts), dtype=np.uint8) - np.uint8(_SHIFT)
    ends = np.flatnonzero(codes < _MORE)
    starts = np.searchsorted(ends, np.cumsum([0, *map(len, texts)]))
    numbers = _read_numbers(codes, ends)

    # in rows of two, a number is below the one two positions before; each mask starts with a row
    # that contains only its first number, which no other is relative to
    amounts = np.diff(starts)
    heights = (amounts + 2) // 2
    rows = np.cumsum(heights) - heights
    at = np.arange(len(numbers)) + np.repeat(2 * rows + 1 - starts[:-1], amounts)
    table = np.zeros((heights.sum(), 2), dtype=np.int64)
    table.ravel()[at] = numbers
    np.cumsum(table, axis=0, out=table)
    table -= np.repeat(table[rows], heights, axis=0)
    lengths = table.ravel()[at]
    first = starts[:-1][amounts > 0]
    lengths[first] = numbers[first]

    total = np.append(0, np.cumsum(lengths))
    positions = total[1:] - np.repeat(total[starts[:-1]], amounts)
    # an odd number of runs ends with one that is off
    even = np.delete(positions, starts[1:][amounts % 2 == 1] - 1)
    return Flips(even, np.append(0, np.cumsum(amounts // 2 * 2)))


def _read_numbers(codes: NDArray[np.uint8], ends: Int64) -> Int64:
    """Combine the digits of each number, given the position of its last character.

    Five bits per character, least significant first; bit 0x20 is set if more characters follow, bit
    0x10 of the last character is the sign.
    """
    numbers = ((codes[ends] & _DIGIT) ^ _SIGN).astype(np.int64) - _SIGN
    digits = np.diff(ends, prepend=-1)
    longer, place = np.flatnonzero(digits > 1), 1
    while len(longer):
        digit = codes[ends[longer] - place] & _DIGIT
        numbers[longer] = (numbers[longer] << _BITS) + digit
        place += 1
        longer = longer[digits[longer] > place]
    return numbers
