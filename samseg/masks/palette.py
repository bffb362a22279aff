"""Class colours, the same in all images, exports, figures and reports.

A colour depends only on the class id, so a class keeps its colour from night to night.
"""

import colorsys

import numpy as np

from samseg.types import NOISE, Pixels

_GOLDEN = 0.618033988749895
"""Hue step between successive ids, fraction of the circle; spreads any number of ids evenly."""


def color_of(class_id: int) -> tuple[int, int, int]:
    """Return the RGB colour of a class, 0 to 255; noise is grey."""
    if class_id == NOISE:
        return (128, 128, 128)
    hue = (0.02 + class_id * _GOLDEN) % 1.0
    ring = class_id // 12 % 3
    r, g, b = colorsys.hsv_to_rgb(hue, (0.75, 0.55, 0.95)[ring], (0.95, 0.85, 0.65)[ring])
    return (round(r * 255), round(g * 255), round(b * 255))


def table_of(count: int) -> Pixels:
    """Return (count, 3) uint8 RGB: row 0 is black (no class), row i + 1 is class i."""
    rows = [(0, 0, 0), *(color_of(i) for i in range(count - 1))]
    return np.array(rows[:count], dtype=np.uint8)
