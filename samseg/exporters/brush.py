"""Label Studio's run-length code of brush masks: `rle-pack` of thi.ng over RGBA bytes.

A bit stream, most significant bit first. Header: number of values (32 bits), bits of a value - 1
(5), and the four sizes of a length - 1 (4 each). A run: 1, index of the size (2), length - 1 (of
that size), value. Pixels are in row-major order, four values each.
"""

from collections.abc import Sequence

import numpy as np

from samseg.types import Bool, Int64, Pixels

_VALUE = 8
_SIZES = np.array([3, 4, 8, 16])
_LONGEST = 1 << int(_SIZES[-1])
_CHANNELS = 4
_HEADER = 32 + 5 + 4 * 4
_HALF = 128


def brush_rle_of(mask: Bool) -> list[int]:
    """Encode a mask as the bytes of `rle` in a result of type `brushlabels`.

    Args:
        mask: (h, w) bool, at least one pixel; 255 in all channels where true, 0 elsewhere.
    """
    lengths, values = _runs(mask.ravel())
    size = np.searchsorted(1 << _SIZES, lengths)
    bits = _SIZES[size]
    codes = (((4 + size) << bits | (lengths - 1)) << _VALUE) | values
    header = [_bits(np.array([mask.size * _CHANNELS]), np.array([32]))]
    header += [_bits(np.array([_VALUE - 1]), np.array([5])), _bits(_SIZES - 1, np.full(4, 4))]
    stream = np.concatenate([*header, _bits(codes, 3 + bits + _VALUE)])
    return [int(byte) for byte in np.packbits(stream)]


def mask_of_brush_rle(code: Sequence[int], size: tuple[int, int]) -> Bool:
    """Decode the bytes of `rle`, also those of other encoders.

    Args:
        code: the bytes.
        size: (h, w) of the image.

    Returns:
        (h, w) bool: where the fourth channel, alpha, is at least half.

    Raises:
        ValueError: it is no such code, or one of another size.
    """
    payload = bytes(code)  # a ValueError for numbers that are no bytes
    bits = "".join(map("{:08b}".format, payload))
    if len(bits) < _HEADER:
        raise ValueError("it is too short")
    count, value = int(bits[:32], 2), int(bits[32:37], 2) + 1
    if count != size[0] * size[1] * _CHANNELS or value != _VALUE:
        raise ValueError(f"it has {count} values of {value} bits")
    sizes = [int(bits[at : at + 4], 2) + 1 for at in range(37, _HEADER, 4)]
    pixels, filled, at = np.zeros(count, np.uint8), 0, _HEADER
    while filled < count:
        width = sizes[int(bits[at + 1 : at + 3] or "0", 2)]
        head = at + 3 + width
        repeated = bits[at : at + 1] == "1"
        length = int(bits[at + 3 : head] or "0", 2) + 1
        at = head + value * (1 if repeated else length)
        if at > len(bits) or filled + length > count:
            raise ValueError("it ends within a run")
        values = [int(bits[b : b + value], 2) for b in range(head, at, value)]
        pixels[filled : filled + length] = values
        filled += length
    return pixels[_CHANNELS - 1 :: _CHANNELS].reshape(size) >= _HALF


def _runs(pixels: Bool) -> tuple[Int64, Int64]:
    """Return the lengths of the runs of RGBA bytes, none above the longest, and their values."""
    edges = np.concatenate([[0], 1 + np.flatnonzero(pixels[1:] != pixels[:-1]), [len(pixels)]])
    whole = np.diff(edges) * _CHANNELS
    pieces = -(-whole // _LONGEST)
    lengths = np.full(int(pieces.sum()), _LONGEST, dtype=np.int64)
    lengths[np.cumsum(pieces) - 1] = whole - (pieces - 1) * _LONGEST
    return lengths, np.repeat(pixels[edges[:-1]] * 255, pieces)


def _bits(numbers: Int64, widths: Int64) -> Pixels:
    """Return the last `width` bits of each number, up to 32, one after the other."""
    rows = np.unpackbits(numbers.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    return rows[np.arange(32) >= 32 - widths[:, None]]
