"""BMPs whose pixels of 16 or 32 bits are divided by bit masks; Pillow reads only common ones.

Source: the structures BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER of Windows.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samseg.readers.decode.samples import Scale, flattened
from samseg.types import Pixels

_BIT_FIELDS, _ALPHA_BIT_FIELDS = 3, 6
_MASKS = 54
"""Where the masks of red, green, blue and alpha stand: in long headers, or behind short ones."""

_WITH_ALPHA = 56
"""Size of the shortest header that has a mask of alpha."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class MaskedBmp:
    """The header of such a file.

    Attributes:
        width: pixels in a row.
        height: rows.
        upside_down: whether the last row comes first, as usual.
        bits: of a pixel, 16 or 32.
        start: where the pixels begin.
        masks: of red, green, blue and alpha; 0 stands for no such channel.
    """

    width: int
    height: int
    upside_down: bool
    bits: int
    start: int
    masks: tuple[int, int, int, int]


def header_of(payload: bytes) -> MaskedBmp | None:
    """Return the header of a BMP with bit masks; None of any other file."""
    if payload[:2] != b"BM" or len(payload) < _MASKS + 16:
        return None
    start, size, width, height, _, bits, coding = struct.unpack_from("<LLllHHL", payload, 10)
    if size < 40 or bits not in (16, 32) or coding not in (_BIT_FIELDS, _ALPHA_BIT_FIELDS):
        return None
    red, green, blue, alpha = struct.unpack_from("<4L", payload, _MASKS)
    alpha = alpha if size >= _WITH_ALPHA or coding == _ALPHA_BIT_FIELDS else 0
    return MaskedBmp(width, abs(height), height > 0, bits, start, (red, green, blue, alpha))


def pixels_of(
    payload: bytes, header: MaskedBmp, background: tuple[int, int, int]
) -> tuple[Pixels, tuple[str, ...]]:
    """Read a BMP with bit masks; each channel is scaled to 0 to 255.

    Args:
        payload: the file.
        header: from `header_of`.
        background: RGB behind transparent pixels.

    Returns:
        (height, width, 3) uint8, and `alpha_flattened` or nothing. A file of which every pixel is
        transparent is opaque: its writer left alpha out.

    Raises:
        ValueError: the file has no pixels or too few, no masks, or masks with gaps.
    """
    if not any(header.masks[:3]):
        raise ValueError("it has no masks")
    rows = _rows_of(payload, header)
    scales = [_scale_of(mask, header.bits) for mask in header.masks]
    out = np.empty((header.height, header.width, 4), dtype=np.uint8)
    step = max(1, _CHUNK // header.width)
    for top in range(0, header.height, step):
        some = rows[top : top + step]
        for channel, (mask, (shift, scale)) in enumerate(zip(header.masks, scales, strict=True)):
            values = (some & some.dtype.type(mask)) >> some.dtype.type(shift)
            out[top : top + step, :, channel] = scale(values)
    colour, alpha = np.ascontiguousarray(out[..., :3]), out[..., 3]
    if not header.masks[3] or not alpha.any() or alpha.min() == 255:
        return colour, ()
    return flattened(colour, alpha, background, associated=False), ("alpha_flattened",)


def _rows_of(payload: bytes, header: MaskedBmp) -> NDArray[Any]:
    """Return the pixels as stored, (height, width), from the upper row on."""
    if header.width < 1 or header.height < 1:
        raise ValueError(f"its size is {header.width} x {header.height}")
    dtype = np.dtype(f"<u{header.bits // 8}")
    row_bytes = -(-header.width * dtype.itemsize // 4) * 4
    wanted, held = row_bytes * header.height, max(0, len(payload) - header.start)
    if held < wanted:
        raise ValueError(f"it holds {held} of {wanted} bytes of pixels")
    stored = np.frombuffer(payload, dtype, wanted // dtype.itemsize, header.start)
    rows = stored.reshape(header.height, -1)[:, : header.width]
    return rows[::-1] if header.upside_down else rows


def _scale_of(mask: int, bits: int) -> tuple[int, Scale]:
    """Return how far a channel is shifted down, and its scale."""
    shift = (mask & -mask).bit_length() - 1 if mask else 0
    high = mask >> shift
    if mask >> bits or high & (high + 1):
        raise ValueError(f"the mask {mask:#x} has gaps or lies outside {bits} bits")
    return shift, Scale(0.0, float(high))
