"""Figures of one image: every mask, masks with their scores, one class and its pixels.

For notebooks and READMEs. `overlay` shows all classes at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samseg.masks.painting import dense, painted
from samseg.masks.palette import color_of
from samseg.types import Bool, Pixels
from samseg.views.overlay import overlay, tinted
from samseg.views.panels import side_by_side
from samseg.views.prompts import with_prompts


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


def scored(
    pixels: Pixels,
    rles: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
    points: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    box: NDArray[Any] | None = None,
    alpha: float = 0.6,
) -> Pixels:
    """Draw each mask of a prompt in a panel of its own, with its score and the prompt.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        rles: n COCO compressed RLEs of the same size, n at least 1.
        scores: n predicted IoUs.
        points: (k, 2) xy, px.
        labels: (k,), 1 inside, 0 outside.
        box: (4,) xyxy, px.
        alpha: opacity of the masks, 0 to 1.

    Returns:
        One row of n panels, uint8 RGB on white.
    """
    panels = {}
    for i, (rle, score) in enumerate(zip(rles, scores, strict=True)):
        panel = overlay(pixels, [rle], [1], [0], alpha)
        panels[f"Mask {i + 1}, score {score:.3f}"] = with_prompts(panel, points, labels, box)
    return side_by_side(panels)


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
    return side_by_side(panels)
