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
        ("a third of the members", [0, N, N], [5, 5, 5], [5], [False], [()]),
        ("less than a third", [0, N, N, N], [5, 5, 5, 5], [10], [True], [(5,)]),
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


def masks(**counts):
    """Labels and earlier ids of masks, given as `_EARLIER_NEW=count`; n is noise."""
    pairs = [[N if x == "n" else int(x) for x in name[1:].split("_")] for name in counts]
    return (np.repeat([p[i] for p in pairs], list(counts.values())) for i in (1, 0))


@pytest.mark.parametrize(
    ("case", "counts", "ids", "split"),
    [
        # the largest total overlap would match A with Y and B with X, both below one half
        ("X lives on in A", {"_0_0": 215, "_1_0": 95, "_0_1": 95}, [0, 10], {0: (0, 10)}),
        ("third of old, half of new", {"_0_0": 40, "_0_n": 80, "_n_0": 40}, [0], {}),
        ("less than a third of old", {"_0_0": 39, "_0_n": 81, "_n_0": 39}, [10], {}),
        ("less than half of both", {"_0_0": 40, "_0_n": 60, "_n_0": 41}, [10], {}),
        ("it took in masks without a class", {"_0_0": 50, "_0_n": 50, "_n_0": 900}, [0], {}),
        (
            "and a few of another class",
            {"_0_0": 17, "_n_0": 20, "_1_0": 9, "_1_1": 202},
            [0, 1],
            {},
        ),
        ("and more of another class", {"_0_0": 8, "_n_0": 20, "_1_0": 9, "_1_1": 202}, [10, 1], {}),
        ("as many of two classes", {"_0_0": 9, "_1_0": 9, "_n_0": 40, "_1_1": 202}, [0, 1], {}),
        ("most of it", {"_0_0": 45, "_0_1": 44, "_0_n": 31}, [0, 10], {0: (0, 10)}),
        ("most of it elsewhere", {"_0_0": 60, "_1_0": 100, "_0_1": 50}, [1, 0], {}),
        ("two halves", {"_0_0": 50, "_1_0": 50, "_0_n": 90, "_1_n": 60}, [0], {}),
    ],
)
def test_an_id_lives_on_where_most_of_the_class_went(case, counts, ids, split):
    labels, earlier = masks(**counts)
    found = align(labels, earlier, np.arange(labels.max() + 1), 10)
    assert found.class_ids.tolist() == ids
    assert found.split == split


def test_a_mask_counts_by_its_weight():
    labels, earlier = masks(_0_0=30, _0_1=60)
    weights, order = np.where(labels == 0, 10.0, 1.0), np.arange(2)
    assert align(labels, earlier, order, 10).class_ids.tolist() == [10, 0]
    assert align(labels, earlier, order, 10, weights).class_ids.tolist() == [0, 10]


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
