import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.clustering.nearest import nearest
from samseg.clustering.transform import unit


def points(seed: int, n: int, d: int = 256) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((n, d)) + 0.5)[0]


@given(seed=st.integers(0, 1000), tile=st.integers(1, 2000), m=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_results_are_identical_for_any_tile(seed, tile, m):
    queries, prototypes = points(seed, 37), points(seed + 1, m)
    prototypes = np.concatenate([prototypes, prototypes[:3], queries[:2]])
    classes = np.arange(len(prototypes)) % 3
    want = nearest(queries, prototypes, classes)
    got = nearest(queries, prototypes, classes, tile=tile)
    assert (got.index == want.index).all()
    assert (got.distance == want.distance).all()
    assert (got.other == want.other).all()


def test_equals_all_pairs_in_float64():
    queries, prototypes, classes = points(0, 50), points(1, 30), np.arange(30) // 10
    distance = 1 - queries.astype(np.float64) @ prototypes.astype(np.float64).T
    found = nearest(queries, prototypes, classes)
    assert (found.index == distance.argmin(axis=1)).all()
    assert found.distance == pytest.approx(distance.min(axis=1), abs=1e-12)
    foreign = np.where(classes[found.index][:, None] == classes[None, :], 9, distance)
    assert found.other == pytest.approx(foreign.min(axis=1), abs=1e-12)


def test_ties_go_to_the_first_prototype():
    prototypes = points(2, 1).repeat(4, axis=0)
    found = nearest(prototypes[:1], prototypes, np.array([7, 7, 8, 8]))
    assert found.index.tolist() == [0]
    assert found.other == pytest.approx(found.distance)


@pytest.mark.parametrize(("prototypes", "distance"), [(0, np.inf), (1, 0.0)])
def test_no_prototype_or_no_other_class(prototypes, distance):
    rows = points(3, 1)
    found = nearest(rows, rows[:prototypes], np.zeros(prototypes, np.int64))
    assert found.distance == pytest.approx([distance], abs=1e-6)
    assert found.other.tolist() == [np.inf]
