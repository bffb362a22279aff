"""TIFF pages of samples to 8-bit RGB; pages of coded pictures are left to Pillow.

Colours are scaled linearly from a range to 0..255. It is, with `decode.range` `full`:

- of unsigned and signed samples: SMinSampleValue to SMaxSampleValue where the tags are there, else
  all values of their BitsPerSample; up to 8 unsigned bits always the latter;
- of floating-point samples: these two tags where both are there, else the lowest to the highest
  finite sample of all colours.

With `percentile` it is, for grey and RGB of more than 8 bits or signed and without associated
alpha, the 2nd to the 98th percentile of the finite samples of all colours.

Samples equal to GDAL_NODATA are left out where values are measured, and become 0. WhiteIsZero is
inverted at every depth. CIELab is converted from a D50 white to sRGB. Alpha spans 0 to the highest
value of its type or SMaxSampleValue, or 0 to 1 in floats.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from samseg.readers.decode.samples import (
    Range,
    Scale,
    flattened,
    measured_span,
    span_of_type,
)
from samseg.readers.decode.tiff_page import (
    ASSOCIATED,
    BLACK_IS_ZERO,
    CIELAB,
    CMYK,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    TiffPage,
)
from samseg.readers.decode.tiff_segments import samples_of
from samseg.types import Pixels

_COLOR_MAP, _S_MIN, _S_MAX, _GDAL_NODATA = 320, 340, 341, 42113


def rgb_of(
    page: TiffPage, max_pixels: int, background: tuple[int, int, int], range_: Range
) -> tuple[Pillow.Image, tuple[str, ...]]:
    """Read a page of which `TiffPage.in_bytes` is true.

    Args:
        page: the page.
        max_pixels: its segments may hold eight bytes for each of these.
        background: RGB behind transparent pixels.
        range_: how samples of more than 8 bits are scaled.

    Returns:
        The image in mode `RGB`, not turned upright, and what was changed: `12_bit`, `16_bit` ...,
        `16_bit_signed` ..., `stretched`, `percentile`, `sample_range`, `nodata`, `cmyk`,
        `cielab`, `extra_samples_ignored`, `alpha_flattened`.

    Raises:
        ImageError: it takes too much memory, or its predictor is not read.
        ValueError, OSError, LookupError, zlib.error, lzma.LZMAError: it is damaged.
    """
    colours = tuple(range(page.colours))
    alpha = () if page.alpha is None else (page.alpha,)
    samples = samples_of(page, colours + alpha, max_pixels)
    ignored = len(page.extra) > len(alpha)
    notes = ["extra_samples_ignored"] if ignored else []
    if page.photometric == PALETTE:
        colour = _color_map(page)[samples[..., 0]]
    elif page.photometric == CIELAB:
        colour = _from_cielab(samples[..., :3])
        notes = ["cielab", *notes]
    else:
        scale, scaled = _scale_of(page, samples[..., : page.colours], range_)
        colour = _as_rgb(page, scale(samples[..., : page.colours]))
        notes = [*scaled, *(["cmyk"] if page.photometric == CMYK else []), *notes]
    if alpha:
        opaque = Scale(0.0, _opaque(page))(samples[..., -1])
        if opaque.min() < 255:
            associated = page.extra[alpha[0] - page.colours] == ASSOCIATED
            colour = flattened(colour, opaque, background, associated)
            notes.append("alpha_flattened")
    return Pillow.fromarray(np.ascontiguousarray(colour)), tuple(notes)


def _scale_of(page: TiffPage, samples: NDArray[Any], range_: Range) -> tuple[Scale, list[str]]:
    """Return the scale of the colours of a page, and notes on it."""
    plain = page.kind == "u" and page.bits <= 8
    tagged = None if plain else _tagged_span(page)
    grey_or_rgb = page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
    stretched = range_ == "percentile" and grey_or_rgb and ASSOCIATED not in page.extra
    stretched = stretched and not plain
    depth = [] if plain else [f"{page.bits}_bit{'_signed' if page.kind == 'i' else ''}"]
    nodata = None
    if stretched or (page.kind == "f" and tagged is None):
        nodata = _nodata(page)
        low, high = measured_span(samples, "percentile" if stretched else "full", nodata)
        notes = ["percentile" if stretched else "stretched"]
        notes += [] if nodata is None else ["nodata"]
    elif tagged is not None:
        (low, high), notes = tagged, [*depth, "sample_range"]
    else:
        (low, high), notes = span_of_type(page.kind, page.bits), depth
    if page.photometric == WHITE_IS_ZERO:
        low, high = high, low
    return Scale(low, high, nodata), notes


def _tagged_span(page: TiffPage) -> tuple[float, float] | None:
    """Return SMinSampleValue to SMaxSampleValue, over all samples, if that is a range."""
    lows, highs = page.directory.values(_S_MIN), page.directory.values(_S_MAX)
    if {lows.dtype.kind, highs.dtype.kind} - set("uif"):
        return None
    if page.kind == "f":
        if not (len(lows) and len(highs)):
            return None
        least, most = -math.inf, math.inf
    elif not (len(lows) or len(highs)):
        return None
    else:
        least, most = span_of_type(page.kind, page.bits)
    low = float(lows.min()) if len(lows) else least
    high = float(highs.max()) if len(highs) else most
    valid = math.isfinite(low) and math.isfinite(high) and least <= low < high <= most
    return (low, high) if valid else None


def _opaque(page: TiffPage) -> float:
    """Return the value of an opaque alpha sample."""
    if page.kind == "f":
        return 1.0
    tagged = None if page.bits <= 8 else _tagged_span(page)
    return (tagged or span_of_type(page.kind, page.bits))[1]


def _nodata(page: TiffPage) -> float | None:
    """Return the value of GDAL's tag, if it holds a finite number."""
    try:
        found = float(page.directory.text(_GDAL_NODATA))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _color_map(page: TiffPage) -> Pixels:
    """Return the palette, (2**bits, 3) uint8: the high byte of each entry.

    Some writers store 8-bit entries: where none is above 255, each is taken as it is.

    Raises:
        ValueError: it has too few entries.
    """
    entries = page.directory.values(_COLOR_MAP)
    if len(entries) < 3 << page.bits or entries.dtype != np.uint16:
        raise ValueError(f"its palette has {len(entries)} of {3 << page.bits} entries")
    table = entries[: 3 << page.bits].reshape(3, -1).T
    return (table if table.max() < 256 else table >> 8).astype(np.uint8)


