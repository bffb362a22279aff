"""Masks drawn over their image, in the colours of their classes.

Takes and returns numpy arrays, to show in a notebook or to save. The RLEs come from the column
`rle` of `masks`, or from `Masks.rles`. `figures` shows one class at a time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from samseg.masks.painting import dense, dense_at, layers, painted
from samseg.masks.palette import color_of
from samseg.types import NOISE, Int32, Pixels

_NO_MASK = NOISE - 1


def overlay(
    pixels: Pixels,
    rles: Sequence[Mapping[str, Any]],
    areas: Sequence[int],
    class_ids: Sequence[int],
    alpha: float = 0.45,
    contours: bool = True,
) -> Pixels:
    """Tint every mask with the colour of its class; smaller masks are drawn on top.

    Noise is not tinted; it has a thin grey outline.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        rles: n COCO compressed RLEs of the same size.
        areas: n areas in px.
        class_ids: n class ids, `NOISE` for none.
        alpha: opacity of the colours, 0 to 1.
        contours: outline every mask.

    Returns:
        (h, w, 3) uint8 RGB, a new array.
    """
    h, w = pixels.shape[:2]
    shown = painted((h, w), rles, areas, class_ids, background=_NO_MASK)
    result = tinted(pixels, shown, alpha)
    if contours:
        thick = max(1, round(max(h, w) / 500))
        for i in sorted(range(len(rles)), key=lambda i: -areas[i]):
            noise = class_ids[i] == NOISE
            color = color_of(class_ids[i])
            outline(result, dense(rles[i]), color, 1 if noise else thick)
    return result


def layer(
    size: tuple[int, int],
    rles: Sequence[Mapping[str, Any]],
    areas: Sequence[int],
    class_ids: Sequence[int],
    alpha: float = 0.5,
) -> Pixels:
    """Draw masks on a transparent ground, to lay over their image: as `overlay`, at any size.

    Args:
        size: (h, w) of the result, px.
        rles: n COCO compressed RLEs of one image.
        areas: n areas in px of that image.
        class_ids: n class ids, `NOISE` for none.
        alpha: opacity of the colours, 0 to 1.

    Returns:
        (h, w, 4) uint8 RGBA, not premultiplied.
    """
    result = np.zeros((*size, 4), np.uint8)
    thick = max(1, round(max(size) / 400))
    for i in layers(areas):
        mask, noise = dense_at(rles[i], size), class_ids[i] == NOISE
        color = color_of(class_ids[i])
        result[mask] = (*color, 0 if noise else round(255 * alpha))
        found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(result, found, -1, (*color, 255), 1 if noise else thick)
    return result


def tinted(pixels: Pixels, shown: Int32, alpha: float) -> Pixels:
    """Blend the colours of an (h, w) map of class ids into an image, except negative ids."""
    colors = np.array([color_of(i) for i in range(int(shown.max(initial=-1)) + 1)], np.uint8)
    result = pixels.copy()
    where = shown >= 0
    if where.any():
        mixed = cv2.addWeighted(pixels[where], 1 - alpha, colors[shown[where]], alpha, 0)
        result[where] = mixed
    return result


def outline(pixels: Pixels, mask: Any, color: tuple[int, int, int], thickness: int) -> None:
    """Draw an anti-aliased outline of an (h, w) bool mask, in place."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, found, -1, color, thickness, cv2.LINE_AA)
