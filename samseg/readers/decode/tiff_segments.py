"""The strips and tiles of a TIFF page: decompressed, unpacked and put together.

Source: TIFF revision 6.0, sections 3, 9, 14 and 15; TIFF Technical Note 3 (floating-point
predictor).
"""

import lzma
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samseg.errors import ImageError
from samseg.readers.decode import libtiff
from samseg.readers.decode.tiff_page import (
    DEFLATES,
    FILE_CODECS,
    LZMA,
    NONE,
    TiffPage,
    described,
    refused,
)
from samseg.readers.decode.tiff_pictures import samples_of_picture

_BYTES_PER_PIXEL = 8
_LEAST_LIMIT = 64 << 20
"""Bytes that segments may hold whatever the image's size: tiles are larger than small images."""

_BATCH = 1 << 24
"""Bytes that libtiff decompresses at once."""

_MOST_SEGMENTS = 1 << 20
"""Strips or tiles of a page; 50 megapixels in tiles of 16 x 16 px are 200,000."""

_UNPACKED = 1 << 20
"""Samples of odd depths that are unpacked at once."""

_LZMA_MEMORY = 128 << 20
_HORIZONTAL, _FLOATING = 2, 3
_REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class _Grid:
    """How a page is divided.

    Attributes:
        width: pixels in a row of a segment.
        rows: rows of a segment.
        across: segments side by side.
        down: segments one below the other.
        tiled: whether segments are tiles, which are padded at the edges.
        channels: samples per pixel of a segment.
        row_bytes: bytes in a row of a segment.
    """

    width: int
    rows: int
    across: int
    down: int
    tiled: bool
    channels: int
    row_bytes: int


def samples_of(page: TiffPage, channels: tuple[int, ...], max_pixels: int) -> NDArray[Any]:
    """Return channels of a page whose compression is one of `BYTE_CODECS` or `FILE_CODECS`.

    Args:
        page: the page.
        channels: indices of the channels that are wanted.
        max_pixels: see `check_segments`.

    Returns:
        (height, width, channels) in the smallest type of the machine that holds the samples:
        uint8 to uint64, int8 to int64 or float16 to float64.

    Raises:
        ImageError: its segments hold too much, or its predictor is not read.
        ValueError, OSError, zlib.error, lzma.LZMAError: its segments are damaged.
    """
    grid, offsets, sizes = check_segments(page, max_pixels)
    out = np.empty((page.height, page.width, len(channels)), dtype=_dtype(page).newbyteorder("="))
    per_plane = grid.across * grid.down
    for target, plane in enumerate(channels if page.planar else (0,)):
        here = slice(plane * per_plane, (plane + 1) * per_plane)
        places = [*zip(offsets[here].tolist(), sizes[here].tolist(), strict=True)]
        chosen = [0] if page.planar else list(channels)
        into = out[..., target : target + 1] if page.planar else out
        _read_plane(page, grid, places, chosen, into)
    return out


def check_segments(page: TiffPage, max_pixels: int) -> tuple[_Grid, NDArray[Any], NDArray[Any]]:
    """Check how much the strips or tiles of a page hold, and that they lie in the file.

    Args:
        page: the page.
        max_pixels: they may hold 8 bytes or samples for each of these pixels, or 64 MiB.

    Returns:
        How the page is divided; the offsets and the stored sizes of its segments, in bytes.

    Raises:
        ImageError: `too_large`: they hold more.
        ValueError: there are too few, or they lie outside the file.
    """
    grid = _grid_of(page)
    planes = page.samples if page.planar else 1
    rows = grid.rows * grid.down if grid.tiled else page.height
    total = planes * grid.across * rows * max(grid.row_bytes, grid.width * grid.channels)
    if total > max(_BYTES_PER_PIXEL * max_pixels, _LEAST_LIMIT):
        raise ImageError(
            "too_large",
            f"{described(page)} takes {total} bytes decompressed, more than the "
            f"{_BYTES_PER_PIXEL} per pixel of `decode.max_pixels`",
        )
    return grid, *_places_of(page, planes * grid.across * grid.down)


