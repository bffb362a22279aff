"""Checks on headers that Pillow makes late or not at all, before it allocates or decodes.

Source: ITU-T T.81 annex B (JPEG); the WebP container specification; ITU-T T.800 annex A (JPEG
2000); ISO/IEC 23008-12 section 6.5.3 (sizes of AVIF and HEIC).
"""

import re
import struct

from samseg.errors import ImageError

MAX_SCANS = 100
"""Most scans of a JPEG: each costs a pass over all pixels; encoders write 10, at most 64 or so."""

_MAX_MARKERS = 1 << 16
"""Most segments of a JPEG; those of metadata are a few hundred at most."""

_MAX_TILES = 1 << 14
"""Most tiles of a JPEG 2000: each costs some kilobytes before any is decoded."""

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE, _START_OF_IMAGE = 0xDA, 0xD9, 0xD8
_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
_ISO_MEDIA_HEAD = 1024
_MOST_OF_LIBAVIF = 1 << 28
"""Pixels; more than `decode.max_pixels` can be."""

_ITEM_SIZE = re.compile(rb"\0\0\0\x14ispe\0{4}(.{8})", re.DOTALL)


def check_headers(payload: bytes, max_pixels: int) -> None:
    """Check what Pillow does not: scans of JPEGs, sizes of WebP, AVIF, HEIC and JPEG 2000.

    Raises:
        ImageError: `too_large` for a size, `undecodable` for scans or tiles.
    """
    if payload.startswith(b"\xff\xd8"):
        if _scans(payload) > MAX_SCANS:
            raise ImageError(
                "undecodable",
                f"a JPEG of more than {MAX_SCANS} scans, which is not read: each costs a pass over "
                "all pixels; save it again",
            )
        return
    size = claimed_size(payload)
    if size is not None and size[0] * size[1] > max_pixels:
        raise too_many_pixels(*size, max_pixels)


def claimed_size(payload: bytes) -> tuple[int, int] | None:
    """Return the width and height of a WebP, a JPEG 2000, or an AVIF or HEIC beyond all limits.

    Raises:
        ImageError: it is a JPEG 2000 of too many tiles.
    """
    return _webp_size(payload) or _codestream_size(payload) or _huge_item(payload)


def too_many_pixels(width: int, height: int, max_pixels: int) -> ImageError:
    """Return the error for an image of more than `max_pixels`."""
    return ImageError(
        "too_large",
        f"{width} x {height} px is more than the {max_pixels} px that `decode.max_pixels` allows",
    )


def _scans(payload: bytes) -> int:
    """Count the scans of the first image of a JPEG file, up to one more than `MAX_SCANS`.

    Returns:
        One more than `MAX_SCANS`, too, for more than `_MAX_MARKERS` segments of any kind.
    """
    at, scans, markers = 2, 0, 0
    while scans <= MAX_SCANS and (found := _MARKER.search(payload, at)) is not None:
        if (markers := markers + 1) > _MAX_MARKERS:
            return MAX_SCANS + 1
        marker, at = payload[found.start() + 1], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker == _START_OF_IMAGE or at + 2 > len(payload):
            continue
        scans += marker == _START_OF_SCAN
        at += int.from_bytes(payload[at : at + 2])
    return scans


def _webp_size(payload: bytes) -> tuple[int, int] | None:
    """Return the width and height of the canvas of a WebP, which Pillow allocates on opening."""
    if len(payload) < 30 or payload[:4] != b"RIFF" or payload[8:12] != b"WEBP":
        return None
    if payload[12:16] == b"VP8X":
        width, height = payload[24:27], payload[27:30]
        return 1 + int.from_bytes(width, "little"), 1 + int.from_bytes(height, "little")
    if payload[12:16] == b"VP8L":
        bits = int.from_bytes(payload[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", payload, 26)
    return width & 0x3FFF, height & 0x3FFF


def _huge_item(payload: bytes) -> tuple[int, int] | None:
    """Return the width and height of an item of an AVIF or HEIC that libavif calls damaged.

    The sizes lie in the box `meta`, near the beginning. Others are checked once the file is open:
    an item may be larger than the picture, which is cropped.
    """
    start = payload.find(b"meta", 4, _ISO_MEDIA_HEAD) if payload[4:8] == b"ftyp" else -1
    if start < 4:
        return None
    end = start - 4 + int.from_bytes(payload[start - 4 : start])
    for found in _ITEM_SIZE.finditer(payload, start, min(end, len(payload))):
        width, height = struct.unpack(">2L", found[1])
        if width * height > _MOST_OF_LIBAVIF:
            return width, height
    return None


def _codestream_size(payload: bytes) -> tuple[int, int] | None:
    """Return the width and height of a JPEG 2000 codestream; a JP2 header may say something else.

    Raises:
        ImageError: it is divided into too many tiles.
    """
    boxed = payload[4:8] == b"jP  "
    if not boxed and not payload.startswith(_START_OF_CODESTREAM):
        return None
    at = payload.find(_START_OF_CODESTREAM)
    if at < 0 or at + 40 > len(payload):
        return None
    right, bottom, left, top, tile_w, tile_h, tiles_left, tiles_top = struct.unpack_from(
        ">8L", payload, at + 8
    )
    across = -(-(right - tiles_left) // max(1, tile_w))
    down = -(-(bottom - tiles_top) // max(1, tile_h))
    if across * down > _MAX_TILES:
        raise ImageError(
            "undecodable",
            f"a JPEG 2000 of {across * down} tiles is more than the {_MAX_TILES} that are read",
        )
    return max(0, right - left), max(0, bottom - top)
