"""Thumbnails for HTML pages: crops around one mask, and scaled images, re-encoded as WebP.

Re-encoding makes an image of unknown origin safe to embed: only its pixels are kept.
"""

import base64
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from samseg.masks.painting import dense
from samseg.types import Bool, Pixels
from samseg.views.overlay import outline

_MIN_SIDE = 24


def exemplar(
    pixels: Pixels,
    rle: Mapping[str, Any],
    color: tuple[int, int, int],
    side: int = 144,
    context: float = 0.3,
) -> Pixels:
    """Crop a square around one mask, with the mask outlined and its surroundings dimmed.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        rle: COCO compressed RLE of the same size.
        color: RGB of the outline.
        side: side of the result, px.
        context: margin on each side, as a fraction of the mask's longer side.

    Returns:
        (side, side, 3) uint8 RGB. A mask longer than the image's shorter side is cropped.
    """
    mask = dense(rle)
    square = _square(mask, context)
    inside = mask[square].astype(np.float32)
    method = cv2.INTER_AREA if len(inside) > side else cv2.INTER_CUBIC
    crop = cv2.resize(pixels[square], (side, side), interpolation=method)
    soft = cv2.resize(inside, (side, side), interpolation=cv2.INTER_LINEAR)
    gray = crop.mean(axis=2, keepdims=True)
    dimmed = (0.4 * crop + 0.6 * gray) * 0.55 + 26
    result = np.where(soft[..., None] > 0.5, crop, dimmed).astype(np.uint8)
    outline(result, soft > 0.5, color, 2)
    return result


def shrunk(pixels: Pixels, longest: int) -> Pixels:
    """Scale an image down so that no side exceeds `longest` px; never enlarge it."""
    h, w = pixels.shape[:2]
    scale = longest / max(h, w)
    if scale >= 1:
        return pixels
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def data_uri(pixels: Pixels, quality: int = 72) -> str:
    """Encode (h, w, 3) uint8 RGB as WebP in a `data:` URI."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def layer_uri(layer: Pixels) -> str:
    """Encode (h, w, 4) uint8 RGBA as lossless WebP in a `data:` URI."""
    bgra = cv2.cvtColor(layer, cv2.COLOR_RGBA2BGRA)
    _, encoded = cv2.imencode(".webp", bgra, [cv2.IMWRITE_WEBP_QUALITY, 101])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def _square(mask: Bool, context: float) -> tuple[slice, slice]:
    """Return rows and columns of a square around a mask, limited by the image."""
    h, w = mask.shape
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(ys):
        ys, xs = np.arange(h), np.arange(w)
    longest = max(ys[-1] - ys[0], xs[-1] - xs[0]) + 1
    side = min(max(_MIN_SIDE, round(longest * (1 + 2 * context))), h, w)

    def centred(along: Any, limit: int) -> slice:
        start = int(along[0] + along[-1] + 1 - side) // 2
        start = min(max(start, 0), limit - side)
        return slice(start, start + side)

    return centred(ys, h), centred(xs, w)
