import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from samseg.clustering.transform import unit
from samseg.clustering.tree import Tree, average_linkage


def tree_over(means: np.ndarray, weights: np.ndarray) -> Tree:
    return average_linkage(1 - means @ means.T, weights)


def points(seed: int, n: int = 80, d: int = 8) -> np.ndarray:
    g = np.random.default_rng(seed)
    centers = g.standard_normal((5, d))
    return unit(centers[g.integers(0, 5, n)] + 0.6 * g.standard_normal((n, d)))[0].astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_average_linkage_of_scipy(seed):
    rows = points(seed)
    oracle = linkage(rows, "average", metric="cosine")
    tree = tree_over(rows, np.ones(len(rows)))
    assert tree.height[len(rows) :] == pytest.approx(oracle[:, 2], abs=1e-6)
    for height in (0.1, 0.3, 0.6, 0.9):
        cut = tree.cut(height)[: len(rows)]
        assert adjusted_rand_score(cut, fcluster(oracle, height, "distance")) == 1.0


@given(seed=st.integers(0, 300))
@settings(max_examples=25, deadline=None)
def test_a_leaf_stands_for_as_many_points_as_its_weight(seed):
    """Groups joined beforehand give the upper part of the tree over all points."""
    rows = points(seed, n=60)
    whole = tree_over(rows, np.ones(60))
    low = float(np.quantile(whole.height[60:], 0.6))
    groups, member = np.unique(whole.cut(low)[:60], return_inverse=True)
    means = np.stack([rows[member == g].mean(axis=0) for g in range(len(groups))])
    over_groups = tree_over(means, np.bincount(member))
    upper = whole.height[whole.height > low]
    assert over_groups.height[len(groups) :] == pytest.approx(upper, abs=1e-6)
    height = float(np.median(upper)) + 1e-5
    assert adjusted_rand_score(over_groups.cut(height)[member], whole.cut(height)[:60]) == 1.0


@given(seed=st.integers(0, 300), n=st.integers(2, 40), copies=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_parents_follow_and_are_no_lower_than_their_children(seed, n, copies):
    rows = np.repeat(points(seed, n), copies, axis=0)
    tree = tree_over(rows, np.ones(len(rows)))
    below = np.flatnonzero(tree.parent >= 0)
    assert (tree.parent[below] > below).all()
    assert (tree.height[tree.parent[below]] >= tree.height[below]).all()
    assert np.bincount(tree.parent[below])[len(rows) :].tolist() == [2] * (len(rows) - 1)
    assert (tree.height == tree.height.astype(np.float32)).all()


def test_a_lower_cut_divides_the_groups_of_a_higher_one():
    tree = tree_over(points(0), np.ones(80))
    fine, coarse = tree.cut(0.3)[:80], tree.cut(0.7)[:80]
    assert len(set(fine)) > len(set(coarse)) > 1
    assert all(len(set(coarse[fine == group])) == 1 for group in set(fine))


@pytest.mark.parametrize("n", [0, 1])
def test_there_may_be_nothing_to_join(n):
    tree = tree_over(points(0)[:n], np.ones(n))
    assert tree.leaves == n
    assert tree.cut(0.5).tolist() == list(range(n))
