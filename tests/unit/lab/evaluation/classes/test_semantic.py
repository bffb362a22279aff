import numpy as np
import pytest

from samseg.lab.evaluation.classes import semantic
from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks, PhotoMasks
from samseg.lab.evaluation.classes.truth import TrueSegments, encoded

SIZE = (10, 20)


def box(x0, x1, y0=0, y1=10):
    mask = np.zeros(SIZE, np.bool_)
    mask[y0:y1, x0:x1] = True
    return encoded(mask)


def masks_of(*boxes, truth, categories=("a", "b")):
    rles = [box(*b) for b in boxes]
    ids = [f"m{i}" for i in range(len(rles))]
    matched = PhotoMasks.matched(ids, rles, truth, categories)
    return LabelledMasks.join({"p": matched}, categories, {"p": truth})


TRUTH = TrueSegments.of(SIZE, [box(0, 8), box(8, 16), box(16, 20)], ["a", "b", "rare"])


def test_the_smallest_mask_that_has_a_class_is_seen():
    masks = masks_of((0, 8), (4, 8), (4, 6), truth=TRUTH)
    (table,) = semantic.pixel_tables(masks, [np.array([0, 1, -1])])
    assert table.tolist() == [[[40, 0], [40, 0], [0, 80]]]


def test_pixels_of_other_categories_are_not_counted():
    masks = masks_of((0, 20), truth=TRUTH)
    (table,) = semantic.pixel_tables(masks, [np.array([0])])
    assert table.tolist() == [[[80, 80], [0, 0]]]


def test_a_photo_without_masks_counts():
    masks = LabelledMasks.join(
        {"p": PhotoMasks((), (), np.zeros(0, np.int64))}, ("a", "b"), {"p": TRUTH}
    )
    (table,) = semantic.pixel_tables(masks, [np.zeros(0, np.int64)])
    assert table.tolist() == [[[80, 80]]]
    assert semantic.mean_iou(table[0]) == 0


@pytest.mark.parametrize(
    ("table", "one_to_one", "shared"),
    [
        ([[80, 0], [0, 80], [0, 0]], 1, 1),
        ([[0, 80], [80, 0], [0, 0]], 1, 1),
        ([[40, 0], [40, 0], [0, 80], [0, 0]], (0.5 + 1) / 2, 1),
        ([[60, 20], [20, 0], [0, 60]], 0.6 / 2, 0.8 / 2),
        ([[80, 80], [0, 0]], 0.5 / 2, 0.5 / 2),
        ([[50, 0], [30, 0]], 50 / 80, 50 / 80),  # a category that no photo has is left out
    ],
    ids=["perfect", "renamed", "two classes of one", "missed", "one class", "no such category"],
)
def test_known_tables(table, one_to_one, shared):
    assert semantic.mean_iou(np.array(table)) == pytest.approx(one_to_one)
    assert semantic.shared(np.array(table)) == pytest.approx(shared)


def test_the_ceiling_is_what_true_categories_reach():
    masks = masks_of((0, 8), (8, 12), truth=TRUTH)
    (table,) = semantic.pixel_tables(masks, [masks.codes])
    assert semantic.ceiling(table.sum(axis=0)) == pytest.approx((1 + 0.5) / 2)
