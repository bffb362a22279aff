import numpy as np
import pytest

from samseg.clustering.align import align

N = -1


def aligned(labels, earlier_ids, next_id=10):
    labels = np.array(labels, dtype=np.int64)
    order = np.arange(labels.max(initial=-1) + 1)
    found = align(labels, np.array(earlier_ids, dtype=np.int32), order, next_id)
    return found.class_ids.tolist(), found.born.tolist(), list(found.parents)


@pytest.mark.parametrize(
    ("case", "labels", "earlier_ids", "ids", "born", "parents"),
    [
        ("first fit", [0, 0, 1, 1], [N] * 4, [10, 11], [True, True], [(), ()]),
        ("same", [0, 0, 1, 1], [7, 7, 3, 3], [7, 3], [False, False], [(), ()]),
        ("grew", [0, 0, 0, 0], [5, 5, N, N], [5], [False], [()]),
        ("half the members", [0, 0, N, N], [5, 5, 5, 5], [5], [False], [()]),
        ("less than half", [0, N, N], [5, 5, 5], [10], [True], [(5,)]),
        ("merged", [0] * 5, [4, 4, 4, 6, 6], [4], [False], [(6,)]),
        ("split", [0, 0, 0, 1, 1], [4] * 5, [4, 10], [False, True], [(), (4,)]),
        ("ended", [N, N, N], [4, 4, 4], [], [], []),
        ("swapped", [0, 0, 0, 1, 1, 1], [2, 2, 1, 1, 1, 2], [2, 1], [False] * 2, [(), ()]),
        ("empty", [], [], [], [], []),
    ],
)
def test_classes_keep_the_id_of_the_class_they_overlap(
    case, labels, earlier_ids, ids, born, parents
):
    assert aligned(labels, earlier_ids) == (ids, born, parents)


def test_new_ids_are_issued_in_the_given_order():
    labels, earlier_ids = np.array([0, 1, 2]), np.full(3, N)
    found = align(labels, earlier_ids, np.array([2, 0, 1]), 5)
    assert found.class_ids.tolist() == [6, 7, 5]


def test_an_earlier_id_goes_to_one_new_class_only():
    g = np.random.default_rng(0)
    for _ in range(50):
        found = align(g.integers(-1, 6, 80), g.integers(-1, 6, 80), np.arange(6), 6)
        assert len(set(found.class_ids.tolist())) == 6
        assert (found.class_ids[found.born] >= 6).all()
