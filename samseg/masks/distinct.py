"""Which masks of one image show different objects."""

from collections.abc import Mapping, Sequence
from typing import Any

SAME_OBJECT = 0.5
"""IoU from which two masks are taken for one object, as where COCO matches masks."""


def distinct(rles: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the positions of masks that are of no object of a mask before them.

    Args:
        rles: COCO compressed RLEs of masks of one image, the preferred ones first; `counts` may be
            text or bytes.
    """
    from pycocotools import mask as coco

    codes = [
        {"size": rle["size"], "counts": c.encode() if isinstance(c := rle["counts"], str) else c}
        for rle in rles
    ]
    kept: list[int] = []
    for i, code in enumerate(codes):
        before = [codes[k] for k in kept]
        if not before or coco.iou([code], before, [0] * len(before)).max() < SAME_OBJECT:
            kept.append(i)
    return kept
