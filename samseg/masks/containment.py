"""The mask hierarchy of one image: which mask contains which (a car contains its wheels).

Uses only run-length encodings, so it needs no pixels and no torch. Masks that overlap without
containment are unrelated.
"""

import numpy as np

from samseg.types import Int32, Masks


def parents(masks: Masks, inside: float = 0.9) -> tuple[Int32, Int32]:
    """Find the parent of each mask: the smallest mask that contains it.

    A parent is at least `1 / inside` times as large as its child and contains at least the
    fraction `inside` of it.

    Args:
        masks: n masks of one image.
        inside: contained fraction, in (0, 1].

    Returns:
        (n,) int32 position of the parent or -1, and (n,) int32 depth: 0 for a root, otherwise the
        parent's depth + 1.
    """
    from pycocotools import mask as coco

    n = len(masks)
    parent = np.full(n, -1, dtype=np.int32)
    depth = np.zeros(n, dtype=np.int32)
    if n < 2:
        return parent, depth
    areas = masks.areas
    # with `iscrowd`, pycocotools returns the intersection over the area of the first mask
    contained = coco.iou(list(masks.rles), list(masks.rles), [1] * n)
    by_area = np.argsort(areas, kind="stable")
    larger = (areas[None, :] > areas[:, None]) & (areas[None, :] * inside >= areas[:, None])
    is_parent = larger & (contained >= inside) & (areas[:, None] > 0)
    ordered = is_parent[:, by_area]
    has_parent = ordered.any(axis=1)
    parent[has_parent] = by_area[ordered.argmax(axis=1)][has_parent]
    for i in by_area[::-1]:  # largest first, so a parent's depth is set before its children's
        if parent[i] >= 0:
            depth[i] = depth[parent[i]] + 1
    return parent, depth
