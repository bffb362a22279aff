"""Samples of JPEG 2000 that do not have 8 bits.

Pillow shifts them to 8 bits: a white of 4 bits becomes 240, and a white of 9 to 16 bits, in
colours, 0. Here those of fewer bits are scaled, and OpenCV reads the deeper ones.

Source: ITU-T T.800 annex A.5.1.
"""

import functools
import struct
from types import ModuleType

import numpy as np
from PIL import Image as Pillow

from samseg.errors import ImageError
from samseg.readers.decode.samples import Range, Scale, flattened, measured_span, span_of_type

_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"
_COMPONENTS = 40
"""Where the number of components stands in a codestream."""

_SHALLOW_MODES = ("L", "LA", "RGB", "RGBA")
_DEEP_MODES = ("L", "RGB", "RGBA")


def depths_of(payload: bytes) -> tuple[int, ...]:
    """Return the bits of each component of a JPEG 2000; those of signed ones are negative."""
    at = payload.find(_START_OF_CODESTREAM) + _COMPONENTS
    (count,) = struct.unpack_from(">H", payload, at)
    found = payload[at + 2 : at + 2 + 3 * count : 3]
    return tuple(-(depth & 0x7F) - 1 if depth & 0x80 else depth + 1 for depth in found)


def corrected(
    image: Pillow.Image, payload: bytes, background: tuple[int, int, int], range_: Range
) -> tuple[Pillow.Image, tuple[str, ...]]:
    """Return a picture whose samples span 0 to 255.

    Args:
        image: the picture, loaded with Pillow.
        payload: its file.
        background: RGB behind transparent pixels.
        range_: how samples of more than 8 bits are scaled.

    Returns:
        The picture as it is, where Pillow has read it right; and what was changed: `16_bit`,
        `percentile`, `alpha_flattened` or nothing.

    Raises:
        ImageError: neither Pillow nor OpenCV reads such samples.
    """
    depths = depths_of(payload)
    most = max(map(abs, depths))
    if set(map(abs, depths)) == {8} or image.mode.startswith("I"):
        return image, ()
    if most <= 8 and image.mode in _SHALLOW_MODES and len(depths) == len(image.getbands()):
        bands = [
            band.point(_table(abs(depth)))
            for band, depth in zip(image.split(), depths, strict=True)
        ]
        return Pillow.merge(image.mode, bands), ()
    if set(depths) == {most} and image.mode in _DEEP_MODES:
        cv2 = _opencv()
        samples = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_UNCHANGED)
        if samples is not None and samples.dtype == np.uint16:
            return _scaled(samples, most, background, range_)
    listed = ", ".join(map(str, depths))
    raise ImageError(
        "undecodable",
        f"a JPEG 2000 of {listed} bits in {image.mode}, which is not read; convert it to 8 bits",
    )


def _scaled(
    samples: np.ndarray, bits: int, background: tuple[int, int, int], range_: Range
) -> tuple[Pillow.Image, tuple[str, ...]]:
    """Scale samples as OpenCV orders them, (h, w) or (h, w, 3 or 4) uint16."""
    samples = samples if samples.ndim == 3 else np.repeat(samples[..., None], 3, axis=2)
    colour = samples[..., 2::-1]
    full = span_of_type("u", bits)
    span = full if range_ == "full" else measured_span(colour, range_)
    notes = ["16_bit" if range_ == "full" else "percentile"]
    pixels = Scale(*span)(colour)
    if samples.shape[2] == 4:
        opaque = Scale(*full)(samples[..., 3])
        if opaque.min() < 255:
            pixels = flattened(pixels, opaque, background, associated=False)
            notes.append("alpha_flattened")
    return Pillow.fromarray(np.ascontiguousarray(pixels)), tuple(notes)


def _table(bits: int) -> list[int]:
    """Return what Pillow's 8 bits of a sample of fewer bits become."""
    return [round((value >> (8 - bits)) * 255 / ((1 << bits) - 1)) for value in range(256)]


@functools.cache
def _opencv() -> ModuleType:
    """Import OpenCV, which few lakes need here; what it reports of files stays out of the log."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
