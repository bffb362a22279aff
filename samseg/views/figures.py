"""Figures of one image: every mask, the map of one class, the pixels of one class.

For notebooks and READMEs. `overlay` shows all classes at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from samseg.masks.painting import dense, painted
from samseg.masks.palette import color_of
from samseg.types import Bool, Pixels
from samseg.views.overlay import tinted

_GAP = 12
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 44)


def every_mask(
    pixels: Pixels, rles: Sequence[Mapping[str, Any]], areas: Sequence[int], alpha: float = 0.6
) -> Pixels:
    """Draw each mask in its own colour, regardless of class: (h, w, 3) uint8 RGB."""
    h, w = pixels.shape[:2]
    return tinted(pixels, painted((h, w), rles, areas, range(len(rles)), background=-1), alpha)


def class_mask(
    size: tuple[int, int],
    rles: Sequence[Mapping[str, Any]],
    class_ids: Sequence[int],
    class_id: int,
) -> Bool:
    """Return the union of the masks of one class: (h, w) bool."""
    union = np.zeros(size, dtype=np.bool_)
    for rle, found in zip(rles, class_ids, strict=True):
        if found == class_id:
            union |= dense(rle)
    return union


def class_map(mask: Bool, class_id: int) -> Pixels:
    """Draw an (h, w) bool mask in the colour of a class on black: (h, w, 3) uint8 RGB."""
    return np.where(mask[..., None], np.array(color_of(class_id), np.uint8), np.uint8(0))


def cut_out(pixels: Pixels, mask: Bool) -> Pixels:
    """Set the pixels outside an (h, w) bool mask to black: (h, w, 3) uint8 RGB."""
    return np.where(mask[..., None], pixels, np.uint8(0))


def triptych(
    pixels: Pixels,
    rles: Sequence[Mapping[str, Any]],
    class_ids: Sequence[int],
    class_id: int,
    name: str = "",
) -> Pixels:
    """Draw the input, the semantic map of one class, and that class extracted, side by side.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        rles: n COCO compressed RLEs of the same size.
        class_ids: n class ids.
        class_id: the class to show.
        name: the class's caption; ASCII, because the font has no other letters.

    Returns:
        (h + caption, 3 w + gaps, 3) uint8 RGB on white.
    """
    h, w = pixels.shape[:2]
    mask = class_mask((h, w), rles, class_ids, class_id)
    name = name or f"class {class_id}"
    panels = {
        "Input": pixels,
        f"Semantic map: {name}": class_map(mask, class_id),
        f"Extracted: {name}": cut_out(pixels, mask),
    }
    scale = max(0.4, min(w / 600, 1.2))
    band = round(34 * scale) + _GAP
    page = np.full((h + band + _GAP, 3 * w + 4 * _GAP, 3), _BACKGROUND, np.uint8)
    for i, (title, panel) in enumerate(panels.items()):
        x = _GAP + i * (w + _GAP)
        page[band : band + h, x : x + w] = panel
        font = cv2.FONT_HERSHEY_SIMPLEX
        thick = max(1, round(scale * 1.6))
        width = cv2.getTextSize(title, font, scale, thick)[0][0]
        fits = scale * min(1.0, w / max(width, 1))
        at = (x, band - round(12 * scale))
        cv2.putText(page, title, at, font, fits, _INK, thick, cv2.LINE_AA)
    return page
