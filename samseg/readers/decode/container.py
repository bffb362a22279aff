"""Image file formats: which are read, their metadata, and what an unreadable file seems to be."""

import struct
import zlib

from PIL import Image as Pillow

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""Pillow's names of the formats that are read; its JPEG includes MPO."""

DAMAGE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on malformed files; its parsers share no error class."""

_ORIENTATION = 0x0112
_TO_UPRIGHT = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_SIGNATURES = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"%pdf", "a PDF"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"{", "a JSON text"),
)


def upright_transpose(image: Pillow.Image) -> Pillow.Transpose | None:
    """Return what turns an image upright by its EXIF orientation.

    Returns:
        None where the image is upright, has no EXIF data, or has damaged EXIF data.
    """
    try:
        return _TO_UPRIGHT.get(int(image.getexif().get(_ORIENTATION, 1)))
    except DAMAGE_ERRORS:
        return None


def is_animated(image: Pillow.Image) -> bool:
    """Return whether a file holds more than one frame or page."""
    try:
        return bool(getattr(image, "is_animated", False))
    except DAMAGE_ERRORS:  # only the first frame is read, so damage to the second is no error
        return False


def describe_unknown(payload: bytes) -> str:
    """Describe a file of none of the `FORMATS`, for an error message."""
    head = payload[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if payload[4:8] == b"ftyp":
        brand = payload[8:12].decode("ascii", "replace").strip()
        return f"an ISO media file ({brand}: HEIC, AVIF or video); convert it to JPEG or PNG"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            name = "an SVG drawing" if b"<svg" in head else name
            return f"not an image: {name}, {len(payload)} bytes"
    known = ", ".join(FORMATS)
    return f"not an image of a known format ({known}); it begins with {payload[:8]!r}"
