import numpy as np
import pytest

from samseg.lab.evaluation.classes.labelled_masks import (
    RARE,
    UNMATCHED,
    LabelledMasks,
    PhotoMasks,
)
from samseg.lab.evaluation.classes.truth import TrueSegments, encoded

SIZE = (10, 20)


def box(x0, x1):
    mask = np.zeros(SIZE, np.bool_)
    mask[:, x0:x1] = True
    return encoded(mask)


TRUTH = TrueSegments.of(SIZE, [box(0, 10), box(10, 16), box(16, 18)], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("mask", "code"),
    [
        ((0, 10), 0),
        ((2, 4), 0),
        ((6, 12), 0),
        ((8, 12), UNMATCHED),
        ((9, 16), 1),
        ((16, 18), RARE),
        ((18, 20), UNMATCHED),
        ((0, 20), UNMATCHED),
        ((0, 0), UNMATCHED),
    ],
    ids=[
        *("whole", "part", "mostly in one", "half in each", "mostly in the smaller", "left out"),
        *("beside", "all of them", "no pixels"),
    ],
)
def test_a_mask_has_the_category_of_what_covers_most_of_it(mask, code):
    found = PhotoMasks.matched(["m"], [box(*mask)], TRUTH, ["a", "b"])
    assert found.codes.tolist() == [code]


def test_without_masks_or_segments():
    nothing = TrueSegments.of(SIZE, [], [])
    assert PhotoMasks.matched(["m"], [box(0, 5)], nothing, ["a"]).codes.tolist() == [UNMATCHED]
    assert PhotoMasks.matched([], [], TRUTH, ["a"]).codes.tolist() == []


def test_true_segments_of_common_categories():
    found = PhotoMasks.of_truth("p", TRUTH, np.array([0, 1, 2]), ["b", "c"])
    assert found.codes.tolist() == [0, 1]
    assert found.rles == TRUTH.rles[1:]
    assert len(set(found.mask_ids)) == 2


def test_rows_of_photos():
    parts = {
        photo: PhotoMasks(tuple(f"{photo}{i}" for i in range(n)), (box(0, 1),) * n, np.arange(n))
        for photo, n in (("b", 2), ("a", 1), ("empty", 0))
    }
    masks = LabelledMasks.join(parts, ("x", "y"), {})
    assert {p: rows.tolist() for p, rows in masks.rows_of.items()} == {"a": [2], "b": [0, 1]}
    taken = masks.take(np.array([2, 0]))
    assert taken.mask_ids == ("a0", "b0") and taken.codes.tolist() == [0, 0]
    assert {p: rows.tolist() for p, rows in taken.rows_of.items()} == {"a": [0], "b": [1]}
