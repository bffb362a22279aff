"""Prompts drawn over their image: green for inside and for boxes, red for outside."""

from typing import Any

import cv2
from numpy.typing import NDArray

from samseg.types import Pixels

_INSIDE, _OUTSIDE, _EDGE = (40, 200, 60), (225, 45, 45), (255, 255, 255)


def with_prompts(
    pixels: Pixels,
    points: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    box: NDArray[Any] | None = None,
) -> Pixels:
    """Draw the points and the box of one prompt.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        points: (k, 2) xy, px.
        labels: (k,), 1 inside, 0 outside; all inside if None.
        box: (4,) xyxy, px.

    Returns:
        (h, w, 3) uint8 RGB, a new array.
    """
    result = pixels.copy()
    unit = max(1, round(max(pixels.shape[:2]) / 400))
    if box is not None:
        x0, y0, x1, y1 = (round(float(v)) for v in box)
        cv2.rectangle(result, (x0, y0), (x1, y1), _EDGE, 3 * unit, cv2.LINE_AA)
        cv2.rectangle(result, (x0, y0), (x1, y1), _INSIDE, unit, cv2.LINE_AA)
    for i, point in enumerate(() if points is None else points):
        at = (round(float(point[0])), round(float(point[1])))
        color = _INSIDE if labels is None or labels[i] == 1 else _OUTSIDE
        cv2.circle(result, at, 5 * unit, _EDGE, -1, cv2.LINE_AA)
        cv2.circle(result, at, 4 * unit, color, -1, cv2.LINE_AA)
    return result
