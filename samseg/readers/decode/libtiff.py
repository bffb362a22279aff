"""Pillow's libtiff: what it reports, and its decompression of streams of bytes."""

import ctypes
import functools
import io
import re
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError, _imaging

from samseg.types import Pixels

_PIXEL_BYTES = {4: 5, 3: 2, 1: 1}
"""PhotometricInterpretation of a picture of 8 bits, by its bytes per pixel."""

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_PLACEHOLDER = re.compile(r"%[-+.\d]*[a-z]+")
_HARMLESS = "thus tag is not read from file"
"""What libtiff says of a tag that it does not know, and then reads the picture."""

_reported = threading.local()


@contextmanager
def errors_raised() -> Iterator[None]:
    """Raise what libtiff reports as errors in this thread; it writes nothing to stderr any more.

    Of some damage (a bad code word of a fax) it says so, and succeeds.

    Raises:
        OSError: libtiff has reported an error. The numbers in its message are left out.
    """
    _listen()
    _reported.message = ""
    try:
        yield
    except UnidentifiedImageError:
        raise
    except OSError as e:
        raise OSError(_reported.message or str(e)) from e
    if _reported.message:
        raise OSError(_reported.message)


def lacks_codec(error: Exception) -> bool:
    """Return whether an error says that libtiff was built without a codec, as some wheels are."""
    return "support is not configured" in str(error)


@functools.cache
def _listen() -> None:
    """Let libtiff call `_record` in place of writing its errors to stderr.

    It has one handler for the whole process, so it is set once and never restored. Pillow drops
    the warnings, but gives no access to the errors. Where Pillow holds libtiff without exporting
    its functions (the Windows wheels), nothing changes.
    """
    library = ctypes.CDLL(_imaging.__file__)
    if (setter := getattr(library, "TIFFSetErrorHandler", None)) is not None:
        setter.argtypes, setter.restype = [_HANDLER], ctypes.c_void_p
        setter(_record)


@_HANDLER
def _record(module: bytes | None, form: bytes | None, values: int | None) -> None:
    """Keep the first message in this thread; its numbers are of a type that Python cannot read."""
    text = _PLACEHOLDER.sub("…", (form or b"").decode("ascii", "replace"))
    if _HARMLESS not in text and not getattr(_reported, "message", ""):
        _reported.message = f"libtiff: {text}"


def decompressed(
    compression: int, strips: Sequence[bytes], row_bytes: int, rows: int, rows_per_strip: int
) -> Pixels:
    """Decompress strips of bytes by wrapping them into a TIFF of 8 bits for Pillow.

    Args:
        compression: value of the tag Compression, of a codec of bytes.
        strips: the compressed strips, of `rows_per_strip` rows each but for the last.
        row_bytes: bytes in a row.
        rows: rows in all.
        rows_per_strip: rows in a strip.

    Returns:
        (rows, row_bytes) uint8.

    Raises:
        OSError: the strips are damaged.
        PIL.Image.DecompressionBombError: these are more bytes than Pillow decodes at once.
    """
    width = next(n for n in _PIXEL_BYTES if row_bytes % n == 0)
    sizes = [len(strip) for strip in strips]
    offsets = (8 + np.cumsum([0, *sizes])).tolist()
    wrapped = io.BytesIO()
    wrapped.write(struct.pack("<2sHL", b"II", 42, offsets[-1]))
    wrapped.writelines(strips)
    fields = (
        (256, (row_bytes // width,)),
        (257, (rows,)),
        (258, (8,) * width),
        (259, (compression,)),
        (262, (_PIXEL_BYTES[width],)),
        (273, tuple(offsets[:-1])),
        (277, (width,)),
        (278, (rows_per_strip,)),
        (279, tuple(sizes)),
    )
    values_at = offsets[-1] + 2 + 12 * len(fields) + 4
    entries, values = struct.pack("<H", len(fields)), b""
    for tag, numbers in fields:
        packed = struct.pack(f"<{len(numbers)}L", *numbers)
        inline = packed if len(numbers) == 1 else struct.pack("<L", values_at + len(values))
        values += b"" if len(numbers) == 1 else packed
        entries += struct.pack("<HHL", tag, 4, len(numbers)) + inline
    wrapped.write(entries + struct.pack("<L", 0) + values)
    wrapped.seek(0)
    with errors_raised(), Pillow.open(wrapped, formats=("TIFF",)) as image:
        return np.asarray(image).reshape(rows, row_bytes)
