"""From a file's bytes to an upright RGB picture: the whole decode policy.

The policy is part of the recipe, so every rule here is deterministic and none depends on a file's
name. What it changes is noted on the picture; what it cannot read is an `ImageError`, never a
warning and never another exception. Not for files that are trusted and odd (multi-page stacks,
RAW, DICOM): convert those before they enter the lake.

The rules:

- The content decides the format, not the name. Known: JPEG (with MPO), PNG, WEBP, TIFF, BMP, GIF
  and PPM.
- Size limits hold before any pixel is decoded: `max_bytes` on the file, `max_pixels` on the size
  that its header claims.
- A damaged file is refused, even where some of its pixels could be saved: half a picture gets
  masks that look like results. Every PNG checksum is verified.
- EXIF orientation is applied; masks and exports refer to the upright picture.
- 16 bits per channel become 8 by division by 257 over the full range 0..65535, rounded (16-bit
  RGB: the high byte). Signed 16-bit, 32-bit and float grey have no fixed range: their finite
  minimum becomes 0 and their maximum 255; NaN becomes 0.
- Alpha is composited on `background`. CMYK is converted without a profile; embedded ICC profiles
  are ignored. Of an animation or a multi-page file the first frame counts.
"""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError
from pydantic import ByteSize, Field

from samseg.errors import ImageError, one_line
from samseg.spec import Spec
from samseg.types import Image, Pixels

MAX_BYTES = 64 << 20
"""Default limit on the size of one image file."""