def _as_rgb(page: TiffPage, colour: Pixels) -> Pixels:
    """Convert colours of 8 bits, (h, w, 1 to 4), to RGB, (h, w, 3)."""
    if page.photometric in (CMYK, YCBCR):
        mode = "CMYK" if page.photometric == CMYK else "YCbCr"
        bands = [Pillow.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(colour, 2, 0)]
        return np.asarray(Pillow.merge(mode, bands).convert("RGB"))
    return colour if page.photometric == RGB else np.repeat(colour, 3, axis=2)


def _from_cielab(samples: NDArray[Any]) -> Pixels:
    """Convert CIELab of 8 or 16 bits, (h, w, 3), to sRGB: a and b are signed, L spans 0 to 100."""
    deep = samples.dtype == np.uint16
    lightness = Scale(*span_of_type("u", 16 if deep else 8))(samples[..., 0])
    chroma = np.ascontiguousarray(samples[..., 1:])
    if deep:
        chroma = ((chroma.view(np.int16).astype(np.int32) + 128) >> 8).clip(-128, 127)
    a, b = np.moveaxis(chroma.astype(np.uint8) ^ 0x80, 2, 0)
    bands = (lightness, a, b)
    lab = Pillow.merge("LAB", [Pillow.fromarray(np.ascontiguousarray(band)) for band in bands])
    source, target = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, target, "LAB", "RGB")
    return np.asarray(ImageCms.applyTransform(lab, transform))
