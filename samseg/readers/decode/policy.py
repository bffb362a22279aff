"""The decode policy: its rules, its limits, and the error for each file that it refuses.

The policy is part of the recipe, so every rule is deterministic and none depends on a file's name.
`Image.note` records what was changed. A file that cannot be decoded raises `ImageError`; no
warning and no other exception escapes. Not for multi-page stacks, RAW or DICOM: convert those
before they enter the lake.

- The content determines the format. JPEG (with MPO), PNG, WEBP, TIFF, BMP, GIF and PPM are read.
- Size limits apply before any pixel is decoded: `max_bytes` to the file, `max_pixels` to the size
  in its header.
- A damaged file is refused, even where some of its pixels could be decoded: masks of half an image
  would pass for valid results. Every PNG checksum is verified.
- EXIF orientation is applied; masks and exports refer to the upright image.
- Of an animation or a multi-page file the first frame is read.
- `samseg.readers.decode.pixels` converts every sample format to 8-bit RGB.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from PIL import Image as Pillow
from PIL import UnidentifiedImageError
from pydantic import ByteSize, Field

from samseg.errors import ImageError, one_line
from samseg.readers.decode.container import (
    DAMAGE_ERRORS,
    FORMATS,
    describe_unknown,
    is_animated,
    upright_transpose,
)
from samseg.readers.decode.pixels import is_16_bit, to_array, to_rgb
from samseg.spec import Spec
from samseg.types import Image

MAX_BYTES = 64 << 20
"""Default limit on the size of one image file."""

_PILLOW_LIMIT = 178_956_970
"""Pillow refuses larger images, whatever the config allows."""

_Channel = Annotated[int, Field(ge=0, le=255)]


class DecodePolicy(Spec):
    """Limits and options of decoding.

    Attributes:
        max_pixels: largest image, width x height, by its header.
        max_bytes: largest file; text such as `64MiB` is accepted.
        background: RGB behind transparent pixels.
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
        with _pillow_warnings_ignored():
            try:
                with Pillow.open(io.BytesIO(payload), formats=FORMATS) as image:
                    return self._decode(image, payload)
            except Pillow.DecompressionBombError as e:
                raise ImageError("too_large", f"{e}; see `decode.max_pixels`") from e
            except UnidentifiedImageError as e:
                raise ImageError("undecodable", describe_unknown(payload)) from e
            except DAMAGE_ERRORS as e:
                raise ImageError("undecodable", f"damaged image: {one_line(e)}") from e

    def _decode(self, image: Pillow.Image, payload: bytes) -> Image:
        width, height = image.size
        if width * height > self.max_pixels:
            raise ImageError(
                "too_large",
                f"{width} x {height} px is more than the {self.max_pixels} px that "
                "`decode.max_pixels` allows",
            )
        deep = is_16_bit(image)
        # Pillow turns TIFFs upright when it loads them, but no other format.
        turned = image.format == "TIFF" and upright_transpose(image) is not None
        try:
            if image.format == "PNG":
                with Pillow.open(io.BytesIO(payload), formats=("PNG",)) as copy:
                    copy.verify()
            image.load()
            rgb, note = to_rgb(image, deep, self.background)
        except DAMAGE_ERRORS as e:
            what = f"{image.format}, {width} x {height} px by its header"
            raise ImageError("undecodable", f"damaged {what}: {one_line(e)}") from e
        if (transpose := upright_transpose(image)) is not None:
            rgb, turned = rgb.transpose(transpose), True
        notes = (
            "first_frame" if is_animated(image) else "",
            "exif_rotated" if turned else "",
            note,
        )
        return Image(to_array(rgb), str(image.format), ",".join(filter(None, notes)))


def oversized(size: int, limit: int) -> ImageError:
    """Return the error for a file of more than `limit` bytes."""
    return ImageError(
        "too_large", f"{size} bytes is more than the {int(limit)} that `decode.max_bytes` allows"
    )


_lock = threading.Lock()
_active = 0
_filters = warnings.catch_warnings()


@contextmanager
def _pillow_warnings_ignored() -> Iterator[None]:
    """Ignore Pillow's warnings while any thread decodes.

    `warnings.catch_warnings` saves and restores global state, so threads that decode at the same
    time must share one instance: the first thread enters it and the last one exits it.
    """
    global _active, _filters
    with _lock:
        if _active == 0:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _active += 1
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            if _active == 0:
                _filters.__exit__(None, None, None)