_PILLOW_LIMIT = 178_956_970
"""Pillow refuses to open larger pictures, whatever the config says."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_ROWS = 64
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_DAMAGE = (
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
"""What Pillow raises on hostile bytes; its parsers do not keep to one error class."""

_Channel = Annotated[int, Field(ge=0, le=255)]


class DecodePolicy(Spec):
    """What becomes of a file's bytes before the model sees them.

    Attributes:
        max_pixels: largest picture, width x height, by its header.
        max_bytes: largest file; `64MiB` may be written as text.
        background: RGB that shows through transparent pixels.
    """

    max_pixels: int = Field(default=50_000_000, ge=1, le=_PILLOW_LIMIT)
    max_bytes: Annotated[ByteSize, Field(ge=1)] = ByteSize(MAX_BYTES)
    background: tuple[_Channel, _Channel, _Channel] = (255, 255, 255)

    def decode(self, payload: bytes) -> Image:
        """Decode one file.

        Args:
            payload: the whole file.

        Raises:
            ImageError: `undecodable` or `too_large`, with the reason.
        """
        if not payload:
            raise ImageError("undecodable", "the file is empty (0 bytes)")
        if len(payload) > self.max_bytes:
            raise oversized(len(payload), self.max_bytes)
        with _without_warnings():
            try:
                with Pillow.open(io.BytesIO(payload), formats=_FORMATS) as picture:
                    return self._load(picture, payload)
            except Pillow.DecompressionBombError as e:
                raise ImageError("too_large", f"{e}; see `decode.max_pixels`") from e
            except UnidentifiedImageError as e:
                raise ImageError("undecodable", _what_it_is(payload)) from e
            except _DAMAGE as e:
                raise ImageError("undecodable", f"damaged image: {one_line(e)}") from e

    def _load(self, picture: Pillow.Image, payload: bytes) -> Image:
        width, height = picture.size
        if width * height > self.max_pixels:
            raise ImageError(
                "too_large",
                f"{width} x {height} px is more than the {self.max_pixels} px that "
                "`decode.max_pixels` allows",
            )
        deep = _is_16_bit(picture)
        # Pillow itself turns TIFFs upright, and only those, when it loads them.
        turned = picture.format == "TIFF" and _orientation(picture) in _UPRIGHT
        try:
            if picture.format == "PNG":
                with Pillow.open(io.BytesIO(payload), formats=("PNG",)) as twin:
                    twin.verify()
            picture.load()
            rgb, note = self._to_rgb(picture, deep)
        except _DAMAGE as e:
            what = f"{picture.format}, {width} x {height} px by its header"
            raise ImageError("undecodable", f"damaged {what}: {one_line(e)}") from e
        if (turn := _UPRIGHT.get(_orientation(picture))) is not None:
            rgb, turned = rgb.transpose(turn), True
        notes = (
            "first_frame" if _is_animated(picture) else "",
            "exif_rotated" if turned else "",
            note,
        )
        return Image(_pixels_of(rgb), str(picture.format), ",".join(filter(None, notes)))

    def _to_rgb(self, picture: Pillow.Image, deep: bool) -> tuple[Pillow.Image, str]:
        """Convert a loaded picture of any mode; also say what that changed."""
        if picture.mode.startswith("I") or picture.mode == "F":
            values = np.asarray(picture)
            grey = _full_range(values) if deep else _min_to_max(values)
            return Pillow.fromarray(grey).convert("RGB"), "16_bit" if deep else "stretched"
        if picture.has_transparency_data:
            layer = picture.convert("RGBA")
            alpha = layer.getchannel("A")
            flat = Pillow.new("RGB", layer.size, self.background)
            flat.paste(layer, mask=alpha)
            return flat, "" if alpha.getextrema() == (255, 255) else "alpha_flattened"
        note = "cmyk" if picture.mode == "CMYK" else "16_bit" if deep else ""
        return picture if picture.mode == "RGB" else picture.convert("RGB"), note


def oversized(size: int, limit: int) -> ImageError:
    """Return the error of a file that is larger than `limit` bytes."""
    return ImageError(
        "too_large", f"{size} bytes is more than the {int(limit)} that `decode.max_bytes` allows"
    )


def _pixels_of(rgb: Pillow.Image) -> Pixels:
    """Copy a picture by a few rows at a time, for Pillow holds twice over what it hands out."""
    width, height = rgb.size
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        pixels[top:bottom] = np.asarray(rgb.crop((0, top, width, bottom)))
    return pixels


def _full_range(values: NDArray[Any]) -> Pixels:
    """Scale 0..65535 to 0..255."""
    return ((values.astype(np.uint32) + 128) // 257).clip(0, 255).astype(np.uint8)


def _min_to_max(values: NDArray[Any]) -> Pixels:
    """Scale the finite minimum and maximum to 0 and 255; a constant picture is black."""
    real = values.astype(np.float64)
    finite = np.isfinite(real)
    if not finite.any():
        return np.zeros(real.shape, dtype=np.uint8)
    low, high = real[finite].min(), real[finite].max()
    half = max(high / 2 - low / 2, np.finfo(np.float64).tiny)  # halves: high - low may overflow
    unit = (np.where(finite, real, low) / 2 - low / 2) / half
    return np.rint(255 * unit).astype(np.uint8)


def _orientation(picture: Pillow.Image) -> int:
    """Return the EXIF orientation; damaged EXIF counts as none."""
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except _DAMAGE:
        return 1


def _is_animated(picture: Pillow.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except _DAMAGE:  # a damaged second frame does not concern us
        return False


def _is_16_bit(picture: Pillow.Image) -> bool:
    """Tell whether a picture not yet loaded holds unsigned 16-bit channels."""
    if picture.mode == "I" and picture.format in ("PNG", "PPM"):
        return True
    coding = " ".join(str(tile[3]) for tile in getattr(picture, "tile", ()))
    return ";16" in coding and ";16S" not in coding and ";16BS" not in coding


_SIGNS = (
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


def _what_it_is(payload: bytes) -> str:
    """Say what a file that is no known image seems to be."""
    head = payload[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if payload[4:8] == b"ftyp":
        brand = payload[8:12].decode("ascii", "replace").strip()
        return f"an ISO media file ({brand}: HEIC, AVIF or video); convert it to JPEG or PNG"
    for sign, name in _SIGNS:
        if head.startswith(sign):
            name = "an SVG drawing" if b"<svg" in head else name
            return f"not an image: {name}, {len(payload)} bytes"
    known = ", ".join(_FORMATS)
    return f"not an image of a known format ({known}); it begins with {payload[:8]!r}"


_lock = threading.Lock()
_inside = 0
_silence = warnings.catch_warnings()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Ignore Pillow's warnings while any thread is inside.

    `warnings.catch_warnings` saves and restores global state, so threads that decode at the same
    time must share one: the first enters it, the last leaves it.
    """
    global _inside, _silence
    with _lock:
        if _inside == 0:
            _silence = warnings.catch_warnings()
            _silence.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _silence.__exit__(None, None, None)
