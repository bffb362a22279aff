"""Pictures side by side, each under its title."""

from collections.abc import Mapping

import cv2
import numpy as np

from samseg.types import Pixels

_GAP = 12
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 44)


def side_by_side(panels: Mapping[str, Pixels]) -> Pixels:
    """Draw pictures of one size in a row.

    Args:
        panels: n (h, w, 3) uint8 RGB pictures by title, n at least 1; titles in ASCII, because the
            font has no other letters. A title wider than its picture is drawn smaller.

    Returns:
        (h + caption, n w + gaps, 3) uint8 RGB on white.
    """
    h, w = next(iter(panels.values())).shape[:2]
    scale = max(0.4, w / 600)
    band = round(34 * scale) + _GAP
    n = len(panels)
    page = np.full((h + band + _GAP, n * w + (n + 1) * _GAP, 3), _BACKGROUND, np.uint8)
    for i, (title, panel) in enumerate(panels.items()):
        x = _GAP + i * (w + _GAP)
        page[band : band + h, x : x + w] = panel
        font = cv2.FONT_HERSHEY_SIMPLEX
        thick = max(1, round(scale * 1.6))
        width = cv2.getTextSize(title, font, scale, thick)[0][0]
        fits = scale * min(1.0, (w - 4 * thick) / max(width, 1))
        at = (x + thick, band - round(12 * scale))  # strokes reach beyond their text
        cv2.putText(page, title, at, font, fits, _INK, thick, cv2.LINE_AA)
    return page
