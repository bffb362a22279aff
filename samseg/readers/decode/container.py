"""Image file formats: which are read, their metadata, and what an unreadable file seems to be."""

import lzma
import struct
import zlib

from PIL import Image as Pillow
from PIL import features

from samseg.errors import ImageError, one_line
from samseg.readers.decode.unread import other_file, unread_image

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")
"""Pillow's names of the formats that it reads; its JPEG includes MPO."""

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
    lzma.LZMAError,
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
_KNOWN = (
    *((b"\xff\xd8", "JPEG"), (b"\x89PNG", "PNG"), (b"GIF8", "GIF")),
    *((b"\xff\x4f\xff\x51", "JPEG 2000"), (b"\0\0\0\x0cjP  ", "JPEG 2000")),
)
_OPTIONAL = {"AVIF": "avif", "JPEG 2000": "jpg_2000", "WebP": "webp"}
"""Formats that Pillow may be built without, and its names of these features."""

_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def is_heic(payload: bytes) -> bool:
    """Return whether a file is a HEIC photo by its brands, and no AVIF."""
    brands = _brands(payload)
    return bool(brands & _HEIC) and not brands & _AVIF


def transpose_of(orientation: int) -> Pillow.Transpose | None:
    """Return what turns an image of an EXIF orientation upright; None if it is upright."""
    return _TO_UPRIGHT.get(orientation)


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


def missing_codec(payload: bytes) -> str | None:
    """Return the name of a file's format if Pillow was built without it."""
    known = _known_format(payload)
    return known if known in _OPTIONAL and not features.check(_OPTIONAL[known]) else None


def describe_unknown(payload: bytes) -> str:
    """Describe a file that Pillow does not identify, for an error message."""
    if (known := _known_format(payload)) is not None:
        return f"damaged {known}: its header cannot be read"
    if (image := unread_image(payload)) is not None:
        return f"{image}, which is not read; convert it to JPEG or PNG"
    if (other := other_file(payload)) is not None:
        return f"not an image: {other}, {len(payload)} bytes"
    return (
        f"not an image of a known format ({', '.join((*FORMATS, 'HEIC'))}); it begins with "
        f"{payload[:8]!r}"
    )


def unreadable(payload: bytes, error: Exception) -> ImageError:
    """Return the error for a file whose header Pillow does not read."""
    message = one_line(error)
    if "Unsupported BMP" in message:
        form = message.partition("Unsupported BMP ")[2]
        return ImageError(
            "undecodable",
            f"a BMP form that Pillow does not read: {form}; convert it to JPEG or PNG",
        )
    return ImageError("undecodable", f"damaged {_known_format(payload) or 'image'}: {message}")


def _known_format(payload: bytes) -> str | None:
    if payload[:4] == b"RIFF" and payload[8:12] == b"WEBP":
        return "WebP"
    if _brands(payload) & _AVIF:
        return "AVIF"
    return next((name for signature, name in _KNOWN if payload.startswith(signature)), None)


def _brands(payload: bytes) -> set[bytes]:
    """Return the brands of an ISO media file, the main one and the compatible ones."""
    if payload[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(payload[:4]), len(payload), 1024)
    return {payload[8:12], *(payload[i : i + 4] for i in range(16, end, 4))}