def _read_plane(
    page: TiffPage, grid: _Grid, places: list[tuple[int, int]], chosen: list[int], out: NDArray[Any]
) -> None:
    """Decompress the segments of one plane into `out`."""
    most = 1024 + 4 * grid.rows * grid.row_bytes
    every = chosen == list(range(grid.channels))
    batch = max(1, _BATCH // (grid.rows * grid.row_bytes))
    for first in range(0, len(places), batch):
        some = [_stored(page, *place, most) for place in places[first : first + batch]]
        top = grid.rows * first
        rows = len(some) * grid.rows
        if not grid.tiled:
            rows = min(rows, page.height - top)
        content = _decompressed(page, some, grid, rows)
        values = _unpredicted(page, content, grid)
        for i in range(len(some)):
            down, across = divmod(first + i, grid.across)
            y, x = down * grid.rows, across * grid.width
            part = values[i * grid.rows : (i + 1) * grid.rows]
            part = part[: page.height - y, : page.width - x]
            region = out[y : y + part.shape[0], x : x + part.shape[1]]
            region[:] = part if every else part[..., chosen]


def _grid_of(page: TiffPage) -> _Grid:
    tiled = 322 in page.directory
    if tiled:
        width, rows = page.directory.integer(322, 0), page.directory.integer(323, 0)
    else:
        width, rows = page.width, min(page.directory.integer(278, page.height), page.height)
    if width < 1 or rows < 1:
        raise ValueError(f"its {'tiles' if tiled else 'strips'} are {width} x {rows}")
    channels = 1 if page.planar else page.samples
    across, down = -(-page.width // width), -(-page.height // rows)
    row_bytes = -(-width * channels * page.bits // 8)
    return _Grid(width, rows, across, down, tiled, channels, row_bytes)


def _places_of(page: TiffPage, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the offsets and the stored sizes of `count` segments, in bytes.

    Raises:
        ValueError: there are not as many, or they lie outside the file.
    """
    tags, end = page.directory, len(page.directory.payload)
    tiled = 324 in tags
    offsets, sizes = tags.values(324 if tiled else 273), tags.values(325 if tiled else 279)
    if not len(sizes) and len(offsets) == 1 and page.compression == NONE:
        sizes = np.maximum(end - offsets.astype(np.int64), 0)  # as some writers leave it out
    if min(len(offsets), len(sizes)) < count or count > _MOST_SEGMENTS:
        raise ValueError(f"it has {min(len(offsets), len(sizes))} of {count} strips or tiles")
    offsets, sizes = offsets[:count], sizes[:count]
    if {offsets.dtype.kind, sizes.dtype.kind} != {"u"} and (offsets.min() < 0 or sizes.min() < 0):
        raise ValueError("its strips or tiles have no places in the file")
    if offsets.max() > end or (sizes > end - offsets.astype(np.int64)).any():
        raise ValueError("its strips or tiles lie outside the file")
    return offsets, sizes


def _stored(page: TiffPage, offset: int, size: int, most: int) -> bytes:
    """Return a segment as it is in the file, of which no codec needs more than `most` bytes."""
    found = page.directory.payload[offset : offset + min(size, most)]
    reverse = page.directory.integer(266, 1) == 2
    return found.translate(_REVERSED_BITS) if reverse else found


def _decompressed(
    page: TiffPage, segments: list[bytes], grid: _Grid, rows: int
) -> NDArray[np.uint8]:
    """Return consecutive segments, (rows, row_bytes), writeable unless they are uncompressed."""
    if page.compression in FILE_CODECS:
        heights = [min(grid.rows, rows - i * grid.rows) for i in range(len(segments))]
        found = [
            samples_of_picture(segment, grid.channels, grid.width, {height, grid.rows})[:height]
            for segment, height in zip(segments, heights, strict=True)
        ]
        return np.concatenate(found)
    if page.compression not in (NONE, *DEFLATES, LZMA):
        return libtiff.decompressed(page.compression, segments, grid.row_bytes, rows, grid.rows)
    parts: list[bytes] = []
    for i, segment in enumerate(segments):
        size = min(grid.rows, rows - i * grid.rows) * grid.row_bytes
        part = segment[:size]
        if page.compression in DEFLATES:
            part = _inflated(segment, size)
        elif page.compression == LZMA:
            unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY)
            part = unpacker.decompress(segment, size)
        if len(part) < size:
            raise ValueError(f"a strip or tile holds {len(part)} of {size} bytes")
        parts.append(part)
    whole = parts[0] if len(parts) == 1 else b"".join(parts)
    return np.frombuffer(whole, dtype=np.uint8).reshape(rows, grid.row_bytes)


def _inflated(segment: bytes, size: int) -> bytes:
    """Return the first `size` bytes of a zlib stream; its checksum is verified if it ends there."""
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(segment, size)
    if not unpacker.eof:
        unpacker.decompress(unpacker.unconsumed_tail, 1)
    return found


def _dtype(page: TiffPage) -> "np.dtype[Any]":
    """Return the type of the samples in the file, or that odd depths are unpacked to."""
    size = 1 if page.bits <= 8 else 2 if page.bits <= 16 else page.bits // 8
    return np.dtype(f"{page.directory.order}{page.kind}{size}")


def _unpredicted(page: TiffPage, content: NDArray[np.uint8], grid: _Grid) -> NDArray[Any]:
    """Return the samples of rows of bytes, (rows, width, channels), the predictor undone."""
    rows, dtype = len(content), _dtype(page)
    shape = (rows, grid.width, grid.channels)
    bare = page.compression in (NONE, *FILE_CODECS)
    predictor = 1 if bare else page.directory.integer(317, 1)
    whole = page.bits == 8 * dtype.itemsize
    if predictor == 1:
        return content.view(dtype).reshape(shape) if whole else _unpacked(page, content, grid)
    if predictor == _HORIZONTAL and whole:
        stored = np.dtype(f"{page.directory.order}u{dtype.itemsize}")
        steps = content.view(stored).reshape(shape).astype(stored.newbyteorder("="))
        np.cumsum(steps, axis=1, dtype=steps.dtype, out=steps)
        return steps.view(dtype.newbyteorder("="))
    if predictor == _FLOATING and page.kind == "f":
        steps = content.reshape(rows, -1, grid.channels)
        planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, -1)
        interleaved = np.ascontiguousarray(planes.transpose(0, 2, 1))
        return interleaved.view(dtype.newbyteorder(">")).reshape(shape)
    raise refused(page, f"Predictor {predictor} is not known for these samples")


def _unpacked(page: TiffPage, content: NDArray[np.uint8], grid: _Grid) -> NDArray[Any]:
    """Unpack samples of odd depths, the most significant bit first, each row from a new byte."""
    count = grid.width * grid.channels
    out = np.empty((len(content), count), dtype=_dtype(page).newbyteorder("="))
    weights = (1 << np.arange(page.bits)[::-1]).astype(np.uint16)
    step = max(1, _UNPACKED // count)
    for top in range(0, len(content), step):
        bits = np.unpackbits(content[top : top + step], axis=1, count=count * page.bits)
        out[top : top + step] = bits.reshape(-1, count, page.bits) @ weights
    return out.reshape(len(content), grid.width, grid.channels)
