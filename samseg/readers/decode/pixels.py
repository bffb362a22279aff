"""Conversion of every Pillow mode to 8-bit RGB.

16-bit grey is divided by 257 over the full range 0..65535 and rounded; of 16-bit colours Pillow
keeps the high byte, or rounds (PPM). Float grey (PFM) has no fixed range: its finite minimum
becomes 0 and its finite maximum 255; NaN and infinity become 0. With `decode.range` `percentile`
16-bit and float grey are scaled by percentiles instead. Alpha is composited on a background. CMYK
is converted without a profile; embedded ICC profiles are ignored. TIFFs of samples do not come
here: see `tiff`. Samples of JPEG 2000 that do not have 8 bits are scaled before: see `jpeg_2000`.
"""

import numpy as np
from PIL import Image as Pillow

from samseg.readers.decode.samples import Range, Scale, flattened, measured_span, span_of_type
from samseg.types import Pixels

_ROWS = 64


def is_16_bit(image: Pillow.Image) -> bool:
    """Return whether an image that is not loaded yet holds channels of 9 to 16 unsigned bits."""
    codings = [tile[3] for tile in getattr(image, "tile", ())]
    if image.format == "PPM" and any(isinstance(c, tuple) and c[1] > 255 for c in codings):
        return True  # (mode, maxval)
    return image.mode.startswith("I") or ";16" in " ".join(map(str, codings))


def correct_transparency(image: Pillow.Image) -> None:
    """Correct the transparent value of a PNG that is not loaded yet, where Pillow misreads it.

    Pillow expands 2 and 4 bits of grey to 8 but not the value, and compares a 16-bit colour with
    the high bytes that it keeps; that colour is ignored.
    """
    coding = [str(tile[3]) for tile in getattr(image, "tile", ())]
    clear = image.info.get("transparency")
    if isinstance(clear, int) and coding and coding[0] in ("L;2", "L;4"):
        image.info["transparency"] = clear * (85 if coding[0] == "L;2" else 17)
    if isinstance(clear, tuple) and is_16_bit(image):
        del image.info["transparency"]


def to_rgb(
    image: Pillow.Image, deep: bool, background: tuple[int, int, int], range_: Range
) -> tuple[Pillow.Image, tuple[str, ...]]:
    """Convert a loaded image of any mode.

    Args:
        image: the image.
        deep: whether its channels are unsigned 16-bit, from `is_16_bit`.
        background: RGB behind transparent pixels.
        range_: how 16-bit and float grey is scaled.

    Returns:
        The image in mode `RGB`, and what was changed: `16_bit`, `stretched`, `percentile`,
        `alpha_flattened`, `cmyk` or nothing.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _from_grey(image, deep, background, range_)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        alpha = layer.getchannel("A")
        flat = Pillow.new("RGB", layer.size, background)
        flat.paste(layer, mask=alpha)
        return flat, () if alpha.getextrema() == (255, 255) else ("alpha_flattened",)
    notes = ("cmyk",) if image.mode == "CMYK" else ("16_bit",) if deep else ()
    return image if image.mode == "RGB" else image.convert("RGB"), notes


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


def _from_grey(
    image: Pillow.Image, deep: bool, background: tuple[int, int, int], range_: Range
) -> tuple[Pillow.Image, tuple[str, ...]]:
    """Convert 16-bit or float grey, of which one value may be transparent."""
    values = np.asarray(image)
    values = values.astype(np.uint16) if deep else values
    if deep and range_ == "full":
        span, notes = span_of_type("u", 16), ["16_bit"]
    else:
        span = measured_span(values[..., None], range_)
        notes = ["percentile" if range_ == "percentile" else "stretched"]
    grey = Scale(*span)(values)
    clear = image.info.get("transparency")
    if isinstance(clear, int) and (values == clear).any():
        colour = np.repeat(grey[..., None], 3, axis=2)
        opaque = np.where(values == clear, 0, 255).astype(np.uint8)
        flat = flattened(colour, opaque, background, associated=False)
        return Pillow.fromarray(flat), (*notes, "alpha_flattened")
    return Pillow.fromarray(grey).convert("RGB"), tuple(notes)
