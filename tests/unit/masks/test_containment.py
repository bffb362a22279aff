import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from samseg.masks.containment import parents
from samseg.types import Masks


def masks_of(boxes, size=(40, 60)) -> Masks:
    """Masks of rectangles, given as half-open xyxy boxes."""
    rles = []
    for x0, y0, x1, y1 in boxes:
        dense = np.zeros(size, dtype=np.uint8, order="F")
        dense[y0:y1, x0:x1] = 1
        rles.append(coco.encode(dense))
    n = len(boxes)
    return Masks(
        size=size,
        boxes=np.array(boxes, dtype=np.int32).reshape(n, 4),
        areas=np.array([int(coco.area(r)) for r in rles], dtype=np.int64),
        predicted_iou=np.ones(n, dtype=np.float32),
        stability_score=np.ones(n, dtype=np.float32),
        points=np.zeros((n, 2), dtype=np.float32),
        crops=np.zeros((n, 4), dtype=np.int32),
        rles=tuple(rles),
        prompt_kind="grid",
        prompt_ids=np.arange(n, dtype=np.int32),
    )


@pytest.mark.parametrize(
    ("boxes", "parent", "depth"),
    [
        ([], [], []),
        ([(0, 0, 9, 9)], [-1], [0]),
        # the smallest containing mask, in any order
        ([(2, 2, 4, 4), (0, 0, 40, 40), (1, 1, 20, 20)], [2, -1, 1], [2, 0, 1]),
        ([(0, 0, 10, 10), (20, 0, 40, 10)], [-1, -1], [0, 0]),
        # nine tenths inside is contained, eight tenths is not
        ([(0, 0, 20, 30), (11, 0, 21, 10)], [-1, 0], [0, 1]),
        ([(0, 0, 20, 30), (12, 0, 22, 10)], [-1, -1], [0, 0]),
        # duplicates and near duplicates are unrelated
        ([(0, 0, 10, 10), (0, 0, 10, 10)], [-1, -1], [0, 0]),
        ([(0, 0, 10, 10), (0, 0, 10, 11)], [-1, -1], [0, 0]),
        # an empty mask has no parent and no children
        ([(0, 0, 10, 10), (3, 3, 3, 3)], [-1, -1], [0, 0]),
    ],
)
def test_parents(boxes, parent, depth):
    found_parent, found_depth = parents(masks_of(boxes))
    assert found_parent.tolist() == parent
    assert found_depth.tolist() == depth
    assert found_parent.dtype == found_depth.dtype == np.int32


corner = st.tuples(st.integers(0, 50), st.integers(0, 30), st.integers(1, 30), st.integers(1, 30))


@given(st.lists(corner.map(lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3])), max_size=12))
def test_a_parent_is_larger_and_one_level_up(boxes):
    masks = masks_of(boxes)
    parent, depth = parents(masks)
    for i, p in enumerate(parent):
        assert (p == -1) == (depth[i] == 0)
        if p >= 0:
            assert masks.areas[p] * 0.9 >= masks.areas[i]
            assert depth[i] == depth[p] + 1


def test_inside_one_requires_full_containment():
    boxes = [(0, 0, 20, 30), (11, 0, 21, 10), (0, 0, 5, 5)]
    assert parents(masks_of(boxes), inside=1.0)[0].tolist() == [-1, -1, 0]
