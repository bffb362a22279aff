"""Conversion of every Pillow mode and sample format to 8-bit RGB.

16-bit channels are divided by 257 over the full range 0..65535 and rounded (16-bit RGB: the high
byte). Signed 16-bit, 32-bit and float grey have no fixed range: their finite minimum becomes 0 and
their finite maximum 255; NaN and infinity become 0. Alpha is composited on a background. CMYK is
converted without a profile; embedded ICC profiles are ignored.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from samseg.types import Pixels

_ROWS = 64


def is_16_bit(image: Pillow.Image) -> bool:
    """Return whether an image that is not loaded yet holds unsigned 16-bit channels."""
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        return True
    coding = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    return ";16" in coding and ";16S" not in coding and ";16BS" not in coding


def to_rgb(
    image: Pillow.Image, deep: bool, background: tuple[int, int, int]
) -> tuple[Pillow.Image, str]:
    """Convert a loaded image of any mode.

    Args:
        image: the image.
        deep: whether its channels are unsigned 16-bit, from `is_16_bit`.
        background: RGB behind transparent pixels.

    Returns:
        The image in mode `RGB`, and what was changed: `16_bit`, `stretched`, `alpha_flattened`,
        `cmyk` or an empty string.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        grey = _full_range(values) if deep else _min_to_max(values)
        return Pillow.fromarray(grey).convert("RGB"), "16_bit" if deep else "stretched"
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        alpha = layer.getchannel("A")
        flat = Pillow.new("RGB", layer.size, background)
        flat.paste(layer, mask=alpha)
        return flat, "" if alpha.getextrema() == (255, 255) else "alpha_flattened"
    note = "cmyk" if image.mode == "CMYK" else "16_bit" if deep else ""
    return image if image.mode == "RGB" else image.convert("RGB"), note


def to_array(rgb: Pillow.Image) -> Pixels:
    """Copy an RGB image into a writeable (h, w, 3) uint8 array.

    Copies a few rows at a time: Pillow allocates twice the size of what it converts.
    """
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
    """Scale the finite minimum and maximum to 0 and 255; a constant image becomes black."""
    real = values.astype(np.float64)
    finite = np.isfinite(real)
    if not finite.any():
        return np.zeros(real.shape, dtype=np.uint8)
    low, high = real[finite].min(), real[finite].max()
    half = max(high / 2 - low / 2, np.finfo(np.float64).tiny)  # halves: high - low may overflow
    unit = (np.where(finite, real, low) / 2 - low / 2) / half
    return np.rint(255 * unit).astype(np.uint8)
