"""Which mask is part of which: a wheel belongs to a car, a car to nothing.

Works on run-length encodings alone, so it needs no pixels and no torch. It says nothing about
masks that merely overlap.
"""

import numpy as np

from samseg.types import Int32, Masks


def parents(masks: Masks, inside: float = 0.9) -> tuple[Int32, Int32]:
    """Find for each mask the smallest mask that it is a part of.

    A parent is at least `1 / inside` times as large and contains at least the fraction `inside`
    of the part.

    Args:
        masks: n masks of one image.
        inside: in (0, 1].

    Returns:
        (n,) int32 position of the parent or -1, and (n,) int32 depth: 0 without parent, else one
        more than the parent's.
    """
    from pycocotools import mask as coco

    n = len(masks)
    parent = np.full(n, -1, dtype=np.int32)
    depth = np.zeros(n, dtype=np.int32)
    if n < 2:
        return parent, depth
    areas = masks.areas
    # with `iscrowd` the "IoU" is the intersection over the area of the first mask
    contained = coco.iou(list(masks.rles), list(masks.rles), [1] * n)
    by_area = np.argsort(areas, kind="stable")
    larger = (areas[None, :] > areas[:, None]) & (areas[None, :] * inside >= areas[:, None])
    holds = larger & (contained >= inside) & (areas[:, None] > 0)
    ordered = holds[:, by_area]
    has = ordered.any(axis=1)
    parent[has] = by_area[ordered.argmax(axis=1)][has]
    for i in by_area[::-1]:  # a parent is larger, so its depth is known before its parts'
        if parent[i] >= 0:
            depth[i] = depth[parent[i]] + 1
    return parent, depth
