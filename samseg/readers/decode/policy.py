"""The decode policy: its rules, its limits, and the error for each file that it refuses.

The policy is part of the recipe, so every rule is deterministic and none depends on a file's name.
`Image.note` records what was changed. A file that cannot be decoded raises `ImageError`; no
warning and no other exception escapes. Not for multi-page stacks, RAW or DICOM: convert those
before they enter the lake.

- The content determines the format. JPEG (with MPO), PNG, WEBP, TIFF, BMP, GIF, PPM, AVIF and
  JPEG 2000 are read; HEIC with the extra `heic`.
- Size limits apply before any pixel is decoded: `max_bytes` to the file, `max_pixels` to the size
  in its header.
- A damaged file is refused, even where some of its pixels could be decoded: masks of half an image
  would pass for valid results. Every PNG checksum is verified.
- EXIF orientation is applied; masks and exports refer to the upright image.
- Of an animation or a multi-page file the first frame is read; of a TIFF the first page of full
  resolution.
- `samseg.readers.decode.tiff` and `samseg.readers.decode.pixels` state how every sample format
  becomes 8-bit RGB.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Protocol

from PIL import Image as Pillow
from PIL import UnidentifiedImageError
from pydantic import ByteSize, Field

from samseg.errors import ImageError, one_line
from samseg.readers.decode import (
    bmp_masks,
    heic,
    jpeg_2000,
    jpeg_segments,
    libtiff,
    png_chunks,
    tiff,
)
from samseg.readers.decode.container import (
    DAMAGE_ERRORS,
    FORMATS,
    describe_unknown,
    is_animated,
    is_heic,
    missing_codec,
    transpose_of,
    unreadable,
    upright_transpose,
)
from samseg.readers.decode.headers import check_headers, too_many_pixels
from samseg.readers.decode.pixels import correct_transparency, is_16_bit, to_array, to_rgb
from samseg.readers.decode.samples import Range
from samseg.readers.decode.tiff_page import OLD_JPEG, TiffPage, chosen_directory, page_of, refused
from samseg.readers.decode.tiff_segments import check_segments
from samseg.readers.decode.tiff_tags import is_tiff, starting_at
from samseg.spec import Spec
from samseg.types import Image

MAX_BYTES = 64 << 20
"""Default limit on the size of one image file."""

_PILLOW_LIMIT = 178_956_970
"""Pillow refuses larger images, whatever the config allows."""

_OTHERS = tuple(format for format in FORMATS if format != "TIFF")
"""Formats that Pillow opens; TIFFs go through their tags."""

_Channel = Annotated[int, Field(ge=0, le=255)]


class FileDecoder(Protocol):
    """What decodes files: a policy itself, or one that is carried out in another process."""

    @property
    def max_bytes(self) -> int:
        """Size of the largest file that is decoded."""
        ...

    def decode(self, payload: bytes) -> Image:
        """See `DecodePolicy.decode`."""
        ...


class DecodePolicy(Spec):
    """Limits and options of decoding.

    Attributes:
        max_pixels: largest image, width x height, by its header.
        max_bytes: largest file; text such as `64MiB` is accepted.
        background: RGB behind transparent pixels.
        range: how samples of more than 8 bits become 8 bits. `full`: all values that the file
            declares, or that their type has, from 0 to 255; floats from the lowest to the highest.
            `percentile`: the 2nd to the 98th percentile of the image, for rasters and scans that
            use a small part of their type.
    """

    max_pixels: int = Field(default=50_000_000, ge=1, le=_PILLOW_LIMIT)
    max_bytes: Annotated[ByteSize, Field(ge=1)] = ByteSize(MAX_BYTES)
    background: tuple[_Channel, _Channel, _Channel] = (255, 255, 255)
    range: Range = "full"

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
                return self._read(payload)
            except Pillow.DecompressionBombError as e:
                raise ImageError("too_large", f"{e}; see `decode.max_pixels`") from e
            except UnidentifiedImageError as e:
                raise ImageError("undecodable", describe_unknown(payload)) from e
            except DAMAGE_ERRORS as e:
                raise unreadable(payload, e) from e

    def _read(self, payload: bytes) -> Image:
        check_headers(payload, self.max_pixels)
        if is_tiff(payload):
            return self._read_tiff(payload)
        if is_heic(payload):
            with heic.opened(payload) as image:
                return self._load(image, payload)
        if jpeg_segments.is_jpeg(payload):
            return self._read_jpeg(payload)
        if png_chunks.is_png(payload):
            return self._read_png(payload)
        if (header := bmp_masks.header_of(payload)) is not None:
            return self._read_bmp(payload, header)
        return self._read_with_pillow(payload)

    def _read_jpeg(self, payload: bytes) -> Image:
        try:
            try:
                return self._read_with_pillow(payload)
            except DAMAGE_ERRORS:  # of the header; an `ImageError` tells of the picture
                plain = jpeg_segments.without_metadata(payload)
                found = self._read_with_pillow(plain)
                return replace(found, note=_joined(found.note, "metadata_dropped"))
        except (ImageError, *DAMAGE_ERRORS) as e:
            coding = jpeg_segments.uncommon_coding(payload)
            if coding is None or (isinstance(e, ImageError) and e.status == "too_large"):
                raise
            raise ImageError(
                "undecodable",
                f"a JPEG {coding}, which Pillow does not decode; convert it to a JPEG of 8 bits or "
                "PNG",
            ) from e

    def _read_png(self, payload: bytes) -> Image:
        try:
            return self._read_with_pillow(payload)
        except (ImageError, *DAMAGE_ERRORS):
            if len(plain := png_chunks.without_metadata(payload)) == len(payload):
                raise
        found = self._read_with_pillow(plain)
        return replace(found, note=_joined(found.note, "metadata_dropped"))

    def _read_bmp(self, payload: bytes, header: bmp_masks.MaskedBmp) -> Image:
        self._check_size(header.width, header.height)
        try:
            pixels, notes = bmp_masks.pixels_of(payload, header, self.background)
        except ValueError as e:
            raise _damaged("BMP", header.width, header.height, e) from e
        return Image(pixels, "BMP", _joined(*notes))

    def _read_with_pillow(self, payload: bytes) -> Image:
        if (name := missing_codec(payload)) is not None:
            raise ImageError(
                "undecodable",
                f"this build of Pillow reads no {name}; install Pillow from PyPI, on every machine "
                "that labels, or convert the file",
            )
        with Pillow.open(io.BytesIO(payload), formats=_OTHERS) as image:
            return self._load(image, payload)

    def _load(self, image: Pillow.Image, payload: bytes) -> Image:
        """Decode an image that Pillow has opened, other than a TIFF."""
        self._check_size(*image.size)
        deep = is_16_bit(image)
        correct_transparency(image)
        try:
            if image.format == "PNG":
                with Pillow.open(io.BytesIO(payload), formats=("PNG",)) as copy:
                    copy.verify()
            image.load()
            rgb, notes = self._to_rgb(image, deep, payload)
        except DAMAGE_ERRORS as e:
            raise _damaged(str(image.format), *image.size, e) from e
        turn = upright_transpose(image)
        rgb = rgb if turn is None else rgb.transpose(turn)
        frames = "first_frame" if is_animated(image) else ""
        turned = "" if turn is None else "exif_rotated"
        return Image(to_array(rgb), str(image.format), _joined(frames, turned, *notes))

    def _to_rgb(
        self, image: Pillow.Image, deep: bool, payload: bytes
    ) -> tuple[Pillow.Image, tuple[str, ...]]:
        if image.format != "JPEG2000":
            return to_rgb(image, deep, self.background, self.range)
        whole, notes = jpeg_2000.corrected(image, payload, self.background, self.range)
        rgb, more = to_rgb(whole, deep, self.background, self.range)
        return rgb, (*notes, *more)

    def _read_tiff(self, payload: bytes) -> Image:
        try:
            directory, chosen = chosen_directory(payload)
            page = page_of(directory)
        except DAMAGE_ERRORS as e:
            raise ImageError("undecodable", f"damaged TIFF: {one_line(e)}") from e
        self._check_size(page.width, page.height)
        turn = transpose_of(page.orientation)
        try:
            if page.in_bytes:
                rgb, notes = tiff.rgb_of(page, self.max_pixels, self.background, self.range)
                rgb = rgb if turn is None else rgb.transpose(turn)
            else:
                rgb, notes = self._coded_pictures(payload, page)
        except DAMAGE_ERRORS as e:
            if libtiff.lacks_codec(e):
                raise refused(page, f"this build of Pillow has no {page.codec}") from e
            if page.compression == OLD_JPEG:
                raise refused(page, f"libtiff cannot decode this {page.codec}") from e
            raise _damaged("TIFF", page.width, page.height, e) from e
        turned = "" if turn is None else "exif_rotated"
        return Image(to_array(rgb), "TIFF", _joined(*chosen, turned, *notes))

    def _coded_pictures(
        self, payload: bytes, page: TiffPage
    ) -> tuple[Pillow.Image, tuple[str, ...]]:
        """Decode a TIFF page of JPEGs or the like; Pillow turns TIFFs upright by itself."""
        check_segments(page, self.max_pixels)
        whole = io.BytesIO(starting_at(payload, page.directory))
        try:
            with libtiff.errors_raised(), Pillow.open(whole, formats=("TIFF",)) as image:
                image.load()
                return to_rgb(image, False, self.background, self.range)
        except UnidentifiedImageError as e:
            raise refused(page, f"Pillow does not read these with {page.codec}") from e

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels:
            raise too_many_pixels(width, height, self.max_pixels)


def _damaged(format: str, width: int, height: int, error: Exception) -> ImageError:
    what = f"{format}, {width} x {height} px by its header"
    return ImageError("undecodable", f"damaged {what}: {one_line(error)}")


def _joined(*notes: str) -> str:
    return ",".join(filter(None, notes))


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
